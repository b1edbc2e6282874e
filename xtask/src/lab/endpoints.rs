//! Ends of load tests that the aggregator makes: one in a pod of each cloud, one in each node's own network.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    Lab,
    plan::{Cloud, Pod},
    run,
};
use crate::command;

/// What the aggregator may do here; the rate is above any that this machine reaches.
pub(super) const LEAVE: [&str; 2] = ["--allow-load-tests", "--load-max-rate=100G"];

/// How long endpoints may take until the aggregator knows them.
const START: Duration = Duration::from_secs(15);

impl Lab {
    /// Starts all endpoints and waits until tests can be made between them.
    pub(super) fn start_endpoints(&mut self) -> Result<()> {
        let mut count = 0;
        for cloud in self.plan().clouds.clone() {
            if let Some(pod) = cloud.pods.first() {
                self.start_endpoint(&cloud, Some(pod))?;
                count += 1;
            }
            self.start_endpoint(&cloud, None)?;
            count += 1;
        }
        self.wait_for_endpoints(count)
    }

    fn start_endpoint(&mut self, cloud: &Cloud, pod: Option<&Pod>) -> Result<()> {
        let (name, netns, network) = match pod {
            Some(pod) => (&pod.name, &pod.netns, "pod"),
            None => (&cloud.node, &cloud.netns, "host"),
        };
        let address = pod.map_or_else(|| cloud.uplink_ipv4(), |pod| pod.ipv4);
        let mut command = Command::new(&self.xcloud);
        command
            .args(["load", "endpoint", "--aggregator", &self.aggregator()])
            .args(["--name", name, "--network", network, "--address", &address.to_string()])
            .args(["--cloud", &cloud.name, "--region", &cloud.region, "--node", &cloud.node]);
        self.start(&format!("endpoint-{name}"), netns, command).map(drop)
    }

    fn wait_for_endpoints(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let mut ask = Command::new(&self.xcloud);
            let flags = ["load", "endpoints", "-o", "json", "--aggregator", &self.aggregator()];
            let text = command::output(ask.args(flags))?;
            let known: Vec<Value> = serde_json::from_str(&text)
                .context("understanding the answer of xcloud load endpoints -o json")?;
            if known.len() >= count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} of {count} endpoints attend after {START:?}", known.len());
            }
            run::pause()?;
        }
    }
}

//! A load test of xcloud's own between two pods, and what it says about where its requests' time went, in the shape of
//! `xcloud split -o json`, so that both are held against the same expectations.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::{
    Lab,
    args::LabArgs,
    process,
    run::{pause, xcloud},
};
use crate::{command, netns, progress::Progress, signals};

/// Where the responder listens.
const PORT: u16 = 7272;

/// Runs a lab in which the first cloud's first pod sends so many requests a second to the second cloud's first.
pub(crate) fn measure(args: &LabArgs, rate: u32, progress: &Progress) -> Result<(Lab, Value)> {
    signals::stop_flag()?;
    super::check(args)?;
    progress.say("bringing the clouds up");
    let mut lab = Lab::up(args, xcloud(args)?, false)?;
    let report = lab.requests(args, rate, progress);
    if report.is_err() && !signals::stopped() {
        eprintln!("{}", lab.logs());
    }
    let split = as_split(&report?, &lab.split_json()?)?;
    Ok((lab, split))
}

impl Lab {
    /// What `xcloud report -o json` says of the test.
    fn requests(&mut self, args: &LabArgs, rate: u32, progress: &Progress) -> Result<Value> {
        let mut clouds = self.plan().clouds.iter().filter_map(|cloud| cloud.pods.first());
        let (client, server) = clouds.next().zip(clouds.next()).context("it takes two clouds")?;
        let (client, address) = (client.netns.clone(), server.address(args.ipv6));
        let (server, address) = (server.netns.clone(), SocketAddr::new(address, PORT));
        let mut command = Command::new(&self.xcloud);
        command.args(["load", "responder", "--listen", &address.to_string()]);
        let log = self.log("responder");
        let child = self.start("responder", &server, command)?;
        let ready = || netns::within(&server, || Ok(TcpStream::connect(address)?)).is_ok();
        process::wait_ready("responder", child, &log, ready)?;
        progress.say("requests are under way");
        let result = self.path("requests.json");
        let mut command = Command::new(&self.xcloud);
        command.args(["load", "rr", &address.to_string(), "--aggregator", &self.aggregator()]);
        command.args(["-R", &rate.to_string(), "--result"]).arg(&result);
        command.arg(format!("--duration={}", humantime::format_duration(args.duration())));
        netns::enter(&mut command, &client)?;
        command::output(&mut command)?;
        pause()?;
        progress.say("waiting for the last samples");
        self.settle()?;
        let mut command = Command::new(&self.xcloud);
        let text = command::output(command.arg("report").arg(&result).args(["-o", "json"]))?;
        serde_json::from_str(&text).context("understanding the answer of xcloud report -o json")
    }
}

/// The report's path as the split would show it: its requests are the exchanges, those that were split the joined ones.
fn as_split(report: &Value, split: &Value) -> Result<Value> {
    let path = &report["paths"][0];
    let measured = &path["measured"][0];
    let all = measured["segments"].as_object().context("the report has no segments")?;
    let segments: Map<_, _> = all
        .iter()
        .map(|(name, one)| {
            let p50 = &one["quantiles"][0]["ns"];
            (name.clone(), json!({"p50_ns": p50, "mean_ns": one["mean_ns"]}))
        })
        .collect();
    let cloud = |end: &str| path[end].as_str().and_then(|place| place.split('/').next());
    Ok(json!({
        "paths": [{
            "near": {"cloud": cloud("from")}, "far": {"cloud": cloud("to")}, "kind": "response",
            "exchanges": measured["metrics"]["done"]["median"],
            "joined": measured["distributions"]["exchange"]["count"],
            "segments": segments,
        }],
        "loss": split["loss"],
        "pods": split["pods"],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::joined_ratio;

    #[test]
    fn requests_are_exchanges_and_those_split_are_joined() {
        let report = json!({"paths": [{
            "from": "aws/us-east-1", "to": "gcp/us-east4",
            "measured": [{
                "metrics": {"done": {"median": 3000.0}},
                "distributions": {"exchange": {"count": 2970}},
                "segments": {"far_cni_ingress": {
                    "mean_ns": 2_000_100.5, "quantiles": [{"quantile": 0.5, "ns": 2_000_000}],
                }},
            }],
        }]});
        let split = as_split(&report, &json!({"loss": {"emitted": 1}})).unwrap();
        let path = &split["paths"][0];
        assert_eq!(joined_ratio(path), Some(0.99));
        assert_eq!([&path["near"]["cloud"], &path["far"]["cloud"]], ["aws", "gcp"]);
        assert_eq!(path["segments"]["far_cni_ingress"]["p50_ns"], 2_000_000);
        assert_eq!(split["loss"]["emitted"], 1);
        assert!(as_split(&json!({"paths": []}), &json!({})).is_err());
    }
}

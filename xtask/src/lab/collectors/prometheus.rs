//! The distribution's Prometheus, and promtool.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::super::{
    plan::{AGGREGATOR, METRICS_PORT, Plan},
    run::pause,
};
use crate::{bpf, command, netns};

/// Where Prometheus answers, in the management namespace.
pub(super) const PORT: u16 = 9090;

/// A Prometheus that runs.
#[derive(Debug)]
pub(super) struct Prometheus {
    /// In which namespace.
    pub(super) netns: String,
}

impl Prometheus {
    /// The answer of an instant query: one entry a series.
    pub(super) fn query(&self, query: &str) -> Result<Vec<Value>> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-G", "--max-time", "10", "--data-urlencode", &format!("query={query}")]);
        curl.arg(format!("http://127.0.0.1:{PORT}/api/v1/query"));
        netns::enter(&mut curl, &self.netns)?;
        let text = command::output(&mut curl)?;
        let mut answer: Value = serde_json::from_str(&text).context("understanding Prometheus")?;
        if answer["status"] != "success" {
            bail!("Prometheus refuses {query}: {}", answer["error"]);
        }
        match answer["data"]["result"].take() {
            Value::Array(series) => Ok(series),
            other => bail!("Prometheus answers {query} with {other}"),
        }
    }

    /// The single number that a query has for an answer.
    pub(super) fn number(&self, query: &str) -> Result<f64> {
        let series = self.query(query)?;
        let [one] = &series[..] else {
            bail!("{query} has {} answers, not one", series.len());
        };
        let text = one["value"][1].as_str().with_context(|| format!("{query} has no number"))?;
        text.parse().with_context(|| format!("{query} is {text:?}"))
    }

    /// Waits until each target was scraped after a moment: what is asked before may be of the scrape before it.
    pub(super) fn wait_for_scrape(&self, moment: SystemTime, at_most: Duration) -> Result<()> {
        let moment = moment.duration_since(UNIX_EPOCH).context("the clock")?.as_secs_f64();
        let deadline = Instant::now() + at_most;
        while self.number("min(timestamp(up))")? <= moment {
            if Instant::now() > deadline {
                bail!("Prometheus did not scrape every target within {at_most:?}");
            }
            pause()?;
        }
        Ok(())
    }
}

/// Scrapes a lab's endpoints every second and goes by the rules that are shipped.
pub(super) fn config(plan: &Plan) -> String {
    let rules = bpf::root().join("deploy/prometheus/rules.yaml");
    let mut text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n",
        rules.display()
    );
    let agents = plan.clouds.iter().map(|cloud| cloud.mgmt_ipv4().to_string()).collect();
    for (job, hosts) in
        [("xcloud-agent", agents), ("xcloud-aggregator", vec![AGGREGATOR.ip().to_string()])]
    {
        let targets = hosts.iter().map(|host: &String| format!("'{host}:{METRICS_PORT}'"));
        let targets = targets.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "- {{job_name: {job}, static_configs: [{{targets: [{targets}]}}]}}");
    }
    text
}

/// What promtool says of the rules, and of what they do.
pub(super) fn check_rules() -> Result<()> {
    let rules = bpf::root().join("deploy/prometheus");
    for words in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let mut promtool = Command::new("promtool");
        command::output(promtool.args(words).current_dir(&rules))
            .with_context(|| format!("in {}", rules.display()))?;
    }
    Ok(())
}

//! Load tests that the aggregator has made between pods, and between nodes.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{IMAGE, PATIENCE, RELEASE, Trial, manifests};
use crate::{
    cluster::plan::{NODES, Node, state},
    command, signals,
};

/// An end in a pod, as the testbeds start it.
const ENDPOINT: &str = include_str!("../../../../deploy/testbeds/endpoint.yaml");
/// What the wire takes there and back, in nanoseconds: no request is answered sooner.
const WIRE_NS: f64 = 19_500_000.0;

/// Allows tests, starts an end in a pod of each cloud beside the agents, and has requests and a stream sent.
pub(super) fn are_made(trial: &mut Trial) -> Result<Vec<String>> {
    manifests::put(trial, &["aggregator.loadTests=true", "loadTests.agents=true"])?;
    for node in NODES {
        trial.cluster.apply(&endpoint(node))?;
        trial.ready(RELEASE, &format!("deployment/endpoint-{}", node.cloud))?;
    }
    let requests = made(trial, "pod", &["rr", "-R", "100", "-c", "2"])?;
    let mut wrong = Vec::new();
    let p99 = value(&requests["metrics"]["p99_make_up/total"]);
    if p99.is_none_or(|p99| p99 < WIRE_NS) {
        wrong.push(format!("it is not said whose milliseconds requests took: {requests}"));
    }
    let stream = made(trial, "host", &["throughput", "-b", "10M"])?;
    let rate = value(&stream["metrics"]["throughput"]);
    if rate.is_none_or(|rate| !(5e6..11e6).contains(&rate)) {
        wrong.push(format!("10 Mbit/s between nodes came to {rate:?}"));
    }
    for node in NODES {
        let object = format!("deployment/endpoint-{}", node.cloud);
        trial.cluster.ask(&["-n", RELEASE, "delete", &object])?;
    }
    Ok(wrong)
}

/// The first trial of a test between the ends of both clouds that are in this network.
fn made(trial: &Trial, network: &str, what: &[&str]) -> Result<Value> {
    let [from, to] = ends(trial, network)?;
    let file = state().join(format!("{network}.json"));
    let result = format!("--result={}", file.display());
    let head = ["load", "run", "--from", &from, "--to", &to, "-d", "3s", &result];
    command::output(&mut trial.plugin(&[&head, what].concat())?)
        .with_context(|| format!("{} from {from} to {to}", what[0]))?;
    let mut run: Value = serde_json::from_slice(&fs::read(&file)?).context("the result")?;
    Ok(run["trials"][0].take())
}

/// Names of the ends in this network, in each cloud one, once they are there.
fn ends(trial: &Trial, network: &str) -> Result<[String; 2]> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = command::output(&mut trial.plugin(&["load", "endpoints", "-o", "json"])?)?;
        let there: Value = serde_json::from_str(&said).context("the endpoints")?;
        let end = |node: Node| {
            let mut all = there.as_array().into_iter().flatten();
            let one = all.find(|one| one["network"] == network && one["cloud"] == node.cloud)?;
            one["name"].as_str().map(String::from)
        };
        if let [Some(from), Some(to)] = NODES.map(end) {
            return Ok([from, to]);
        }
        ensure!(!signals::stopped(), "interrupted");
        ensure!(Instant::now() < deadline, "no ends in the {network} network of both: {said}");
        thread::sleep(Duration::from_secs(1));
    }
}

/// The testbeds' end of load tests, held to a node.
fn endpoint(node: Node) -> String {
    let held = format!("nodeSelector: {{topology.kubernetes.io/region: {}}}\n      ", node.region);
    ENDPOINT
        .replace("IMAGE", IMAGE)
        .replace("AGGREGATOR", &format!("xcloud-aggregator.{RELEASE}.svc:7171"))
        .replace("CLOUD", node.cloud)
        .replace("REGION", node.region)
        .replace("name: endpoint", &format!("name: endpoint-{}", node.cloud))
        .replace("automountServiceAccountToken", &format!("{held}automountServiceAccountToken"))
}

fn value(metric: &Value) -> Option<f64> {
    metric["value"].as_f64()
}

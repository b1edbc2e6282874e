//! Two workloads whose pods talk between the clouds, and what xcloud says of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{PATIENCE, Trial};

const MANIFEST: &str = include_str!("../../../cluster/shop.yaml");
/// Requests a second between the two.
const RATE: u64 = 50;
/// From when on after its start a pod's exchanges must have its name.
const NAMELESS: Duration = Duration::from_secs(2);
/// What the wire between the clouds takes, there and back, in nanoseconds, and what it may seem to take.
const WAN: std::ops::Range<u64> = 19_500_000..26_000_000;
/// Requests that are enough to judge by.
const ENOUGH: u64 = 500;

/// Starts the two, and counts exchanges without a name.
pub(super) fn named(trial: &mut Trial) -> Result<Vec<String>> {
    trial.cluster.apply(&MANIFEST.replace("IMAGE", &trial.image))?;
    trial.ready("shop", "deployment/cart")?;
    trial.ready("shop", "deployment/front")?;
    let mut last = Value::Null;
    trial.until("requests between the two workloads", |cluster| {
        last = ask(cluster, &[])?;
        Ok(exchanges(&last, |path| near(path) == "front") >= ENOUGH)
    })?;
    let nameless = exchanges(&last, |path| near(path) == "unknown");
    let most = RATE * NAMELESS.as_secs();
    let mut wrong = Vec::new();
    if nameless > most {
        wrong.push(format!("{nameless} exchanges have no workload's name, more than {most}"));
    }
    Ok(wrong)
}

/// Asks as a user of kubectl would.
pub(super) fn split(trial: &mut Trial) -> Result<Vec<String>> {
    let mut last = Value::Null;
    trial.until("joined exchanges between the two workloads", |cluster| {
        last = ask(cluster, &[])?;
        Ok(path(&last).is_some_and(|path| path["joined"].as_u64() >= Some(ENOUGH)))
    })?;
    let path = path(&last).context("no path from front to cart")?;
    let mut wrong = Vec::new();
    for (end, cloud) in [("near", "aws"), ("far", "gcp")] {
        if path[end]["cloud"] != cloud {
            wrong.push(format!("the {end} end is in {}, not in {cloud}", path[end]["cloud"]));
        }
    }
    let wan = path["segments"]["wan"]["p50_ns"].as_u64().unwrap_or(0);
    if !WAN.contains(&wan) {
        wrong.push(format!("half of the requests took the WAN {wan} ns, and the wire takes 20 ms"));
    }
    let mut shown = trial.cluster.inside("kubectl")?;
    shown.args(["xcloud", "split", "--group-by", "workload", "--near", "cloud=aws"]);
    println!("{}", crate::command::output(&mut shown)?);
    Ok(wrong)
}

fn path(split: &Value) -> Option<&Value> {
    let mut paths = split["paths"].as_array().into_iter().flatten();
    paths.find(|path| near(path) == "front" && far(path) == "cart" && path["kind"] == "response")
}

/// What `kubectl xcloud split` answers, by workload.
pub(super) fn ask(cluster: &super::Cluster, more: &[&str]) -> Result<Value> {
    let mut kubectl = cluster.inside("kubectl")?;
    kubectl.args(["xcloud", "split", "--group-by", "workload", "-o", "json"]).args(more);
    let said = crate::command::output(&mut kubectl)?;
    serde_json::from_str(&said).context("understanding the answer of kubectl xcloud split")
}

/// How many exchanges were seen on the paths that `are`.
pub(super) fn exchanges(split: &Value, are: impl Fn(&Value) -> bool) -> u64 {
    let paths = split["paths"].as_array().into_iter().flatten();
    paths.filter(|path| are(path)).filter_map(|path| path["exchanges"].as_u64()).sum()
}

/// Names of the workloads at either end of any path.
pub(super) fn names(split: &Value) -> Vec<String> {
    let paths = split["paths"].as_array().into_iter().flatten();
    paths.flat_map(|path| [near(path), far(path)]).collect()
}

fn near(path: &Value) -> String {
    name(&path["near"])
}

fn far(path: &Value) -> String {
    name(&path["far"])
}

fn name(end: &Value) -> String {
    end["workload"].as_str().unwrap_or("unknown").to_owned()
}

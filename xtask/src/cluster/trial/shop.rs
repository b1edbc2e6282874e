//! Two workloads whose pods talk between the clouds, and what xcloud says of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{IMAGE, PATIENCE, Trial};
use crate::{cluster::plan::NODES, command, signals};

const CART: &str = include_str!("../../../cluster/cart.yaml");
const FRONT: &str = include_str!("../../../cluster/front.yaml");
/// Requests a second between the two.
const RATE: u64 = 50;
/// From when on after its start a pod's exchanges must have its name.
const NAMELESS: Duration = Duration::from_secs(2);
/// What the wire between the clouds takes, there and back, in nanoseconds, and what it may seem to take.
const WAN: std::ops::Range<u64> = 19_500_000..26_000_000;
/// Time between questions.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests that are enough to judge by.
const ENOUGH: u64 = 500;

/// Starts the two, and counts exchanges without a name.
pub(super) fn named(trial: &mut Trial) -> Result<Vec<String>> {
    for (manifest, object) in [(CART, "deployment/cart"), (FRONT, "deployment/front")] {
        trial.cluster.apply(&manifest.replace("IMAGE", IMAGE))?;
        trial.ready("shop", object)?;
    }
    let asked =
        |split: &Value, by: &str| exchanges(split, |path| is_asking(path) && near(path) == by);
    let last = wait(trial, &[], |split| asked(split, "front"))?;
    let nameless = asked(&last, "unknown");
    let most = RATE * NAMELESS.as_secs();
    let mut wrong = Vec::new();
    if nameless > most {
        wrong.push(format!("{nameless} exchanges have no workload's name, more than {most}"));
    }
    Ok(wrong)
}

/// Asks as a user of kubectl would.
pub(super) fn split(trial: &mut Trial) -> Result<Vec<String>> {
    let last = joined(trial)?;
    let path = path(&last).context("no path from front to cart")?;
    let mut wrong = Vec::new();
    let far = &path["far"];
    if far["cloud"] != NODES[1].cloud || far["region"] != NODES[1].region {
        wrong.push(format!("the far end is at {far}"));
    }
    let wan = path["segments"]["wan"]["p50_ns"].as_u64().unwrap_or(0);
    if !WAN.contains(&wan) {
        wrong.push(format!("half of the requests took the WAN {wan} ns, and the wire takes 20 ms"));
    }
    let words = ["split", "--group-by", "workload", "--near", "cloud=aws"];
    println!("{}", command::output(&mut trial.plugin(&words)?)?);
    Ok(wrong)
}

/// Waits until both ends were seen of enough exchanges of the two.
pub(super) fn joined(trial: &Trial) -> Result<Value> {
    wait(trial, &[], |split| path(split).and_then(|path| path["joined"].as_u64()).unwrap_or(0))
}

/// Whether a path is of requests from the first cloud, of which there is one kind.
fn is_asking(path: &Value) -> bool {
    path["kind"] == "response" && path["near"]["cloud"] == NODES[0].cloud
}

fn path(split: &Value) -> Option<&Value> {
    let mut paths = split["paths"].as_array().into_iter().flatten();
    paths.find(|path| is_asking(path) && near(path) == "front" && far(path) == "cart")
}

/// Waits until all exchanges of some seconds have a name.
pub(super) fn all_named(trial: &Trial) -> Result<()> {
    let count = |split: &Value| match exchanges(split, |path| near(path) == "unknown") {
        0 => exchanges(split, |path| near(path) == "front"),
        _ => 0,
    };
    wait(trial, &["--since", "1s"], count).map(|_| ())
}

/// Asks until enough is counted.
fn wait(trial: &Trial, more: &[&str], count: impl Fn(&Value) -> u64) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let split = ask(trial, more)?;
        let counted = count(&split);
        if counted >= ENOUGH {
            return Ok(split);
        }
        ensure!(!signals::stopped(), "interrupted");
        ensure!(Instant::now() < deadline, "only {counted} exchanges are there: {split}");
        thread::sleep(PAUSE);
    }
}

/// What `kubectl xcloud split` answers, by workload.
pub(super) fn ask(trial: &Trial, more: &[&str]) -> Result<Value> {
    let words = [&["split", "--group-by", "workload", "-o", "json"], more].concat();
    let said = command::output(&mut trial.plugin(&words)?)?;
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

/// Whose pod sent the data.
pub(super) fn near(path: &Value) -> String {
    name(&path["near_workload"])
}

fn far(path: &Value) -> String {
    name(&path["far_workload"])
}

fn name(workload: &Value) -> String {
    let name = workload["name"].as_str().filter(|name| !name.is_empty());
    name.unwrap_or("unknown").to_owned()
}

//! Pods that come and go in the API faster than any node could run them, with addresses that are others' now.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::{
    Trial,
    shop::{self, ask, exchanges, names, near},
};
use crate::{
    cluster::{
        credentials::Credentials,
        handle::pids_of,
        plan::{API_PORT, NODES, PLANE_IPV4, state},
    },
    command, signals,
};

const NAMESPACE: &str = "churn";
/// Pods in one round.
const ROUND: usize = 100;
/// From the start of one round to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Rounds: for a minute.
const ROUNDS: u32 = 60;
/// What is slower than this was no churn.
const LEAST_PER_SECOND: f64 = 50.0;
/// A label that no node has. The kubelet hears of many of these pods once it wakes, when they are gone: what it must not
/// run it refuses at once, and does not spend minutes on.
const NOWHERE: &str = "nowhere";
/// Whose exchanges there may be.
const KNOWN: [&str; 5] = ["front", "cart", "xcloud-agent", "xcloud-aggregator", "unknown"];

/// Makes pods on the first node and removes them, while its kubelet sleeps; then looks whose names exchanges have.
pub(super) fn mislabels_nothing(trial: &mut Trial) -> Result<Vec<String>> {
    let taken = trial.cluster.ask(&[
        "-n",
        "shop",
        "get",
        "pods",
        "-l",
        "app=front",
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ])?;
    trial.cluster.ask(&["create", "namespace", NAMESPACE])?;
    shop::all_named(trial)?;
    let kubelet = pids_of("kubelet", NODES[0])?;
    let signal = |signal| kubelet.iter().try_for_each(|pid| kill(Pid::from_raw(*pid), signal));
    signal(Signal::SIGSTOP).context("putting a kubelet to sleep")?;
    let start = Instant::now();
    let churned = churn(trial, taken.trim());
    signal(Signal::SIGCONT).context("waking a kubelet")?;
    let (count, took) = churned?;
    let rate = count as f64 / took.as_secs_f64();
    eprintln!("churn: {count} pods, {rate:.0} a second");
    ensure!(rate > LEAST_PER_SECOND, "the API server took only {rate:.0} pods a second");
    let since = format!("{}s", start.elapsed().as_secs());
    let split = ask(trial, &["--since", &since])?;
    let strangers: BTreeSet<_> =
        names(&split).into_iter().filter(|name| !KNOWN.contains(&&**name)).collect();
    let mut wrong = Vec::new();
    if !strangers.is_empty() {
        wrong.push(format!("exchanges are said to be those of {strangers:?}"));
    }
    let fronts = exchanges(&split, |path| near(path) == "front");
    let nameless = exchanges(&split, |path| near(path) == "unknown");
    if fronts == 0 || nameless > 0 {
        wrong.push(format!("{fronts} exchanges kept their name meanwhile, {nameless} lost it"));
    }
    Ok(wrong)
}

/// Returns how many pods came and went, and how long that took.
fn churn(trial: &Trial, taken: &str) -> Result<(usize, Duration)> {
    let (start, mut count) = (Instant::now(), 0);
    for round in 1..=ROUNDS {
        for requests in [made(count), addressed(count, taken), gone(count)] {
            send(trial, &requests)?;
        }
        count += ROUND;
        ensure!(!signals::stopped(), "interrupted");
        thread::sleep((PERIOD * round).saturating_sub(start.elapsed()));
    }
    Ok((count, start.elapsed()))
}

fn name(number: usize) -> String {
    format!("pod-{number}")
}

fn made(first: usize) -> String {
    requests(
        first,
        "POST",
        |_| String::new(),
        |number| {
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name(number)},
                "spec": {
                    "nodeName": NODES[0].name(),
                    "nodeSelector": {NOWHERE: NOWHERE},
                    "automountServiceAccountToken": false,
                    "containers": [{"name": "c", "image": "none"}],
                    "tolerations": [{"operator": "Exists"}],
                },
            })
        },
    )
}

/// One half has ended, with an address that another pod has by now; the other half runs.
fn addressed(first: usize, taken: &str) -> String {
    let path = |number| format!("/{}/status", name(number));
    requests(first, "PATCH", path, |number| {
        let (phase, address) = if number % 2 == 0 {
            ("Succeeded", taken.to_owned())
        } else {
            ("Running", format!("10.244.1.{}", 100 + number % 100))
        };
        json!({"status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}})
    })
}

fn gone(first: usize) -> String {
    let path = |number| format!("/{}", name(number));
    requests(first, "DELETE", path, |_| json!({"gracePeriodSeconds": 0}))
}

/// Requests as curl reads them.
fn requests(
    first: usize,
    method: &str,
    path: impl Fn(usize) -> String,
    body: impl Fn(usize) -> serde_json::Value,
) -> String {
    let kind = if method == "PATCH" { "merge-patch+json" } else { "json" };
    let mut text = String::new();
    for number in first..first + ROUND {
        let body = body(number).to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(
            text,
            "{}url = \"https://{PLANE_IPV4}:{API_PORT}/api/v1/namespaces/{NAMESPACE}/pods{}\"\n\
             request = {method}\n\
             header = \"Content-Type: application/{kind}\"\n\
             data = \"{body}\"\n\
             COMMON\n",
            if number == first { "" } else { "next\n" },
            path(number),
        );
    }
    text
}

fn send(trial: &Trial, requests: &str) -> Result<()> {
    let credentials = Credentials::of(&state());
    let token = token(&credentials.file("tokens.csv"))?;
    let common = format!(
        "header = \"Authorization: Bearer {token}\"\ncacert = \"{}\"\noutput = /dev/null\nfail\nsilent\nshow-error",
        credentials.file("ca.crt").display()
    );
    let words = ["--parallel", "--parallel-max", "8", "--config", "-"];
    let mut curl = trial.cluster.inside("curl", &words)?;
    command::feed(&mut curl, &requests.replace("COMMON", &common)).map(|_| ())
}

/// The administrator's, who is first.
fn token(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    text.split(',').next().map(String::from).context("there are no tokens")
}

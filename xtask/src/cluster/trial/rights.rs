//! What the agents' account may do.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{RELEASE, Trial};

const AGENT: &str = "--as=system:serviceaccount:xcloud:xcloud-agent";
/// An account without rights of its own.
const ANYBODY: &str = "--as=system:serviceaccount:xcloud:default";
/// All that the agent may do, as kubectl lists it.
const RIGHTS: [(&str, &str); 4] =
    [("pods", "list watch"), ("nodes", "get"), ("replicasets.apps", "get"), ("jobs.batch", "get")];
/// What it must not be able to, asked for one by one.
const NEVER: [[&str; 2]; 7] = [
    ["get", "secrets"],
    ["create", "pods"],
    ["delete", "pods"],
    ["create", "pods/exec"],
    ["list", "nodes"],
    ["patch", "nodes"],
    ["list", "configmaps"],
];
/// How long an agent may take to find out that it has no rights.
const REFUSAL: Duration = Duration::from_secs(60);

/// Asks the API server about each right, and for the whole list.
pub(super) fn exact(trial: &mut Trial) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (resource, verbs) in RIGHTS {
        for verb in verbs.split(' ') {
            if !may(trial, verb, resource)? {
                wrong.push(format!("the agent may not {verb} {resource}"));
            }
        }
    }
    for [verb, resource] in NEVER {
        if may(trial, verb, resource)? {
            wrong.push(format!("the agent may {verb} {resource}"));
        }
    }
    let (agents, anybodys) = (list(trial, AGENT)?, list(trial, ANYBODY)?);
    let wanted = RIGHTS.map(|(resource, verbs)| format!("{resource} [] [] [{verbs}]"));
    for right in agents.difference(&anybodys).filter(|right| !wanted.contains(right)) {
        wrong.push(format!("the agent also may: {right}"));
    }
    Ok(wrong)
}

fn may(trial: &Trial, verb: &str, resource: &str) -> Result<bool> {
    let output =
        trial.cluster.kubectl(&["auth", "can-i", verb, resource, "-A", AGENT])?.output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(said == "yes" || said == "no", "kubectl auth can-i said {said:?}");
    Ok(said == "yes")
}

/// All rights of an account, with one blank between columns.
fn list(trial: &Trial, account: &str) -> Result<BTreeSet<String>> {
    let said = trial.cluster.ask(&["auth", "can-i", "--list", "--no-headers", account])?;
    let lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(lines.collect())
}

/// Takes the rights away: agents get ready all the same, and say what they miss; then gives them back.
pub(super) fn refused(trial: &mut Trial) -> Result<Vec<String>> {
    let binding =
        trial.cluster.ask(&["get", "clusterrolebinding", "xcloud-agent", "-o", "yaml"])?;
    trial.cluster.ask(&["delete", "clusterrolebinding", "xcloud-agent"])?;
    trial.cluster.ask(&["-n", RELEASE, "rollout", "restart", "daemonset/xcloud-agent"])?;
    trial.ready(RELEASE, "daemonset/xcloud-agent")?;
    let logs = ["-n", RELEASE, "logs", "-l", "app.kubernetes.io/component=agent", "--tail=-1"];
    let warned =
        trial.cluster.until(Instant::now() + REFUSAL, "a warning of the agents", |cluster| {
            Ok(cluster.ask(&logs)?.contains("forbidden"))
        });
    let mut wrong = Vec::new();
    if warned.is_err() {
        wrong.push(format!("no agent says that it is refused: {}", trial.cluster.ask(&logs)?));
    }
    let binding = binding.lines().filter(|line| !line.trim_start().starts_with("resourceVersion"));
    trial.cluster.apply(&binding.collect::<Vec<_>>().join("\n"))?;
    Ok(wrong)
}

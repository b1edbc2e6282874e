//! Whether the real binary understands what containers are started with.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::judge::{containers, list, name, pod, text};
use crate::{bpf, command};

/// Addresses of either family that Kubernetes may fill in.
pub(super) const POD_IPS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// What containers are started with, with an address in place of what Kubernetes fills in.
pub(super) fn commands(objects: &[Value], pod_ip: &str) -> Vec<Vec<String>> {
    let containers = objects.iter().filter_map(pod).flat_map(containers);
    let filled = |argument: &Value| text(argument).replace("$(POD_IP)", pod_ip);
    containers.map(|one| list(&one["args"]).iter().map(filled).collect()).collect()
}

/// Containers that play parts in load tests write a result, and cannot write to their root.
pub(super) fn nowhere_to_write(objects: &[Value]) -> Vec<String> {
    let plays = |one: &Value| {
        let mut arguments = list(&one["args"]).iter().map(text);
        arguments.any(|argument| ["--load-tests", "endpoint"].contains(&argument))
    };
    let writes = |one: &Value| list(&one["volumeMounts"]).iter().any(|m| m["mountPath"] == "/tmp");
    let stuck = |object: &&Value| {
        let parts = pod(object).map(containers).unwrap_or_default();
        parts.into_iter().any(|one| plays(one) && !writes(one))
    };
    let stuck = objects.iter().filter(stuck);
    stuck.map(|object| format!("{} has no /tmp for results of load tests", name(object))).collect()
}

/// Whether the chart restarts pods for those keys of the configuration, and only those, that take a restart.
pub(super) fn restarts(xcloud: &Path, helpers: &str) -> Result<Vec<String>> {
    let reference = command::output(Command::new(xcloud).args(["config", "reference"]))?;
    let mut wrong = Vec::new();
    for (section, define) in [("agent", "hotAgentKeys"), ("aggregator", "hotAggregatorKeys")] {
        let page = reference.split(&format!("### `{section}:`")).nth(1).unwrap_or_default();
        let page = page.split("\n### ").next().unwrap_or_default();
        let hot = page.lines().filter(|line| line.contains("| at once |"));
        let hot: Vec<_> = hot.filter_map(|line| line.split('`').nth(1)).collect();
        let listed = helpers.split(&format!("define \"xcloud.{define}\" -}}}}\n")).nth(1);
        let listed = listed.and_then(|rest| rest.lines().next()).unwrap_or_default();
        if hot.is_empty() || hot.join(" ") != listed {
            wrong.push(format!("{section}: {hot:?} need no restart, the chart has {listed:?}"));
        }
    }
    Ok(wrong)
}

/// Asks the binary for help behind all arguments: it parses what comes before, and refuses what it does not know or
/// cannot read.
pub(super) fn understood(xcloud: &Path, arguments: &[String]) -> Result<()> {
    command::output(Command::new(xcloud).args(arguments).arg("--help")).map(drop)
}

/// Whether the binary takes the configuration file that the objects bring.
pub(super) fn sound_file(xcloud: &Path, objects: &[Value]) -> Result<()> {
    let texts = objects.iter().filter_map(|object| object["data"]["config.yaml"].as_str());
    let texts: Vec<_> = texts.collect();
    ensure!(texts.len() == 1, "there are {} configuration files, not one", texts.len());
    let path = bpf::target().join("tools/config.yaml");
    fs::write(&path, texts[0]).with_context(|| format!("writing {}", path.display()))?;
    command::output(Command::new(xcloud).args(["config", "check"]).arg(&path)).map(drop)
}

/// Makes sure that a flag that is not known would be refused, so that [`understood`] says something.
pub(super) fn refuses_nonsense(xcloud: &Path) -> Result<()> {
    let nonsense = |flag: &str| understood(xcloud, &["aggregator".into(), flag.into()]).is_err();
    ensure!(nonsense("--no-such-flag"), "the binary takes --no-such-flag");
    ensure!(nonsense("--join-window=soon"), "the binary takes --join-window=soon");
    Ok(())
}

//! Whether the real binary understands what containers are started with.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::judge::{containers, list, pod, text};
use crate::command;

/// What a container is started with, with addresses in place of what Kubernetes fills in.
pub(super) fn commands(objects: &[Value]) -> Vec<Vec<String>> {
    let containers = objects.iter().filter_map(pod).flat_map(containers);
    let filled = |argument: &Value| text(argument).replace("$(POD_IP)", "192.0.2.1");
    containers.map(|one| list(&one["args"]).iter().map(filled).collect()).collect()
}

/// Asks the binary for help behind all arguments: it parses what comes before, and refuses what it does not know or
/// cannot read.
pub(super) fn understood(xcloud: &Path, arguments: &[String]) -> Result<()> {
    command::output(Command::new(xcloud).args(arguments).arg("--help")).map(drop)
}

/// Makes sure that a flag that is not known would be refused, so that [`understood`] says something.
pub(super) fn refuses_nonsense(xcloud: &Path) -> Result<()> {
    let nonsense = |flag: &str| understood(xcloud, &["aggregator".into(), flag.into()]).is_err();
    ensure!(nonsense("--no-such-flag"), "the binary takes --no-such-flag");
    ensure!(nonsense("--join-window=soon"), "the binary takes --join-window=soon");
    Ok(())
}

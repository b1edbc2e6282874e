//! Whether the real binary understands what containers are started with.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::judge::{containers, list, pod, text};
use crate::{bpf, command};

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

//! What is left once xcloud is uninstalled.

use std::{fs, path::Path};

use anyhow::Result;

use super::{Trial, hooks};
use crate::{
    cluster::{handle::files_of, plan::NODES},
    command,
};

/// Uninstalls, and looks for programs, filters and pinned maps.
pub(super) fn none(trial: &mut Trial) -> Result<Vec<String>> {
    let programs = hooks::programs()?;
    let mut wrong = Vec::new();
    if programs.is_empty() {
        wrong.push("the agents hold no program, so nothing is shown".into());
    }
    // The kubelet that slept during the churn still hears of its pods, one by one, and of this after them.
    let mut delete = trial.cluster.kubectl(&["delete", "--timeout=300s", "-f", "-"])?;
    command::feed(&mut delete, &trial.installed)?;
    let left = hooks::loaded(&programs);
    if !left.is_empty() {
        wrong.push(format!("programs {left:?} are still loaded"));
    }
    for node in NODES {
        let pins = below(&files_of(node)?.join("sys/fs/bpf/xcloud"));
        if !pins.is_empty() {
            wrong.push(format!("{} has pinned {}", node.name(), pins.join(", ")));
        }
        let words = ["tc", "qdisc", "show"].map(String::from);
        let queues = command::output(&mut trial.cluster.on(node, &words)?)?;
        if queues.contains("clsact") {
            wrong.push(format!("{} has a place for filters: {queues}", node.name()));
        }
    }
    Ok(wrong)
}

fn below(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(
            |path| if path.is_dir() { below(&path) } else { vec![path.display().to_string()] },
        )
        .collect()
}

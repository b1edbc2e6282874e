//! What is left once xcloud is uninstalled.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;
use aya::programs::loaded_programs;

use super::{RELEASE, Trial, manifests};
use crate::{
    cluster::{
        handle::{files_of, pids_of},
        plan::NODES,
    },
    command,
};

/// Uninstalls, and looks for programs, filters and pinned maps.
pub(super) fn none(trial: &mut Trial) -> Result<Vec<String>> {
    let mut agents = Vec::new();
    for node in NODES {
        agents.extend(pids_of(RELEASE, node)?);
    }
    let programs: BTreeSet<_> = agents.iter().flat_map(|pid| programs_of(*pid)).collect();
    let mut wrong = Vec::new();
    if programs.is_empty() {
        wrong.push("the agents hold no program, so nothing is shown".into());
    }
    let manifest = manifests::manifest(trial)?;
    let mut delete = trial.cluster.kubectl(&["delete", "--timeout=90s", "-f", "-"])?;
    command::feed(&mut delete, &manifest)?;
    let left: Vec<_> = loaded_programs()
        .filter_map(Result::ok)
        .map(|program| program.id())
        .filter(|id| programs.contains(id))
        .collect();
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

/// Numbers of the programs that a process holds.
fn programs_of(pid: i32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let numbers = |text: String| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        lines.filter_map(|id| id.trim().parse().ok()).collect::<Vec<u32>>()
    };
    texts.flat_map(numbers).collect()
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

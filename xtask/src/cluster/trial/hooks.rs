//! What agents hold in the kernel: their programs, and where these run.

use std::{collections::BTreeSet, fs};

use anyhow::Result;
use aya::programs::loaded_programs;

use super::RELEASE;
use crate::cluster::{
    handle::pids_of,
    plan::{NODES, Node},
};

/// An interface's number and a direction there, as the kernel writes them.
pub(super) type Place = (String, String);

/// Numbers of the programs that all agents hold.
pub(super) fn programs() -> Result<BTreeSet<u32>> {
    let mut programs = BTreeSet::new();
    for node in NODES {
        let files = files(node)?;
        programs
            .extend(files.iter().filter_map(|file| field(file, "prog_id")?.parse::<u32>().ok()));
    }
    Ok(programs)
}

/// Those of `programs` that are loaded now.
pub(super) fn loaded(programs: &BTreeSet<u32>) -> Vec<u32> {
    let all = loaded_programs().filter_map(Result::ok).map(|program| program.id());
    all.filter(|id| programs.contains(id)).collect()
}

/// Where programs of a node's agents run at its interfaces, in order; a place that has two is there twice.
pub(super) fn places(node: Node) -> Result<Vec<Place>> {
    let files = files(node)?;
    let place = |file: &String| Some((field(file, "ifindex")?, field(file, "attach_type")?));
    let mut places: Vec<_> = files.iter().filter_map(place).collect();
    places.sort();
    Ok(places)
}

/// What the kernel says of the files that a node's agents have open.
fn files(node: Node) -> Result<Vec<String>> {
    let pids = pids_of(RELEASE, node)?;
    let of = |pid| fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    let files = pids.into_iter().flat_map(of);
    Ok(files.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect())
}

fn field(file: &str, name: &str) -> Option<String> {
    let mut values = file.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().map(|value| value.trim().to_owned())
}

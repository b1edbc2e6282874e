//! Runs made here, with the facts about this machine that have to be the same for two of them to be compared.

use std::{collections::BTreeMap, fs};

use crate::{
    cli::ends::EndsArgs,
    result::{Run, SCHEMA, Trial},
};

/// Trials as the file that others read.
pub(crate) fn run(label: &str, trials: Vec<Trial>) -> Run {
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: format!("xcloud {}", env!("CARGO_PKG_VERSION")),
        environment: environment(),
        trials,
        warnings: Vec::new(),
        suites: Vec::new(),
    }
}

/// Calls a trial's ends as its user does.
pub(crate) fn name_ends(ends: &EndsArgs, trial: &mut Trial) {
    if let Some(from) = &ends.from_label {
        trial.from.clone_from(from);
    }
    if let Some(to) = &ends.to_label {
        trial.to.clone_from(to);
    }
}

/// What is known, by name; what cannot be read is left out.
fn environment() -> BTreeMap<String, String> {
    let file = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cpu = file("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cpus = std::thread::available_parallelism().ok().map(|count| count.to_string());
    [
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("cpu", cpu),
        ("cpus", cpus),
        ("congestion_control", file("/proc/sys/net/ipv4/tcp_congestion_control")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// This machine's name.
pub(crate) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".into(), |name| name.trim().to_owned())
}

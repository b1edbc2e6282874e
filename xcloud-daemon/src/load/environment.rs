//! Runs made here, with the facts about this machine that have to be the same for two of them to be compared.

use std::{collections::BTreeMap, fs};

use crate::{
    cli::{ends::EndsArgs, fact::FactArgs},
    result::{Run, SCHEMA, Trial},
};

/// Trials as the file that others read. What the user says of the network goes before what is seen here.
pub(crate) fn run(label: &str, facts: &FactArgs, trials: Vec<Trial>) -> Run {
    let mut environment = environment();
    environment.extend(facts.facts.iter().cloned());
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: format!("xcloud {}", env!("CARGO_PKG_VERSION")),
        environment,
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, load::LoadCommand};

    /// Every command that writes a result takes facts, also after what is measured.
    #[test]
    fn facts_are_taken_by_all_that_write_results() {
        let aggregator = "--aggregator 127.0.0.1:1";
        for words in [
            "throughput -c h --result r".into(),
            "http http://h/ --result r".into(),
            "grpc h:1 --result r".into(),
            "rr h:1 --result r".into(),
            "crr h:1 --result r".into(),
            "udp-rr h:1 --result r".into(),
            "stamp --to h:1 --result r".into(),
            "convergence --to h:1 --event x --result r".into(),
            "matrix --peers f --me a --listen 127.0.0.1:1 --result r".into(),
            format!("run {aggregator} --from a --to b --result r throughput"),
            format!("export {aggregator} --result r id"),
            format!("suite {aggregator} crosscloud --result r"),
        ] {
            let line = format!("xcloud load {words} --fact cni=cilium --fact cni_version=1.18.3");
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("refused"));
            let nameless =
                Cli::try_parse_from(format!("xcloud load {words} --fact cni").split(' '));
            let error = nameless.expect_err("refused").to_string();
            assert!(error.contains("NAME=VALUE"), "{error}");
        }
    }

    #[test]
    fn facts_are_in_the_environment_and_go_before_what_is_seen() {
        let line = "xcloud load rr h:1 --fact cni=cilium --fact kernel=told";
        let Command::Load(LoadCommand::Rr(args)) =
            Cli::try_parse_from(line.split(' ')).expect("sound").command
        else {
            panic!("another command");
        };
        let run = run("a", &args.rate.fact, Vec::new());
        assert_eq!((&*run.environment["cni"], &*run.environment["kernel"]), ("cilium", "told"));
        assert!(run.environment.contains_key("cpus"));
    }
}

//! What a reader would look for and not find.

use super::facts::{Path, Report, measured::Measured};
use crate::report::once::{Remark, once};

/// Fewer trials than this say little about how far trials lie apart.
const FEW: usize = 5;

/// Facts without which nobody can make the same network again; they are given with `--fact`.
const CNI: [&str; 3] = ["cni", "cni_version", "cni_config"];

/// All that is missing, run by run and path by path.
#[must_use]
pub fn missing(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    let mut remarks = Vec::new();
    for run in &report.runs {
        if run.trials == 0 {
            all.push(format!("{}: there is no trial in it", run.label));
        }
        let untold = |fact: &&str| !run.environment.contains_key(*fact);
        if untold(&"kernel") {
            all.push(format!("{}: nothing says on what kernel it was made", run.label));
        }
        let untold: Vec<_> = CNI.into_iter().filter(untold).collect();
        if !untold.is_empty() {
            let untold = untold.join(", ");
            all.push(format!("{}: not told of the CNI: {untold} (--fact NAME=VALUE)", run.label));
        }
    }
    for path in &report.paths {
        if path.floor.is_none() {
            all.push(format!(
                "{}: not both ends are a known CLOUD/REGION, so there is no floor{}",
                path.name(),
                if path.way.cost.is_none() { " and no price" } else { "" }
            ));
        }
        for (run, measured) in report.runs.iter().zip(&path.measured) {
            let place = format!("{}, {}", run.label, path.name());
            let why = of_path(path, measured.as_ref());
            remarks.extend(why.into_iter().map(|why| Remark::new(&place, why)));
        }
    }
    all.extend(once(remarks));
    if report.runs.len() == 2 && report.verdicts.is_empty() {
        all.push(
            "no differences with intervals: the runs stand side by side, and nothing here says that one is better".into(),
        );
    }
    all
}

fn of_path(path: &Path, measured: Option<&Measured>) -> Vec<String> {
    let Some(measured) = measured else { return vec!["not measured in this run".into()] };
    let mut why: Vec<String> = measured.unreadable.clone();
    if measured.empty > 0 {
        why.push(format!("{} of {} trials found nothing", measured.empty, measured.trials));
    }
    if measured.trials < FEW {
        let trials = if measured.trials == 1 { "trial" } else { "trials" };
        why.push(format!("{} {trials}; {FEW} would show how far they lie apart", measured.trials));
    }
    let other = path.measured.iter().flatten().map(|one| one.trials).max().unwrap_or(0);
    if other > measured.trials {
        why.push(format!("{} trials where the other run has {other}", measured.trials));
    }
    let short = measured.seconds.values.iter().filter(|one| **one < measured.seconds.median / 2.0);
    let short = short.count();
    if short > 0 {
        why.push(format!(
            "{short} of {} trials took less than half as long as the others",
            measured.trials
        ));
    }
    if measured.segments.is_empty() && !measured.distributions.is_empty() {
        why.push("no split: the agents' view of this path is not in the file".into());
    }
    why
}

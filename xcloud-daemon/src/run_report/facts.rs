//! What runs hold, in the shape of a report.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Serialize;

use super::{doubts, missing, verdict::Verdict};
use crate::{
    cost::tariff::Tariffs,
    floor::{
        bandwidth::Instances,
        distance::{Floor, Regions},
    },
    place::Place,
    result::{Run, Trial},
};

pub mod cost;
pub mod distribution;
pub mod measured;
pub mod way;

use measured::Measured;
use way::{Data, Way};

/// Names the layout of the JSON form.
pub const SCHEMA: &str = "xcloud.report.v1";

/// One run, or two side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The runs, in the order given.
    pub runs: Vec<RunFacts>,
    /// Each test on each pair of ends, in the order of the first run.
    pub paths: Vec<Path>,
    /// What a comparison says; empty without one.
    pub verdicts: Vec<Verdict>,
    /// Why to doubt the comparison.
    pub verdict_doubts: Vec<String>,
    /// Figures that cannot be right.
    pub doubts: Vec<String>,
    /// What a reader would look for and not find.
    pub missing: Vec<String>,
}

/// What holds for a whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunFacts {
    /// What it is called here; two runs never have the same.
    pub label: String,
    /// The program that measured.
    pub tool: String,
    /// When the first trial began, RFC 3339; null without trials.
    pub started: Option<String>,
    /// Number of trials.
    pub trials: usize,
    /// Kernel, CNI, ...
    pub environment: BTreeMap<String, String>,
    /// What it says about itself, its trials' warnings included.
    pub warnings: Vec<String>,
}

/// A test on a pair of ends, with the data going one way, or both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Path {
    /// What was done.
    pub test: String,
    /// Where the load came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// What light needs; null where the ends are not known.
    pub floor: Option<Floor>,
    /// Which way its data goes.
    pub data: Data,
    /// What holds for the way that its first figure is of.
    #[serde(flatten)]
    pub way: Way,
    /// What holds for the way back; null unless data goes both ways at once.
    pub back: Option<Way>,
    /// What was measured, one for each run; null in a run without this path.
    pub measured: Vec<Option<Measured>>,
}

impl Path {
    /// Test and ends in one line, with an arrow where the data goes.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}: {} {} {}", self.test, self.from, self.data.arrow(), self.to)
    }

    /// The ways of its data, and what their names in the matrix end in.
    pub fn ways(&self) -> impl Iterator<Item = (&Way, &'static str)> {
        std::iter::once((&self.way, "")).chain(self.back.as_ref().map(|back| (back, ", back")))
    }
}

/// The report on runs; `missing` says what could not be had for it, and why.
///
/// # Errors
/// None that passes the tests: a table inside the program is wrong.
pub fn report(runs: &[Run], verdicts: Vec<Verdict>, missing: Vec<String>) -> Result<Report> {
    let tables = Tables::built_in()?;
    let paths = keys(runs).into_iter().map(|key| path(runs, key, &tables)).collect();
    let mut report = Report {
        schema: SCHEMA,
        runs: labelled(runs),
        paths,
        verdicts,
        verdict_doubts: Vec::new(),
        doubts: Vec::new(),
        missing,
    };
    report.doubts = doubts::doubts(&report);
    report.missing.extend(missing::missing(&report));
    Ok(report)
}

/// What is known beforehand.
struct Tables {
    regions: Regions,
    instances: Instances,
    tariffs: Tariffs,
}

impl Tables {
    fn built_in() -> Result<Self> {
        Ok(Self {
            regions: Regions::built_in()?,
            instances: Instances::built_in()?,
            tariffs: Tariffs::built_in()?,
        })
    }
}

type Key<'a> = (&'a str, &'a str, &'a str, Data);

fn key(trial: &Trial) -> Key<'_> {
    (&trial.test, &trial.from, &trial.to, Data::of(trial))
}

/// In order of their names: a suite's tests come in a random one.
fn keys(runs: &[Run]) -> BTreeSet<Key<'_>> {
    runs.iter().flat_map(|run| &run.trials).map(key).collect()
}

fn path(runs: &[Run], (test, from, to, data): Key<'_>, tables: &Tables) -> Path {
    let places = from.parse::<Place>().ok().zip(to.parse::<Place>().ok());
    let of_path = |run: &Run| {
        let trials: Vec<_> =
            run.trials.iter().filter(|trial| key(trial) == (test, from, to, data)).collect();
        (!trials.is_empty()).then(|| Measured::of(&trials))
    };
    let measured: Vec<_> = runs.iter().map(of_path).collect();
    let way = |ends, figure| Way::of(ends, figure, runs, &measured, tables);
    let (way, back) = match data {
        Data::Forward => (way([from, to], "throughput"), None),
        Data::Reverse => (way([to, from], "throughput"), None),
        Data::Both => (way([from, to], "throughput"), Some(way([to, from], "throughput_reverse"))),
    };
    Path {
        test: test.into(),
        from: from.into(),
        to: to.into(),
        floor: places.as_ref().and_then(|(from, to)| tables.regions.floor(from, to)),
        data,
        way,
        back,
        measured,
    }
}

fn labelled(runs: &[Run]) -> Vec<RunFacts> {
    let mut facts: Vec<RunFacts> = runs.iter().map(run_facts).collect();
    for (run, place) in facts.iter_mut().zip(["A", "B"]) {
        if run.label.trim().is_empty() {
            run.label = place.into();
        }
    }
    let same = |a: &[RunFacts]| a.len() == 2 && a[0].label == a[1].label;
    if same(&facts) {
        for (run, number) in facts.iter_mut().zip(["A", "B"]) {
            run.label = format!("{} ({number})", run.label);
        }
    }
    facts
}

fn run_facts(run: &Run) -> RunFacts {
    let of_trial = |(number, trial): (usize, &Trial)| {
        let name = format!("trial {number}, {}", trial.test);
        trial.warnings.iter().map(move |warning| format!("{name}: {warning}")).collect::<Vec<_>>()
    };
    let of_trials = (1..).zip(&run.trials).flat_map(of_trial);
    let started = run.trials.iter().map(|trial| trial.started_unix_ns).min();
    RunFacts {
        label: run.label.clone(),
        tool: run.tool.clone(),
        started: started.map(date),
        trials: run.trials.len(),
        environment: run.environment.clone(),
        warnings: run.warnings.iter().cloned().chain(of_trials).collect(),
    }
}

fn date(unix_ns: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_ns / 1_000_000_000);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests;

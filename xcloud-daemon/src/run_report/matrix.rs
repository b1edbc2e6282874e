//! The decision matrix: what was measured in each run, line by line. Every form of the report shows it.

use super::{
    facts::{
        Path, Report,
        distribution::Quantile,
        measured::{Figure, Measured, Moment},
    },
    figure::figure,
};
use crate::{
    compare::guards::is_context,
    cost::{estimate::Estimate, volume::Volume},
    floor::bandwidth::Cap,
};

/// Facts about an environment that a choice between runs hangs on; others are shown here only where runs differ.
const DECISIVE: [&str; 7] =
    ["cni", "cni_version", "cni_config", "data_plane", "encryption", "routing", "kernel"];

/// Quantiles shown, by name.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What a run does not have.
const NONE: &str = "-";

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// A path, or the environment.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A fact in each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// One for each run.
    pub cells: Vec<String>,
    /// What a comparison says about it.
    pub verdict: Option<String>,
    /// Whether it says how far to believe the others, and nothing about what was measured.
    pub context: bool,
}

/// The whole matrix.
#[must_use]
pub fn matrix(report: &Report) -> Vec<Block> {
    let environment = Block { title: "environment".into(), lines: environment(report) };
    let paths = report.paths.iter().flat_map(|path| {
        let (context, lines) = lines(report, path).into_iter().partition(|line| line.context);
        let apart = format!("{}: context, not judged", path.name());
        [Block { title: path.name(), lines }, Block { title: apart, lines: context }]
    });
    std::iter::once(environment).chain(paths).filter(|block| !block.lines.is_empty()).collect()
}

fn environment(report: &Report) -> Vec<Line> {
    let mut names: Vec<&str> = DECISIVE.to_vec();
    for name in report.runs.iter().flat_map(|run| run.environment.keys()) {
        if !names.contains(&&**name) {
            names.push(name);
        }
    }
    let cells = |name: &str| -> Vec<Option<String>> {
        report.runs.iter().map(|run| run.environment.get(name).cloned()).collect()
    };
    let wanted = |(name, cells): &(&str, Vec<Option<String>>)| {
        let differ = cells.windows(2).any(|pair| pair[0] != pair[1]);
        differ || (DECISIVE.contains(name) && cells.iter().any(Option::is_some))
    };
    let rows = names.into_iter().map(|name| (name, cells(name))).filter(wanted);
    rows.map(|(name, cells)| Line {
        name: name.into(),
        cells: cells.into_iter().map(|cell| cell.unwrap_or_else(|| NONE.into())).collect(),
        verdict: None,
        context: false,
    })
    .collect()
}

fn lines(report: &Report, path: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |context: bool, name: String, cell: &dyn Fn(&Measured) -> Option<String>| {
        let cells = path.measured.iter();
        let cells = cells.map(|one| one.as_ref().and_then(cell).unwrap_or_else(|| NONE.into()));
        let verdict = verdict(report, path, &name).filter(|_| !context);
        lines.push(Line { name, cells: cells.collect(), verdict, context });
    };
    for name in metrics(path) {
        let of_runs = || path.measured.iter().flatten().filter_map(|one| one.metrics.get(name));
        let context = is_context(name) || of_runs().all(|one| one.better.is_none());
        add(context, name.into(), &|one| one.metrics.get(name).map(spread));
    }
    for name in distributions(path) {
        for (title, quantile) in QUANTILES {
            let told =
                |one: &Measured| one.distributions.get(name)?.quantile(quantile).map(quantile_cell);
            if path.measured.iter().flatten().any(|one| told(one).is_some()) {
                add(is_context(name), format!("{name} {title}"), &told);
            }
        }
    }
    add(false, "trials".into(), &|one| Some(one.trials.to_string()));
    lines.extend(given(report, path));
    lines
}

/// What holds whatever was measured.
fn given(report: &Report, path: &Path) -> Vec<Line> {
    let line = |name: &str, cells: Vec<String>| Line {
        name: name.into(),
        cells,
        verdict: None,
        context: false,
    };
    let same = |text: String| vec![text; report.runs.len()];
    let mut lines = Vec::new();
    if let Some(floor) = path.floor {
        // Nearer than the table of regions is exact.
        let text = if floor.impossible_below_ns == 0 {
            "none, the regions are neighbours".into()
        } else {
            format!("{} ({:.0} km)", figure(floor.rtt_ns as f64, "ns"), floor.distance_km)
        };
        lines.push(line("light in fibre, round trip", same(text)));
    }
    for (way, which) in path.ways() {
        let line = |name: &str, cells| line(&format!("{name}{which}"), cells);
        if way.caps.iter().any(Option::is_some) {
            let cap = |cap: &Option<_>| cap.as_ref().map_or_else(|| NONE.into(), cap_cell);
            lines.push(line("instance may send", way.caps.iter().map(cap).collect()));
        }
        if let Some(cost) = &way.cost {
            let text = format!("{:.4} USD by {} ({})", cost.usd_per_gb, cost.path, cost.status);
            lines.push(line("a GB, of 10 TB a month", same(text)));
        }
        if way.moved.iter().any(Option::is_some) {
            let moved = |one: &Option<_>| one.as_ref().map_or_else(|| NONE.into(), moved_cell);
            lines.push(line("a trial moves", way.moved.iter().map(moved).collect()));
        }
    }
    lines
}

fn moved_cell(moved: &Estimate) -> String {
    let bytes = Volume(moved.bytes);
    match moved.usd {
        Some(usd) => format!("{bytes} (about {usd} USD)"),
        None => bytes.to_string(),
    }
}

fn cap_cell(cap: &Cap) -> String {
    format!("{} ({}, {})", figure(cap.bits_per_second, "bit/s"), cap.instance, cap.status)
}

fn verdict(report: &Report, path: &Path, figure: &str) -> Option<String> {
    let fits = report.verdicts.iter().find(|one| {
        (&one.test, &one.from, &one.to) == (&path.test, &path.from, &path.to)
            && one.figure == figure
    });
    fits.map(|one| one.says.clone())
}

/// Names of the figures of a path, what it bore first; without counts of what never happened.
fn metrics(path: &Path) -> Vec<&str> {
    let happened = |(_, one): &(_, &Figure)| !one.counts() || one.high > 0.0;
    let first = ["throughput", "achieved_rate", "offered_rate", "failed_share"];
    ordered(
        path,
        |one| one.metrics.iter().filter(happened).map(|(name, _)| &**name).collect(),
        &first,
    )
}

/// Names of the distributions of a path, those from the intended send time first.
pub(super) fn distributions(path: &Path) -> Vec<&str> {
    ordered(
        path,
        |one| one.distributions.keys().map(String::as_str).collect(),
        &["response", "service"],
    )
}

/// Names of the figures that a path has second by second, the throughput first; without counts that never change.
pub(super) fn series(path: &Path) -> Vec<&str> {
    ordered(path, changing, &["throughput"])
}

fn changing(one: &Measured) -> Vec<&str> {
    let counts = |name: &str| one.metrics.get(name).is_some_and(Figure::counts);
    let changes = |moments: &[Moment]| {
        moments.iter().any(|moment| moment.low < moments[0].high || moment.high > moments[0].low)
    };
    let drawn = one.series.iter().filter(|(name, all)| !counts(name) || changes(all));
    drawn.map(|(name, _)| &**name).collect()
}

fn ordered<'a>(
    path: &'a Path,
    of: impl Fn(&'a Measured) -> Vec<&'a str>,
    first: &[&'a str],
) -> Vec<&'a str> {
    let mut names: Vec<&str> = path.measured.iter().flatten().flat_map(of).collect();
    let place = |name: &&str| first.iter().position(|one| one == name).unwrap_or(first.len());
    names.sort_by_key(|name| (is_context(name), place(name), *name));
    names.dedup();
    names
}

fn spread(one: &Figure) -> String {
    let [median, low, high] = [one.median, one.low, one.high].map(|value| figure(value, &one.unit));
    ranged(median, &low, &high)
}

/// A figure with its range, unless that looks the same.
fn ranged(middle: String, low: &str, high: &str) -> String {
    if low == high { middle } else { format!("{middle} ({low} .. {high})") }
}

/// A quantile and the range of the trials' own.
fn quantile_cell(one: &Quantile) -> String {
    let at_least = if one.at_least { ">= " } else { "" };
    let [ns, low, high] = [one.ns, one.low_ns, one.high_ns].map(|ns| figure(ns as f64, "ns"));
    ranged(format!("{at_least}{ns}"), &low, &high)
}

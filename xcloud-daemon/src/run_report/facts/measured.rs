//! What the trials of one test on one pair of ends found in one run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::distribution::Distribution;
use crate::result::{Better, Trial};

/// All trials together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How many.
    pub trials: usize,
    /// Of those, without any figure or distribution.
    pub empty: usize,
    /// How long each took, in seconds.
    pub seconds: Figure,
    /// How it was done; a setting that is not the same in all trials has all its values.
    pub settings: BTreeMap<String, String>,
    /// Figures by name.
    pub metrics: BTreeMap<String, Figure>,
    /// Distributions by name, those of segments apart.
    pub distributions: BTreeMap<String, Distribution>,
    /// Distributions of the path's parts, by the names the split gives them.
    pub segments: BTreeMap<String, Distribution>,
    /// Figures second by second, by name.
    pub series: BTreeMap<String, Vec<Moment>>,
    /// Distributions that could not be used, and why.
    pub unreadable: Vec<String>,
}

/// A figure over trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Median.
    pub median: f64,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
    /// In the order of the trials that have it.
    pub values: Vec<f64>,
    /// In the spelling of UCUM.
    pub unit: String,
    /// Which direction is good.
    pub better: Option<Better>,
}

/// A figure over trials at one time of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// From the trial's beginning.
    pub seconds: f64,
    /// Median of the trials.
    pub median: f64,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Figure {
    /// Whether it says how often something happened: such a unit stands in braces.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.unit.starts_with('{') && self.unit.ends_with('}')
    }

    fn of(values: Vec<f64>, unit: &str, better: Option<Better>) -> Option<Self> {
        let (median, low, high) = spread(&values)?;
        Some(Self { median, low, high, values, unit: unit.into(), better })
    }
}

/// Median, lowest and highest.
fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some((median, low, high))
}

impl Measured {
    pub(super) fn of(trials: &[&Trial]) -> Self {
        let mut unreadable = Vec::new();
        let mut all = BTreeMap::new();
        for name in names(trials, |trial| trial.histograms.keys()) {
            let histograms = trials.iter().filter_map(|trial| trial.histograms.get(name));
            let mut why = Vec::new();
            if let Some(distribution) = Distribution::of(histograms, &mut why) {
                all.insert(name.to_owned(), distribution);
            }
            unreadable.extend(why.into_iter().map(|why| format!("{name}: {why}")));
        }
        let segments = all.extract_if(.., |name, _| name.starts_with(SEGMENT));
        let segments = segments.map(|(name, one)| (name[SEGMENT.len()..].into(), one)).collect();
        let empty = |trial: &&&Trial| trial.metrics.is_empty() && trial.histograms.is_empty();
        let seconds = trials.iter().map(|trial| trial.duration_ns as f64 / 1e9).collect();
        Self {
            trials: trials.len(),
            empty: trials.iter().filter(empty).count(),
            seconds: Figure::of(seconds, "s", None).unwrap_or_default(),
            settings: settings(trials),
            metrics: metrics(trials),
            distributions: all,
            segments,
            series: series(trials),
            unreadable,
        }
    }
}

/// Begins the names of distributions of a path's parts.
const SEGMENT: &str = "segment/";

fn names<'a, I: Iterator<Item = &'a String>>(
    trials: &[&'a Trial],
    of: impl Fn(&'a Trial) -> I,
) -> BTreeSet<&'a str> {
    trials.iter().flat_map(|trial| of(trial)).map(String::as_str).collect()
}

fn settings(trials: &[&Trial]) -> BTreeMap<String, String> {
    let all_values = |name: &str| {
        let values: BTreeSet<_> =
            trials.iter().filter_map(|trial| trial.settings.get(name)).cloned().collect();
        Vec::from_iter(values).join(", ")
    };
    let names = names(trials, |trial| trial.settings.keys());
    names.into_iter().map(|name| (name.to_owned(), all_values(name))).collect()
}

fn metrics(trials: &[&Trial]) -> BTreeMap<String, Figure> {
    let figure = |name: &str| {
        let found: Vec<_> = trials.iter().filter_map(|trial| trial.metrics.get(name)).collect();
        let first = found.first()?;
        let same = found.iter().filter(|one| one.unit == first.unit).map(|one| one.value);
        Figure::of(same.collect(), &first.unit, first.better)
    };
    let names = names(trials, |trial| trial.metrics.keys());
    names.into_iter().filter_map(|name| Some((name.to_owned(), figure(name)?))).collect()
}

fn series(trials: &[&Trial]) -> BTreeMap<String, Vec<Moment>> {
    let mut values: BTreeMap<(&str, usize), (u64, Vec<f64>)> = BTreeMap::new();
    for trial in trials {
        for (at, interval) in trial.intervals.iter().enumerate() {
            for (name, value) in &interval.metrics {
                let moment = values.entry((name, at)).or_insert((interval.start_ns, Vec::new()));
                moment.1.push(*value);
            }
        }
    }
    let mut series: BTreeMap<String, Vec<Moment>> = BTreeMap::new();
    for ((name, _), (start_ns, values)) in values {
        if let Some((median, low, high)) = spread(&values) {
            let moment = Moment { seconds: start_ns as f64 / 1e9, median, low, high };
            series.entry(name.into()).or_default().push(moment);
        }
    }
    series
}

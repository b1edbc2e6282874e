//! What a comparison found, and how it is shown.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    comparison::{Comparison, Estimate},
    stats::verdict::Verdict,
};
use crate::escape;

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// What it is called.
    pub label: String,
    /// The programs that measured it.
    pub tools: Vec<String>,
    /// How many trials it has.
    pub trials: usize,
}

/// Everything found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Compared with.
    pub a: Side,
    /// Compared.
    pub b: Side,
    /// Whether trials were taken in pairs.
    pub paired: bool,
    /// Chance of even one false alarm.
    pub alpha: f64,
    /// Differences below this share do not matter.
    pub equiv: Option<f64>,
    /// The difference that `trials_needed` is about.
    pub effect: f64,
    /// How many figures and distributions share `alpha`.
    pub families: usize,
    /// In the order of tests, pairs and names.
    pub comparisons: Vec<Comparison>,
    /// Why to doubt it.
    pub warnings: Vec<String>,
}

impl Report {
    /// Those where B is shown to be worse.
    pub fn worse(&self) -> impl Iterator<Item = &Comparison> {
        self.comparisons.iter().filter(|one| one.verdict == Verdict::Worse)
    }
}

const HEADER: [&str; 24] = [
    "test",
    "from",
    "to",
    "metric",
    "quantile",
    "unit",
    "trials_a",
    "trials_b",
    "a",
    "b",
    "difference",
    "difference_low",
    "difference_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "p",
    "p_adjusted",
    "variation_a",
    "variation_b",
    "detectable",
    "trials_needed",
    "at_least",
    "verdict",
];

/// For spreadsheets: one row a comparison.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(report: &Report) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for one in &report.comparisons {
        writer.write_record(row(one))?;
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

fn row(one: &Comparison) -> Vec<String> {
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let estimate = |estimate: Option<Estimate>| {
        let interval = estimate.and_then(|estimate| estimate.interval);
        let ends = [interval.map(|one| one.low), interval.map(|one| one.high)];
        [estimate.map(|estimate| estimate.value), ends[0], ends[1]].map(optional)
    };
    let mut row =
        [&one.test, &one.from, &one.to, &one.metric].map(|label| escape::csv(label)).to_vec();
    row.extend([optional(one.quantile), escape::csv(&one.unit)]);
    row.extend(one.trials.map(|trials| trials.to_string()));
    row.extend([one.a, one.b].map(|value| value.to_string()));
    row.extend(estimate(Some(one.difference)));
    row.extend(estimate(one.ratio));
    row.extend([Some(one.p), one.p_adjusted].map(optional));
    row.extend([one.variation[0], one.variation[1], one.detectable].map(optional));
    row.push(one.trials_needed.map(|trials| trials.to_string()).unwrap_or_default());
    let at_least = match one.at_least {
        [false, false] => "",
        [true, false] => "a",
        [false, true] => "b",
        [true, true] => "a b",
    };
    row.extend([at_least.to_owned(), one.verdict.words().to_owned()]);
    row
}

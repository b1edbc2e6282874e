//! A run as a trial of a result file.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{probes::Measured, summary::Summary};
use crate::{
    load::{
        convergence::outage::{Found, Gap},
        environment::hostname,
    },
    measure::histogram::Sparse,
    result::{Better, Histogram, Metric, Trial},
};

/// A run as a trial.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn trial(
    to: &str,
    settings: BTreeMap<String, String>,
    run: &Measured,
    summary: &Summary,
) -> Result<Trial> {
    Ok(Trial {
        test: "stamp".into(),
        from: hostname(),
        to: to.into(),
        started_unix_ns: u64::try_from(run.started_unix_ns).unwrap_or(0),
        duration_ns: run.duration_ns,
        settings,
        metrics: metrics(summary).into_iter().chain(outage(run)).collect(),
        histograms: histograms(summary)?,
        intervals: Vec::new(),
        warnings: summary.warnings.clone(),
    })
}

/// The distributions of a run.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn histograms(summary: &Summary) -> Result<BTreeMap<String, Histogram>> {
    encode([
        ("response", &summary.response),
        ("residence", &summary.residence),
        ("lateness", &summary.lateness),
        ("one_way_forward", &summary.forward),
        ("one_way_backward", &summary.backward),
    ])
}

/// Distributions that hold something, as standard tools read them.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn encode<const N: usize>(
    histograms: [(&str, &Sparse); N],
) -> Result<BTreeMap<String, Histogram>> {
    let used = histograms.into_iter().filter(|(_, values)| values.count() > 0);
    used.map(|(name, values)| Ok((name.to_owned(), Histogram::encode(&values.to_hdr())?))).collect()
}

/// The figures of a run.
#[must_use]
pub fn metrics(summary: &Summary) -> BTreeMap<String, Metric> {
    let losses = &summary.losses;
    let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
    let counts = [
        ("sent", losses.sent),
        ("answered", losses.answered),
        ("late", losses.late),
        ("lost_forward", losses.forward),
        ("lost_backward", losses.backward),
        ("lost_unplaced", losses.unplaced),
        ("duplicates_forward", losses.doubled_forward),
        ("duplicates_backward", losses.doubled_backward),
        ("reordered_forward", summary.reordered.forward),
        ("reordered_backward", summary.reordered.backward),
    ];
    let shares = [
        ("loss", share(losses.lost(), losses.sent)),
        ("reordered_share_forward", share(summary.reordered.forward, losses.answered)),
        ("reordered_share_backward", share(summary.reordered.backward, losses.answered)),
    ];
    let counts = counts.map(|(name, count)| (name, Metric::new(count as f64, "{packet}", None)));
    let shares = shares.map(|(name, share)| (name, Metric::new(share, "1", Some(Better::Lower))));
    let clocks = summary.clocks.clocks.last().map(|last| {
        [
            ("one_way_error", Metric::new(summary.clocks.error_ns(), "ns", None)),
            ("clock_offset", Metric::new(last.offset_ns, "ns", None)),
            ("clock_drift", Metric::new(last.ppm, "[ppm]", None)),
        ]
    });
    let all = counts.into_iter().chain(shares).chain(clocks.into_iter().flatten());
    all.map(|(name, metric)| (name.to_owned(), metric)).collect()
}

/// The longest time that a flow was down, and how much longer or shorter it may have been.
fn outage(run: &Measured) -> [(String, Metric); 2] {
    let found = Found::of(run, 0);
    let ns = |of: fn(&Gap) -> u64| found.longest().map_or(0, of) as f64;
    [
        ("outage".into(), Metric::new(ns(Gap::outage_ns), "ns", Some(Better::Lower))),
        ("outage_error".into(), Metric::new(ns(Gap::error_ns), "ns", None)),
    ]
}

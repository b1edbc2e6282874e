//! A distribution over all trials, and how far its trials lie apart.

#[cfg(test)]
use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::result::{self, is_lower_bound};

/// Values that have to lie beyond a quantile for it to be shown.
const BEYOND: f64 = 10.0;

/// Points of a curve for each tenfold rarer quantile.
const STEPS_PER_TENTH: u32 = 20;

/// Rarest quantile of a curve: one value in 10^6.
const TENTHS: u32 = 6;

/// In nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Number of values of all trials together.
    pub count: u64,
    /// Of those, lower bounds: requests that had not ended.
    pub censored: u64,
    /// Number of trials.
    pub trials: usize,
    /// Smallest.
    pub min_ns: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Largest.
    pub max_ns: u64,
    /// Quantiles of all values together that have at least ten beyond them.
    pub quantiles: Vec<Quantile>,
    /// The same, close to each other.
    #[serde(skip)]
    pub curve: Vec<Quantile>,
}

/// A quantile of all values, and the range of the trials' own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantile {
    /// From 0 to 1.
    pub quantile: f64,
    /// Of all values.
    pub ns: u64,
    /// Whether the true one may be higher: a value that is only a lower bound lies at or below it.
    pub at_least: bool,
    /// Lowest of the trials that have ten values beyond.
    pub low_ns: u64,
    /// Highest of those.
    pub high_ns: u64,
}

impl Distribution {
    /// Of several trials; those that cannot be decoded are told.
    pub(super) fn of<'a>(
        trials: impl Iterator<Item = &'a result::Histogram>,
        unreadable: &mut Vec<String>,
    ) -> Option<Self> {
        let mut decoded = Vec::new();
        let mut censored = 0u64;
        let mut lowest_bound_ns = None;
        for histogram in trials {
            match histogram.decode() {
                Ok(values) if values.is_empty() => {}
                Ok(values) => {
                    censored = censored.saturating_add(histogram.censored);
                    let bounds = [lowest_bound_ns, histogram.lowest_bound_ns()];
                    lowest_bound_ns = bounds.into_iter().flatten().min();
                    decoded.push(values);
                }
                Err(error) => unreadable.push(format!("{error:#}")),
            }
        }
        let merged = merged(&decoded, unreadable)?;
        let steps = (0..=TENTHS * STEPS_PER_TENTH)
            .map(|step| 1.0 - 10f64.powf(-f64::from(step) / f64::from(STEPS_PER_TENTH)));
        let points = |quantiles: &[f64]| points(&merged, &decoded, lowest_bound_ns, quantiles);
        Some(Self {
            count: merged.len(),
            censored,
            trials: decoded.len(),
            min_ns: merged.min(),
            mean_ns: merged.mean(),
            max_ns: merged.max(),
            quantiles: points(&[0.5, 0.9, 0.99, 0.999, 0.9999]),
            curve: points(&steps.collect::<Vec<_>>()),
        })
    }

    /// One of the quantiles kept.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<&Quantile> {
        self.quantiles.iter().find(|one| (one.quantile - quantile).abs() < 1e-9)
    }
}

fn merged(decoded: &[Histogram<u64>], unreadable: &mut Vec<String>) -> Option<Histogram<u64>> {
    let (first, others) = decoded.split_first()?;
    let mut merged = first.clone();
    merged.auto(true);
    for other in others {
        if let Err(error) = merged.add(other) {
            unreadable.push(format!("a histogram that cannot be added to another: {error}"));
        }
    }
    Some(merged)
}

/// The quantiles, ascending, that enough values lie beyond.
fn points(
    merged: &Histogram<u64>,
    trials: &[Histogram<u64>],
    lowest_bound_ns: Option<u64>,
    quantiles: &[f64],
) -> Vec<Quantile> {
    let own: Vec<_> = trials.iter().map(|trial| values(trial, quantiles)).collect();
    let point = |(at, ns): (usize, u64)| {
        let own = own.iter().filter_map(|trial| trial.get(at).copied());
        Quantile {
            quantile: quantiles[at],
            ns,
            at_least: is_lower_bound(ns, lowest_bound_ns),
            low_ns: own.clone().min().unwrap_or(ns),
            high_ns: own.max().unwrap_or(ns),
        }
    };
    values(merged, quantiles).into_iter().enumerate().map(point).collect()
}

/// The values at the first of these quantiles, as many as have enough values beyond; in one pass, since asking for each
/// walks through all buckets.
fn values(histogram: &Histogram<u64>, quantiles: &[f64]) -> Vec<u64> {
    let count = histogram.len() as f64;
    let told = |quantile: &&f64| **quantile == 0.0 || (1.0 - **quantile) * count >= BEYOND - 1e-6;
    let mut values = Vec::new();
    let mut seen = 0u64;
    let mut wanted = quantiles
        .iter()
        .take_while(told)
        .map(|quantile| (quantile * count).ceil().max(1.0))
        .peekable();
    for bucket in histogram.iter_recorded() {
        seen = seen.saturating_add(bucket.count_since_last_iteration());
        let value = bucket.value_iterated_to().min(histogram.max());
        while wanted.next_if(|rank| seen as f64 >= *rank).is_some() {
            values.push(value);
        }
    }
    values
}

#[cfg(test)]
pub(in crate::run_report) fn encoded(
    exact: impl Iterator<Item = u64>,
    bounds: &[u64],
) -> Result<result::Histogram> {
    let mut histogram = Histogram::new(3)?;
    for value in exact.chain(bounds.iter().copied()) {
        histogram.record(value)?;
    }
    Ok(result::Histogram {
        censored: bounds.len() as u64,
        censored_from_ns: bounds.iter().copied().min(),
        ..result::Histogram::encode(&histogram)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trials: &[result::Histogram]) -> (Option<Distribution>, Vec<String>) {
        let mut unreadable = Vec::new();
        (Distribution::of(trials.iter(), &mut unreadable), unreadable)
    }

    #[test]
    fn quantiles_are_of_all_values_never_a_mean_of_trials() -> Result<()> {
        let fast = encoded((0..1000).map(|_| 1_000_000), &[])?;
        let slow = encoded((0..1000).map(|_| 9_000_000), &[])?;
        let (distribution, _) = of(&[fast, slow]);
        let p90 = *distribution.expect("values").quantile(0.9).expect("enough values");
        assert!(p90.ns.abs_diff(9_000_000) < 9_000, "a mean would be 5 ms: {p90:?}");
        assert!(p90.low_ns.abs_diff(1_000_000) < 1_000 && p90.high_ns == p90.ns, "{p90:?}");
        Ok(())
    }

    #[test]
    fn one_pass_finds_what_the_histogram_finds() -> Result<()> {
        let values_in = encoded((1..5000).map(|at| at * at * 37), &[])?.decode()?;
        let quantiles = [0.0, 0.1, 0.5, 0.75, 0.9, 0.99, 0.997];
        let wanted = quantiles.map(|one| values_in.value_at_quantile(one).min(values_in.max()));
        assert_eq!(values(&values_in, &quantiles), wanted);
        Ok(())
    }

    #[test]
    fn a_quantile_without_ten_values_beyond_is_not_told() -> Result<()> {
        let (distribution, _) = of(&[encoded(1..=1000, &[])?]);
        let told: Vec<_> =
            distribution.expect("values").quantiles.iter().map(|one| one.quantile).collect();
        assert_eq!(told, [0.5, 0.9, 0.99]);
        Ok(())
    }

    #[test]
    fn a_quantile_among_unfinished_requests_is_a_lower_bound() -> Result<()> {
        let (distribution, _) = of(&[encoded(1..=9_500, &[20_000; 500])?]);
        assert_eq!(at_least(&distribution), [false, false, true, true]);
        Ok(())
    }

    #[test]
    fn lower_bounds_among_exact_values_reach_down_to_all_quantiles_above() -> Result<()> {
        // The bounds of those that were scheduled last are the smallest: they had waited least.
        let bounds: Vec<u64> = (0..2_800).map(|at| 2_000 + at).collect();
        let (distribution, _) = of(&[encoded(1..=7_200, &bounds)?]);
        assert_eq!(at_least(&distribution), [true; 4], "28 % are enough for the median");
        Ok(())
    }

    #[test]
    fn a_file_that_does_not_say_where_its_lower_bounds_are_has_no_exact_quantile() -> Result<()> {
        let old = result::Histogram { censored_from_ns: None, ..encoded(1..=9_999, &[20_000])? };
        assert_eq!(at_least(&of(&[old, encoded(1..=9_999, &[])?]).0), [true; 4]);
        Ok(())
    }

    fn at_least(distribution: &Option<Distribution>) -> Vec<bool> {
        let quantiles = distribution.iter().flat_map(|one| &one.quantiles);
        quantiles.map(|one| one.at_least).collect()
    }

    #[test]
    fn what_cannot_be_decoded_is_told_and_the_rest_shown() -> Result<()> {
        let broken = result::Histogram { hdr: "<script>".into(), ..encoded(1..=1, &[])? };
        let (distribution, unreadable) = of(&[broken.clone(), encoded(1..=100, &[])?]);
        assert_eq!(distribution.expect("values").trials, 1);
        assert_eq!(unreadable.len(), 1);
        assert_eq!(of(&[broken]).0, None);
        Ok(())
    }
}

//! Distributions: quantiles of merged histograms, never of single trials put together.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::{
    candidate::Candidate,
    comparison::{Comparison, Estimate, label},
    figures::{spread, variation},
    guards::is_context,
    pairing::Pair,
    question::Question,
    stats::{
        Design,
        grid::{Counts, Grid},
        shift::{QuantileShift, VALUES_ABOVE, shifts, supported},
        verdict::{Evidence, Verdict},
    },
};
use crate::{
    measure::histogram::bucket,
    report::once::Remark,
    result::{Better, Histogram, Trial, is_lower_bound},
};

/// Where distributions are compared.
pub const QUANTILES: [f64; 6] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999];

/// Compares every distribution that both arms of a pair have. The quantiles of one are a group.
///
/// # Errors
/// A histogram cannot be decoded.
pub fn compare(
    pair: &Pair<'_>,
    question: &Question,
    doubts: &mut Vec<Remark>,
) -> Result<Vec<Vec<Candidate>>> {
    let [a, b] = pair.trials.each_ref().map(|trials| names(trials));
    let both = a.intersection(&b).copied().filter(|name| question.wants(name));
    both.map(|name| {
        group(pair, name, question, doubts).with_context(|| format!("{name} of {}", pair.name()))
    })
    .collect()
}

fn names<'a>(trials: &[&'a Trial]) -> BTreeSet<&'a str> {
    trials.iter().flat_map(|trial| trial.histograms.keys().map(String::as_str)).collect()
}

fn group(
    pair: &Pair<'_>,
    name: &str,
    question: &Question,
    doubts: &mut Vec<Remark>,
) -> Result<Vec<Candidate>> {
    let having = having(pair, name, question.design);
    let [a, b] = having.each_ref().map(|arm| {
        arm.iter().map(|(trial, whole)| parts(trial, name, whole)).collect::<Result<Vec<_>>>()
    });
    let (a, b) = (a?, b?);
    let grid = Grid::new([&a, &b]);
    let asked = QUANTILES.into_iter().filter(|one| question.wants_quantile(name, &label(*one)));
    let asked: Vec<f64> = asked.collect();
    let quantiles = supported(&grid, &asked);
    if quantiles.len() < asked.len() {
        let left_out: Vec<String> =
            asked[quantiles.len()..].iter().map(|one| label(*one)).collect();
        let what = format!(
            "{} left out, fewer than {VALUES_ABOVE} values lie above",
            left_out.join(" and ")
        );
        doubts.push(Remark::new(format!("{name} of {}", pair.name()), what));
    }
    let of_trials = of_trials(&grid, &quantiles);
    let shifts = shifts(&grid, question.design, &quantiles, question.chance);
    let named = Named {
        pair,
        name,
        question,
        lowest_bounds: having
            .each_ref()
            .map(|arm| arm.iter().filter_map(|(_, whole)| whole.lowest_bound_ns()).min()),
    };
    Ok(shifts
        .iter()
        .enumerate()
        .map(|(at, shift)| named.candidate(shift, &of_trials[at]))
        .collect())
}

/// The trials that have it; of paired trials, those where both have it.
fn having<'a>(pair: &Pair<'a>, name: &str, design: Design) -> [Vec<(&'a Trial, &'a Histogram)>; 2] {
    let found = |trial: &&'a Trial| trial.histograms.get(name).map(|whole| (*trial, whole));
    let [a, b] = &pair.trials;
    match design {
        Design::Unpaired => [a, b].map(|trials| trials.iter().filter_map(found).collect()),
        Design::Paired => {
            let both = a.iter().zip(b).filter_map(|(a, b)| found(a).zip(found(b)));
            both.unzip::<_, _, Vec<_>, Vec<_>>().into()
        }
    }
}

/// A trial's distribution second by second, where its intervals hold all of it; otherwise in one piece.
fn parts(trial: &Trial, name: &str, whole: &Histogram) -> Result<Vec<Counts>> {
    let whole = counts(whole)?;
    let of_intervals = trial.intervals.iter().filter_map(|interval| interval.histograms.get(name));
    let parts = of_intervals.map(counts).collect::<Result<Vec<_>>>()?;
    let total = |parts: &[Counts]| parts.iter().flat_map(Counts::values).sum::<u64>();
    let complete = total(&parts) == whole.values().sum::<u64>();
    Ok(if complete && !parts.is_empty() { parts } else { vec![whole] })
}

fn counts(histogram: &Histogram) -> Result<Counts> {
    let decoded = histogram.decode()?;
    let mut counts = Counts::new();
    for value in decoded.iter_recorded() {
        let count = counts.entry(bucket(value.value_iterated_to())).or_default();
        // Kept where sums of all trials cannot overflow, whatever a file says.
        *count = count.saturating_add(value.count_since_last_iteration()).min(u64::from(u32::MAX));
    }
    Ok(counts)
}

/// By quantile, that of each trial alone, for how much trials differ.
fn of_trials(grid: &Grid, quantiles: &[f64]) -> Vec<[Vec<f64>; 2]> {
    let each = grid.arms.each_ref().map(|arm| {
        arm.iter().map(|trial| grid.quantiles(&trial.whole, quantiles)).collect::<Vec<_>>()
    });
    let at =
        |at: usize| each.each_ref().map(|arm| arm.iter().map(|trial| trial[at].max(1.0)).collect());
    (0..quantiles.len()).map(at).collect()
}

struct Named<'a> {
    pair: &'a Pair<'a>,
    name: &'a str,
    question: &'a Question,
    /// Of each arm, the smallest value that is only a lower bound.
    lowest_bounds: [Option<u64>; 2],
}

impl Named<'_> {
    fn candidate(&self, shift: &QuantileShift, of_trials: &[Vec<f64>; 2]) -> Candidate {
        let alpha = self.question.alpha;
        let interval = shift.log_ratio_interval(alpha);
        let [a, b] = shift.values;
        let evidence = Evidence {
            better: (!is_context(self.name)).then_some(Better::Lower),
            interval,
            one_sided: shift.log_ratio_interval(2.0 * alpha),
            margin: None,
            p: shift.p,
            smallest_p: shift.smallest_p,
            at_least: [0, 1].map(|arm| self.is_lower_bound(arm, shift.values[arm])),
        };
        let shown = Comparison {
            test: self.pair.test.into(),
            from: self.pair.from.into(),
            to: self.pair.to.into(),
            metric: self.name.into(),
            quantile: Some(shift.quantile),
            unit: "ns".into(),
            better: evidence.better,
            trials: of_trials.each_ref().map(Vec::len),
            a,
            b,
            at_least: evidence.at_least,
            difference: Estimate { value: b - a, interval: shift.difference_interval(alpha) },
            ratio: Some(Estimate { value: b / a, interval: interval.map(|one| one.map(f64::exp)) }),
            p: shift.p,
            p_adjusted: None,
            variation: of_trials.each_ref().map(|values| variation(values)),
            detectable: None,
            trials_needed: None,
            verdict: Verdict::NotJudged,
        };
        let [a, b] = of_trials
            .each_ref()
            .map(|values| values.iter().map(|value| value.ln()).collect::<Vec<_>>());
        let spread = spread(&a, &b, self.question.design).map(|spread| spread.max(shift.spread()));
        let spread = spread.filter(|spread| spread.is_finite());
        Candidate { shown, evidence, spread, rivals: shift.rivals }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value of a bucket, which is ten minutes at most"
    )]
    fn is_lower_bound(&self, arm: usize, value: f64) -> bool {
        is_lower_bound(value as u64, self.lowest_bounds[arm])
    }
}

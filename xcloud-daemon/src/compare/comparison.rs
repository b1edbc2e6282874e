//! One figure of two arms, side by side: what is shown, with names that programs can rely on.

use serde::Serialize;

use super::stats::{interval::Interval, verdict::Verdict};
use crate::result::Better;

/// A value with what is believed to hold the true one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// At level `1 - alpha`; null when there are too few trials.
    pub interval: Option<Interval>,
}

/// A figure, or one quantile of a distribution, beside the other arm's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The test.
    pub test: String,
    /// Where the load came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// Name of the figure or of the distribution.
    pub metric: String,
    /// Which quantile of the distribution; null for a figure.
    pub quantile: Option<f64>,
    /// Unit of `a`, `b` and `difference`.
    pub unit: String,
    /// Which direction is good.
    pub better: Option<Better>,
    /// Trials of A and of B that have it.
    pub trials: [usize; 2],
    /// In A: the median of the trials, or the quantile of their merged distribution.
    pub a: f64,
    /// In B, likewise.
    pub b: f64,
    /// Whether the values of A and B are only lower bounds, because requests had not ended.
    pub at_least: [bool; 2],
    /// B less A.
    pub difference: Estimate,
    /// B over A; null where a value is zero or below.
    pub ratio: Option<Estimate>,
    /// That there is no difference, looked at alone; of quantiles: with those of the same distribution.
    pub p: f64,
    /// The same, raised for all comparisons made; null where nothing is judged.
    pub p_adjusted: Option<f64>,
    /// Standard deviation from trial to trial as a share of the mean, in A and in B; null with a single trial.
    pub variation: [Option<f64>; 2],
    /// The smallest difference, as a share of A, that would be found with a probability of 80 %.
    pub detectable: Option<f64>,
    /// Trials an arm that it takes to find the difference asked for.
    pub trials_needed: Option<usize>,
    /// What may be said.
    pub verdict: Verdict,
}

impl Comparison {
    /// For people: the figure's name, with the quantile.
    #[must_use]
    pub fn name(&self) -> String {
        self.quantile.map_or_else(
            || self.metric.clone(),
            |quantile| format!("{} {}", self.metric, label(quantile)),
        )
    }

    /// For people: also the test and its ends.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{} of {} {} -> {}", self.name(), self.test, self.from, self.to)
    }
}

/// A quantile's name: p50, p99.9.
#[must_use]
pub fn label(quantile: f64) -> String {
    format!("p{}", (quantile * 1e6).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_called_as_usual() {
        assert_eq!([0.5, 0.95, 0.99, 0.999].map(label), ["p50", "p95", "p99", "p99.9"]);
    }
}

//! The shift function: by how much each of several quantiles of one arm's merged distribution differs from the other's.

use super::{
    Design, bootstrap,
    grid::{Grid, add},
    interval::Interval,
    permutation::{Labels, rivals},
    random::Random,
};

/// A quantile is told only if at least this many values lie above it in each arm.
pub const VALUES_ABOVE: f64 = 10.0;

/// How the chance that is needed is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// What the numbers depend on.
    pub seed: u64,
    /// Bootstrap replicates.
    pub replicates: usize,
}

/// One quantile of both arms.
#[derive(Clone, Debug)]
pub struct QuantileShift {
    /// Which.
    pub quantile: f64,
    /// In A and in B, in nanoseconds.
    pub values: [f64; 2],
    /// Of each replicate, the logarithm of B over A.
    log_ratios: Vec<f64>,
    /// Of each replicate, B less A.
    differences: Vec<f64>,
    /// That labels do not matter: simultaneous for all quantiles of the distribution.
    pub p: f64,
    /// The smallest that p could have been.
    pub smallest_p: f64,
    /// How many comparisons it is like one of, since the other quantiles share the level.
    pub rivals: f64,
    trials: [usize; 2],
    design: Design,
}

impl QuantileShift {
    /// What holds the logarithm of B over A.
    #[must_use]
    pub fn log_ratio_interval(&self, alpha: f64) -> Option<Interval> {
        bootstrap::interval(self.log_ratios.clone(), self.trials, self.design, alpha)
    }

    /// The standard deviation from trial to trial that the bootstrap's own spread amounts to: it also counts what the values
    /// within a trial leave open, which the interval has to allow for.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let count = self.log_ratios.len() as f64;
        let mean = self.log_ratios.iter().sum::<f64>() / count;
        let variance = self.log_ratios.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count;
        let [n, m] = self.trials.map(|trials| trials as f64);
        let share = match self.design {
            Design::Unpaired => (n - 1.0) / n / n + (m - 1.0) / m / m,
            Design::Paired => (n - 1.0) / n / n,
        };
        (variance / share).sqrt()
    }

    /// What holds B less A.
    #[must_use]
    pub fn difference_interval(&self, alpha: f64) -> Option<Interval> {
        bootstrap::interval(self.differences.clone(), self.trials, self.design, alpha)
    }
}

/// Those of some ascending quantiles that both arms have values enough for.
#[must_use]
pub fn supported(grid: &Grid, quantiles: &[f64]) -> Vec<f64> {
    let fewest = [0, 1].map(|arm| grid.merged(arm).iter().sum::<u64>());
    let fewest = fewest[0].min(fewest[1]) as f64;
    let above = |quantile: &f64| fewest * (1.0 - quantile) >= VALUES_ABOVE - 1e-6;
    quantiles.iter().copied().filter(above).collect()
}

/// Compares the merged distributions of two arms at ascending quantiles.
#[must_use]
pub fn shifts(
    grid: &Grid,
    design: Design,
    quantiles: &[f64],
    chance: Chance,
) -> Vec<QuantileShift> {
    let merged = [0, 1].map(|arm| grid.quantiles(&grid.merged(arm), quantiles));
    let mut random = Random::named(chance.seed, "bootstrap");
    let drawn = bootstrap::replicates(grid, design, quantiles, chance.replicates, &mut random);
    let trials = grid.arms.each_ref().map(Vec::len);
    let labels =
        Labels::new(trials[0], trials[1], design, &mut Random::named(chance.seed, "labels"));
    let seen = log_ratios(&merged);
    let under: Vec<Vec<f64>> = labels.iter().map(|way| relabelled(grid, way, quantiles)).collect();
    let (ps, rivals) = (labels.largest_p(&seen, &under), rivals(&under));
    let shift = |(at, quantile): (usize, &f64)| QuantileShift {
        quantile: *quantile,
        values: [merged[0][at], merged[1][at]],
        log_ratios: drawn.iter().map(|arms| (arms[1][at] / arms[0][at]).ln()).collect(),
        differences: drawn.iter().map(|arms| arms[1][at] - arms[0][at]).collect(),
        p: ps[at],
        smallest_p: labels.smallest_p(),
        rivals: rivals[at],
        trials,
        design,
    };
    quantiles.iter().enumerate().map(shift).collect()
}

fn log_ratios(arms: &[Vec<f64>; 2]) -> Vec<f64> {
    arms[0].iter().zip(&arms[1]).map(|(a, b)| (b / a).ln()).collect()
}

/// The same if other trials had been A's.
fn relabelled(grid: &Grid, is_a: &[bool], quantiles: &[f64]) -> Vec<f64> {
    let mut sums = [grid.nothing(), grid.nothing()];
    for (trial, is_a) in grid.arms.iter().flatten().zip(is_a) {
        add(&mut sums[usize::from(!is_a)], &trial.whole);
    }
    log_ratios(&sums.map(|sum| grid.quantiles(&sum, quantiles)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::stats::grid::{Counts, tests::counts};

    const CHANCE: Chance = Chance { seed: 1, replicates: 200 };

    /// Trials of 400 values around 1 ms whose tail is `tail` times as long, each trial off by some percent.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some milliseconds"
    )]
    fn arm(trials: usize, factor: f64, tail: f64, random: &mut Random) -> Vec<Vec<Counts>> {
        let mut trial = || {
            let off = (0.02 * random.normal()).exp() * factor;
            let mut second = || {
                let value = |_| {
                    let above = -random.share().ln();
                    let above = if above > 3.0 { 3.0 + (above - 3.0) * tail } else { above };
                    (1e6 * off * (1.0 + 0.1 * above)) as u64
                };
                counts(&(0..100).map(value).collect::<Vec<_>>())
            };
            (0..4).map(|_| second()).collect()
        };
        (0..trials).map(|_| trial()).collect()
    }

    fn compared(factor: f64, tail: f64, quantiles: &[f64]) -> Vec<QuantileShift> {
        let mut random = Random::new(5);
        let (a, b) = (arm(6, 1.0, 1.0, &mut random), arm(6, factor, tail, &mut random));
        shifts(&Grid::new([&a, &b]), Design::Unpaired, quantiles, CHANCE)
    }

    #[test]
    fn a_factor_moves_every_quantile_by_itself() {
        for shift in compared(1.2, 1.0, &[0.5, 0.9, 0.99]) {
            let interval = shift.log_ratio_interval(0.05).expect("six trials");
            assert!(interval.holds(1.2f64.ln()) && !interval.holds(0.0), "{interval:?}");
            assert!(shift.p <= 0.05, "{}", shift.p);
        }
    }

    #[test]
    fn a_longer_tail_moves_the_tail_only() {
        let [middle, tail] = &compared(1.0, 12.0, &[0.5, 0.99])[..] else {
            panic!("two quantiles")
        };
        assert!(middle.log_ratio_interval(0.05).expect("one").holds(0.0) && middle.p > 0.05);
        assert!(tail.log_ratio_interval(0.05).expect("one").low > 0.0 && tail.p <= 0.05);
    }

    #[test]
    fn a_quantile_needs_ten_values_above_it() {
        let of = |values: u64| vec![vec![counts(&(1..=values).collect::<Vec<_>>())]];
        let (a, b) = (of(10_000), of(1_000));
        let grid = Grid::new([&a, &b]);
        assert_eq!(supported(&grid, &[0.5, 0.99, 0.999]), [0.5, 0.99]);
        assert_eq!(supported(&Grid::new([&a, &a]), &[0.5, 0.99, 0.999]), [0.5, 0.99, 0.999]);
    }
}

//! What a comparison could have shown: the smallest difference that it would find with 80 % probability, and how many
//! trials a given one takes. In units of the standard deviation from trial to trial, for normal values.

use std::collections::HashMap;

use super::{
    Design,
    hodges_lehmann::{Shift, bound, smallest_p},
    normal,
    random::Random,
};

/// Probability with which a difference is to be found.
pub const POWER: f64 = 0.8;
/// Simulated comparisons a question.
const SIMULATED: usize = 1_000;
/// Up to this many contrasts comparisons are simulated; beyond, the limit for many trials is close enough.
const SIMULATED_CONTRASTS: usize = 900;
/// No more trials are ever proposed.
const MOST_TRIALS: usize = 10_000;

/// Answers, each computed once.
#[derive(Clone, Debug, Default)]
pub struct Power {
    known: HashMap<(usize, usize, Design, u64), f64>,
}

impl Power {
    /// The smallest shift found with probability [`POWER`] at level `alpha`; infinite if there are too few trials for any.
    pub fn detectable(&mut self, n: usize, m: usize, design: Design, alpha: f64) -> f64 {
        let key = (n, m, design, alpha.to_bits());
        *self.known.entry(key).or_insert_with(|| detectable(n, m, design, alpha))
    }

    /// How many trials an arm needs to find a shift; `None` if it takes more than anybody makes.
    pub fn trials_needed(&mut self, shift: f64, design: Design, alpha: f64) -> Option<usize> {
        let (mut low, mut high) = (fewest_trials(design, alpha)?, MOST_TRIALS);
        if self.detectable(high, high, design, alpha) > shift {
            return None;
        }
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.detectable(middle, middle, design, alpha) <= shift {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

/// By how much a standard deviation that was estimated with so many degrees of freedom is to be taken larger, so that what
/// is planned with it finds the difference with probability [`POWER`] on average over all estimates, too small ones among
/// them: the noncentral t distribution, as the normal one approximates it, over the normal one itself.
#[must_use]
pub fn caution(freedom: usize, alpha: f64) -> f64 {
    let (z, q) = (normal::quantile(1.0 - alpha / 2.0), normal::quantile(POWER));
    let twice = 2.0 * freedom.max(1) as f64;
    let widened = (1.0 + (z * z - q * q) / twice).sqrt();
    (z + q * widened) / (1.0 - q * q / twice) / (z + q)
}

/// How many trials an arm needs before anything at all can be shown at level `alpha`.
#[must_use]
pub fn fewest_trials(design: Design, alpha: f64) -> Option<usize> {
    (2..1_000).find(|n| smallest_p(*n, *n, design) <= alpha)
}

/// A shift is found when the interval, moved by it, lies above zero: so when it exceeds how far the interval without a
/// shift reaches below zero.
fn detectable(n: usize, m: usize, design: Design, alpha: f64) -> f64 {
    let (contrasts, variance) = match design {
        Design::Unpaired => (n * m, 1.0 / n as f64 + 1.0 / m as f64),
        Design::Paired => (n * (n + 1) / 2, 1.0 / n as f64),
    };
    if contrasts > SIMULATED_CONTRASTS {
        return for_many_trials(variance, alpha);
    }
    let Some(bound) = bound(n, m, design, alpha) else { return f64::INFINITY };
    let mut random = Random::named(1, "power");
    let mut draw = |count: usize| (0..count).map(|_| random.normal()).collect::<Vec<_>>();
    let reach = |_| {
        let (a, b) = match design {
            Design::Unpaired => (draw(n), draw(m)),
            Design::Paired => (vec![0.0; n], draw(n)),
        };
        Shift::new(&a, &b, design).between(bound).map_or(f64::INFINITY, |interval| -interval.low)
    };
    let mut reaches: Vec<f64> = (0..SIMULATED).map(reach).collect();
    reaches.sort_unstable_by(f64::total_cmp);
    reaches[SIMULATED * 8 / 10]
}

/// The z test's, made larger by the rank test's efficiency for normal values and by the first term of what the small
/// sample costs.
fn for_many_trials(variance: f64, alpha: f64) -> f64 {
    let z = normal::quantile(1.0 - alpha / 2.0) + normal::quantile(POWER);
    z * (variance * std::f64::consts::FRAC_PI_3).sqrt() * (1.0 + variance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::stats::hodges_lehmann::p_value;

    #[test]
    fn known_sizes_are_met() {
        let mut power = Power::default();
        for (n, wanted) in [(5, 2.3), (7, 1.8), (10, 1.4), (20, 0.96), (30, 0.77)] {
            let found = power.detectable(n, n, Design::Unpaired, 0.05);
            assert!((found / wanted - 1.0).abs() < 0.08, "{n}: {found}");
        }
        assert_eq!(power.detectable(3, 3, Design::Unpaired, 0.05), f64::INFINITY);
        assert_eq!(fewest_trials(Design::Unpaired, 0.05), Some(4));
        assert_eq!(fewest_trials(Design::Paired, 0.05), Some(6));
    }

    #[test]
    fn fewer_trials_of_a_pilot_make_more_cautious() {
        let shown = [4, 10, 40, 10_000].map(|freedom| caution(freedom, 0.05));
        for (one, wanted) in shown.iter().zip([1.16, 1.06, 1.015, 1.0]) {
            assert!((one - wanted).abs() < 0.01, "{shown:?}");
        }
    }

    #[test]
    fn simulation_and_limit_join() {
        for design in [Design::Unpaired, Design::Paired] {
            let (inside, beyond) = if design == Design::Unpaired { (30, 31) } else { (41, 43) };
            let [inside, beyond] = [inside, beyond].map(|n| detectable(n, n, design, 0.05));
            assert!((inside / beyond - 1.0).abs() < 0.08, "{design:?} {inside} {beyond}");
        }
    }

    /// The promise itself: at the number of trials named, four of five comparisons find the shift.
    #[test]
    fn the_shift_is_found_at_the_number_of_trials_named() {
        for design in [Design::Unpaired, Design::Paired] {
            for shift in [0.9, 1.5] {
                let n = Power::default().trials_needed(shift, design, 0.05).expect("not many");
                let mut random = Random::new(99);
                let mut draw = |by: f64| (0..n).map(|_| random.normal() + by).collect::<Vec<_>>();
                let mut found = 0;
                for _ in 0..1_000 {
                    let a = if design == Design::Paired { vec![0.0; n] } else { draw(0.0) };
                    found += u32::from(p_value(&a, &draw(shift), design) <= 0.05);
                }
                assert!((760..900).contains(&found), "{design:?} {shift}: {found} at {n}");
            }
        }
    }
}

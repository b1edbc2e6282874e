//! Wilcoxon's signed-rank test of paired values.

use super::{
    mann_whitney::{doubled_midranks, from_one, rejected, two_sided},
    normal,
};

/// Up to this many pairs the distribution is counted out, beyond it is taken as normal.
const EXACT: usize = 100;

/// Smallest two-sided p that this many pairs can give.
#[must_use]
pub fn smallest_p(pairs: usize) -> f64 {
    let halvings = i32::try_from(pairs).unwrap_or(i32::MAX);
    (2.0 * 0.5f64.powi(halvings)).min(1.0)
}

/// Two-sided p that differences are symmetric around zero; differences of zero say nothing and are left out.
#[must_use]
pub fn p_value(differences: &[f64]) -> f64 {
    let some: Vec<f64> = differences.iter().copied().filter(|one| *one != 0.0).collect();
    let sizes: Vec<f64> = some.iter().map(|one| one.abs()).collect();
    let (doubled, ties) = doubled_midranks(&sizes);
    let positive: usize =
        some.iter().zip(&doubled).filter(|(one, _)| **one > 0.0).map(|(_, rank)| rank).sum();
    if some.len() <= EXACT {
        return two_sided(&ways(&doubled), positive);
    }
    let (mean, deviation) = moments(some.len());
    let tied: f64 = ties.iter().map(|t| *t as f64).map(|t| t * t * t - t).sum();
    let deviation = (deviation * deviation - tied / 48.0).max(0.0).sqrt();
    let off = ((positive as f64 / 2.0 - mean).abs() - 0.5).max(0.0);
    (2.0 * normal::cdf(-off / deviation)).min(1.0)
}

/// Which of the ascending pairwise means of differences bounds an interval of level `1 - alpha`, from 1; `None` when there
/// are too few pairs for one.
#[must_use]
pub fn bound(pairs: usize, alpha: f64) -> Option<usize> {
    if pairs > EXACT {
        let (mean, deviation) = moments(pairs);
        return from_one(mean + normal::quantile(alpha / 2.0) * deviation - 0.5);
    }
    let ranks: Vec<usize> = (1..=pairs).collect();
    Some(rejected(&ways(&ranks), alpha / 2.0)).filter(|count| *count > 0)
}

fn moments(pairs: usize) -> (f64, f64) {
    let n = pairs as f64;
    (n * (n + 1.0) / 4.0, (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt())
}

/// How many choices of signs give each sum of positive ranks.
fn ways(ranks: &[usize]) -> Vec<f64> {
    let mut ways = vec![0.0; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    for rank in ranks {
        for sum in (*rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// By trying all signs.
    fn naive(differences: &[f64]) -> f64 {
        let some: Vec<f64> = differences.iter().copied().filter(|one| *one != 0.0).collect();
        let sizes: Vec<f64> = some.iter().map(|one| one.abs()).collect();
        let (ranks, _) = doubled_midranks(&sizes);
        let sum = |positive: &dyn Fn(usize) -> bool| -> usize {
            (0..some.len()).filter(|i| positive(*i)).map(|i| ranks[i]).sum()
        };
        let seen = sum(&|i| some[i] > 0.0);
        let all: Vec<usize> =
            (0u32..1 << some.len()).map(|set| sum(&|i| set >> i & 1 == 1)).collect();
        let share = |holds: &dyn Fn(usize) -> bool| {
            all.iter().filter(|sum| holds(**sum)).count() as f64 / all.len() as f64
        };
        (2.0 * share(&|sum| sum <= seen).min(share(&|sum| sum >= seen))).min(1.0)
    }

    proptest! {
        #[test]
        fn p_is_that_of_all_signs(differences in vec(-5i8..5, 1..9)) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            prop_assert!((p_value(&differences) - naive(&differences)).abs() < 1e-12);
        }
    }

    #[test]
    fn known_bounds_are_met() {
        assert_eq!(
            [5, 6, 8, 10, 20].map(|n| bound(n, 0.05)),
            [None, Some(1), Some(4), Some(9), Some(53)]
        );
        assert!((smallest_p(6) - 0.03125).abs() < 1e-12);
    }

    #[test]
    fn no_difference_at_all_is_no_evidence() {
        assert_eq!(p_value(&[0.0; 8]), 1.0);
        assert_eq!(p_value(&[]), 1.0);
        assert!(p_value(&[1.0; 200]) < 1e-9);
    }
}

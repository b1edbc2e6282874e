//! The Mann-Whitney (Wilcoxon rank sum) test of two independent samples.

use super::normal;

/// Up to this many pairs of values the distribution is counted out, beyond it is taken as normal.
const EXACT_PAIRS: usize = 2_500;
/// Up to this many values ties are counted out too.
const EXACT_TIED: usize = 60;

/// Smallest two-sided p that samples of these sizes can give.
#[must_use]
pub fn smallest_p(n: usize, m: usize) -> f64 {
    let ways = (1..=n).fold(1.0, |ways, i| ways * (m + i) as f64 / i as f64);
    (2.0 / ways).min(1.0)
}

/// Two-sided p that `a` and `b` come from one distribution; exact for small samples, with ties too.
#[must_use]
pub fn p_value(a: &[f64], b: &[f64]) -> f64 {
    let (doubled, ties) = doubled_midranks(&[a, b].concat());
    let sum: usize = doubled[..a.len()].iter().sum();
    let (n, m) = (a.len(), b.len());
    if ties.is_empty() && n * m <= EXACT_PAIRS {
        let u = sum / 2 - n * (n + 1) / 2;
        return two_sided(&ways_without_ties(n, m), u);
    }
    if n + m <= EXACT_TIED {
        return two_sided(&ways_with_ties(&doubled, n), sum);
    }
    approximate(n, m, sum as f64 / 2.0, &ties)
}

/// Which of the ascending differences between two samples bounds an interval of level `1 - alpha`, from 1; `None` when
/// samples are too small for one.
#[must_use]
pub fn bound(n: usize, m: usize, alpha: f64) -> Option<usize> {
    if n * m > EXACT_PAIRS {
        let z = normal::quantile(alpha / 2.0);
        let (mean, deviation) = moments(n, m);
        return from_one(mean + z * deviation - 0.5);
    }
    let ways = ways_without_ties(n, m);
    Some(rejected(&ways, alpha / 2.0)).filter(|count| *count > 0)
}

/// How many of the lowest values of a statistic have together at most this probability.
pub(super) fn rejected(ways: &[f64], at_most: f64) -> usize {
    let all: f64 = ways.iter().sum();
    let mut sum = 0.0;
    ways.iter()
        .take_while(|ways| {
            sum += **ways;
            sum <= at_most * all * (1.0 + 1e-12)
        })
        .count()
}

/// The number of the order statistic below which the normal approximation cuts.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be >= 0")]
pub(super) fn from_one(cut: f64) -> Option<usize> {
    (cut >= 0.0).then(|| cut as usize + 1)
}

/// Two-sided p of a statistic, from how many ways lead to each of its values.
pub(super) fn two_sided(ways: &[f64], statistic: usize) -> f64 {
    let all: f64 = ways.iter().sum();
    let below: f64 = ways[..=statistic].iter().sum();
    let above: f64 = ways[statistic..].iter().sum();
    (2.0 * below.min(above) / all).min(1.0)
}

fn moments(n: usize, m: usize) -> (f64, f64) {
    let (n, m) = (n as f64, m as f64);
    (n * m / 2.0, (n * m * (n + m + 1.0) / 12.0).sqrt())
}

/// How many arrangements of n and m values give each U: the largest value is of the one sample, above all m others, or of
/// the other.
fn ways_without_ties(n: usize, m: usize) -> Vec<f64> {
    let mut ways = vec![vec![0.0; n * m + 1]; n + 1];
    ways.iter_mut().for_each(|of| of[0] = 1.0);
    for others in 1..=m {
        for own in 1..=n {
            let (fewer, rest) = ways.split_at_mut(own);
            for u in others..=own * others {
                rest[0][u] += fewer[own - 1][u - others];
            }
        }
    }
    ways.pop().unwrap_or_default()
}

/// How many subsets of `n` ranks have each sum.
fn ways_with_ties(doubled: &[usize], n: usize) -> Vec<f64> {
    let top: usize = doubled.iter().sum();
    let mut ways = vec![vec![0.0; top + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in doubled {
        for size in (1..=n).rev() {
            let (fewer, rest) = ways.split_at_mut(size);
            for sum in *rank..=top {
                rest[0][sum] += fewer[size - 1][sum - rank];
            }
        }
    }
    ways.pop().unwrap_or_default()
}

/// Twice the rank of each value, equal values sharing theirs, and how large the groups of equal ones are.
pub(super) fn doubled_midranks(values: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut ties, mut below) = (vec![0; values.len()], Vec::new(), 0);
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        equal.iter().for_each(|at| ranks[*at] = 2 * below + equal.len() + 1);
        below += equal.len();
        if equal.len() > 1 {
            ties.push(equal.len());
        }
    }
    (ranks, ties)
}

fn approximate(n: usize, m: usize, rank_sum: f64, ties: &[usize]) -> f64 {
    let (mean, deviation) = moments(n, m);
    let all = (n + m) as f64;
    let tied: f64 = ties.iter().map(|t| *t as f64).map(|t| t * t * t - t).sum();
    let deviation = deviation * (1.0 - tied / (all * all * all - all)).max(0.0).sqrt();
    let u = rank_sum - (n * (n + 1)) as f64 / 2.0;
    let off = ((u - mean).abs() - 0.5).max(0.0);
    if deviation > 0.0 { (2.0 * normal::cdf(-off / deviation)).min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// By trying all ways to call some of the values `a`.
    fn naive(a: &[f64], b: &[f64]) -> f64 {
        let all = [a, b].concat();
        let (ranks, _) = doubled_midranks(&all);
        let sums: Vec<usize> = (0u32..1 << all.len())
            .filter(|set| set.count_ones() as usize == a.len())
            .map(|set| (0..all.len()).filter(|i| set >> i & 1 == 1).map(|i| ranks[i]).sum())
            .collect();
        let seen: usize = ranks[..a.len()].iter().sum();
        let share = |holds: &dyn Fn(usize) -> bool| {
            sums.iter().filter(|sum| holds(**sum)).count() as f64 / sums.len() as f64
        };
        (2.0 * share(&|sum| sum <= seen).min(share(&|sum| sum >= seen))).min(1.0)
    }

    proptest! {
        #[test]
        fn p_is_that_of_all_arrangements(a in vec(0u8..9, 1..6), b in vec(0u8..9, 1..6)) {
            let [a, b] = [a, b].map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
            prop_assert!((p_value(&a, &b) - naive(&a, &b)).abs() < 1e-12);
        }

        #[test]
        fn it_does_not_matter_which_sample_comes_first(a in vec(0.0..1.0, 1..9), b in vec(0.0..1.0, 1..9)) {
            prop_assert!((p_value(&a, &b) - p_value(&b, &a)).abs() < 1e-12);
        }
    }

    #[test]
    fn known_bounds_are_met() {
        let bounds = [(3, None), (4, Some(1)), (5, Some(3)), (7, Some(9)), (10, Some(24))];
        for (n, wanted) in bounds {
            assert_eq!(bound(n, n, 0.05), wanted, "{n}");
        }
        assert_eq!([15, 20, 30].map(|n| bound(n, n, 0.05)), [Some(65), Some(128), Some(318)]);
    }

    #[test]
    fn the_smallest_p_is_that_of_complete_separation() {
        assert!((smallest_p(3, 3) - 0.1).abs() < 1e-12);
        assert!((smallest_p(5, 5) - 2.0 / 252.0).abs() < 1e-12);
        assert!((p_value(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn the_approximation_joins_the_exact_values() {
        let exact = bound(50, 50, 0.05).expect("large enough") as f64;
        let beyond = bound(50, 51, 0.05).expect("large enough") as f64;
        assert!((beyond / exact - 51.0 / 50.0).abs() < 0.02, "{exact} {beyond}");
        let (a, b): (Vec<_>, Vec<_>) = (0..50).map(|i| (f64::from(i), f64::from(i) + 9.5)).unzip();
        let p = p_value(&a, &b);
        assert!((approximate(50, 50, rank_sum(&a, &b), &[]) - p).abs() < 2e-3, "{p}");
        assert_eq!(p_value(&[1.0; 40], &[1.0; 40]), 1.0);
    }

    fn rank_sum(a: &[f64], b: &[f64]) -> f64 {
        let (ranks, _) = doubled_midranks(&[a, b].concat());
        ranks[..a.len()].iter().sum::<usize>() as f64 / 2.0
    }
}

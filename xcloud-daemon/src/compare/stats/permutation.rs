//! Permutation of trials' labels: if both arms are alike, it does not matter which trials are called A.

use super::{Design, random::Random};

/// Up to this many ways to label the trials all are tried; beyond, as many are drawn.
const MOST: usize = 10_000;

/// Ways to label trials: whether each of all trials, those of A first, counts as A's.
#[derive(Clone, Debug)]
pub struct Labels {
    ways: Vec<Vec<bool>>,
    /// Whether A's and B's trials can change places: the mirror of a labelling, whose statistic is as large, is one then.
    mirrored: bool,
    /// Whether these are all ways there are, the true one among them.
    complete: bool,
}

impl Labels {
    /// For `n` trials of A and `m` of B.
    #[must_use]
    pub fn new(n: usize, m: usize, design: Design, random: &mut Random) -> Self {
        let number = match design {
            Design::Unpaired => (1..=n).fold(1.0, |ways, i| ways * (m + i) as f64 / i as f64),
            Design::Paired => 2.0f64.powi(i32::try_from(n).unwrap_or(i32::MAX)),
        };
        let complete = number <= MOST as f64 + 0.5;
        let ways = match (design, complete) {
            (Design::Unpaired, true) => subsets(n, n + m),
            (Design::Unpaired, false) => (0..MOST).map(|_| drawn(n, n + m, random)).collect(),
            (Design::Paired, true) => {
                (0..1u64 << n).map(|flips| flipped(n, |i| flips >> i & 1 == 1)).collect()
            }
            (Design::Paired, false) => {
                (0..MOST).map(|_| flipped(n, |_| random.bits() >> 63 == 1)).collect()
            }
        };
        // Pairs are as many of A as of B.
        Self { ways, mirrored: n == m, complete }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[bool]> {
        self.ways.iter().map(Vec::as_slice)
    }

    /// Smallest p that can come out of them.
    #[must_use]
    pub fn smallest_p(&self) -> f64 {
        let ways = self.ways.len() as f64;
        match (self.complete, self.mirrored) {
            (true, true) => (2.0 / ways).min(1.0),
            (true, false) => 1.0 / ways,
            // The true one counts beside those drawn.
            (false, _) => 1.0 / (ways + 1.0),
        }
    }

    /// Simultaneous p values of several statistics: how often the largest of them, each in units of its own spread, is at
    /// least the one seen. `seen` has one value a statistic; `under` has one row a labelling.
    #[must_use]
    pub fn largest_p(&self, seen: &[f64], under: &[Vec<f64>]) -> Vec<f64> {
        let spreads = spreads(under);
        let largest = largest(under, &spreads);
        let itself = if self.complete { 0.0 } else { 1.0 };
        let p = |(value, spread): (&f64, &f64)| {
            let wanted = scaled(*value, *spread) * (1.0 - 1e-9);
            let reaching = largest.iter().filter(|one| **one >= wanted).count() as f64;
            (reaching + itself) / (largest.len() as f64 + itself)
        };
        seen.iter().zip(&spreads).map(p).collect()
    }
}

/// How many comparisons each of several statistics is like one of, when the largest of them decides: how often any of them
/// reaches what a twentieth of the largest do, over how often it does so itself. From 1, where the others add nothing, to
/// their number.
#[must_use]
pub fn rivals(under: &[Vec<f64>]) -> Vec<f64> {
    let spreads = spreads(under);
    let mut largest = largest(under, &spreads);
    largest.sort_unstable_by(f64::total_cmp);
    let Some(threshold) = largest.get(largest.len() * 19 / 20) else { return Vec::new() };
    let threshold = threshold * (1.0 - 1e-9);
    let reaching = largest.iter().filter(|one| **one >= threshold).count() as f64;
    let own = |(at, spread): (usize, &f64)| {
        let own = under.iter().filter(|row| scaled(row[at], *spread) >= threshold).count();
        (reaching / own.max(1) as f64).clamp(1.0, spreads.len() as f64)
    };
    spreads.iter().enumerate().map(own).collect()
}

/// The root mean square of each statistic.
fn spreads(under: &[Vec<f64>]) -> Vec<f64> {
    let spread = |at: usize| {
        let sum: f64 = under.iter().map(|row| row[at] * row[at]).sum();
        (sum / under.len() as f64).sqrt()
    };
    (0..under.first().map_or(0, Vec::len)).map(spread).collect()
}

fn scaled(value: f64, spread: f64) -> f64 {
    if spread > 0.0 { value.abs() / spread } else { 0.0 }
}

/// The largest statistic of each labelling.
fn largest(under: &[Vec<f64>], spreads: &[f64]) -> Vec<f64> {
    let largest = |row: &Vec<f64>| {
        row.iter().zip(spreads).map(|(value, spread)| scaled(*value, *spread)).fold(0.0, f64::max)
    };
    under.iter().map(largest).collect()
}

/// All ways to choose `size` of `of`.
fn subsets(size: usize, of: usize) -> Vec<Vec<bool>> {
    let Some(left) = of.checked_sub(1) else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for (take, size) in
        [(true, size.checked_sub(1)), (false, Some(size).filter(|size| *size <= left))]
    {
        let Some(size) = size else { continue };
        for mut rest in subsets(size, left) {
            rest.push(take);
            all.push(rest);
        }
    }
    all
}

/// One way to choose `size` of `of`, all equally likely.
fn drawn(size: usize, of: usize, random: &mut Random) -> Vec<bool> {
    let mut missing = size;
    let choose = |left: usize| {
        let take = random.below(left) < missing;
        missing -= usize::from(take);
        take
    };
    (1..=of).rev().map(choose).collect()
}

/// Pairs whose two trials change places where `flip` says so.
fn flipped(pairs: usize, flip: impl FnMut(usize) -> bool) -> Vec<bool> {
    let of_a: Vec<bool> = (0..pairs).map(flip).map(|flip| !flip).collect();
    let of_b = of_a.iter().map(|is_a| !is_a).collect();
    [of_a, of_b].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::compare::stats::mann_whitney;

    fn labels(n: usize, m: usize, design: Design) -> Labels {
        Labels::new(n, m, design, &mut Random::new(1))
    }

    #[test]
    fn few_labellings_are_all_there_once() {
        let all = labels(3, 4, Design::Unpaired);
        assert!(all.complete && all.iter().all(|way| way.iter().filter(|a| **a).count() == 3));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 35);
        let all = labels(4, 4, Design::Paired);
        assert!(all.complete && all.iter().all(|way| (0..4).all(|i| way[i] != way[4 + i])));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 16);
    }

    #[test]
    fn of_many_labellings_a_fixed_number_is_drawn_fairly() {
        for (n, m, design) in [(20, 30, Design::Unpaired), (20, 20, Design::Paired)] {
            let drawn = labels(n, m, design);
            assert!(!drawn.complete && drawn.ways.len() == MOST);
            assert!(drawn.iter().all(|way| way.iter().filter(|a| **a).count() == n));
            let first = drawn.iter().filter(|way| way[0]).count() as f64 / MOST as f64;
            assert!((first - n as f64 / (n + m) as f64).abs() < 0.02, "{first}");
        }
    }

    fn p_of_means(values: &[f64], n: usize) -> f64 {
        let labels = labels(n, values.len() - n, Design::Unpaired);
        let difference = |way: &[bool]| {
            let sum = |of_a: bool| -> f64 {
                let own = values.iter().zip(way).filter(|(_, is_a)| **is_a == of_a);
                own.map(|(value, _)| value).sum()
            };
            vec![sum(false) / (values.len() - n) as f64 - sum(true) / n as f64]
        };
        let under: Vec<_> = labels.iter().map(difference).collect();
        let seen = difference(&(0..values.len()).map(|at| at < n).collect::<Vec<_>>());
        labels.largest_p(&seen, &under)[0]
    }

    #[test]
    fn complete_separation_gives_the_smallest_p_there_is() {
        let p = p_of_means(&[1.0, 2.0, 3.0, 4.0, 5.0, 11.0, 12.0, 13.0, 14.0, 15.0], 5);
        assert!((p - mann_whitney::smallest_p(5, 5)).abs() < 1e-12);
        assert!((p - labels(5, 5, Design::Unpaired).smallest_p()).abs() < 1e-12);
        assert!(p_of_means(&[1.0, 4.0, 6.0, 7.0, 2.0, 3.0, 5.0, 8.0], 4) > 0.9);
        assert_eq!(p_of_means(&[3.0; 8], 4), 1.0);
    }

    #[test]
    fn no_trials_lead_below_the_smallest_p_and_some_lead_to_it() {
        let mut random = Random::new(5);
        for (n, m) in [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (3, 3), (3, 4), (4, 3), (5, 2)] {
            // Each value counts more than all before it together.
            let mut values: Vec<f64> = (0..n + m).map(|at| 3f64.powi(at)).collect();
            let n = usize::try_from(n).expect("few");
            let least = (0..1_000).map(|_| {
                for left in (1..=values.len()).rev() {
                    values.swap(left - 1, random.below(left));
                }
                p_of_means(&values, n)
            });
            let least = least.fold(1.0, f64::min);
            let said = labels(n, values.len() - n, Design::Unpaired).smallest_p();
            assert!((least - said).abs() < 1e-12, "{n} and {m}: {least}, said {said}");
        }
    }

    #[test]
    fn a_pair_and_its_mirror_are_alike() {
        assert_eq!(labels(5, 5, Design::Paired).smallest_p(), 2.0 / 32.0);
    }

    #[test]
    fn statistics_that_say_the_same_are_like_one() {
        let mut random = Random::new(4);
        let mut rows = |own: bool| -> Vec<Vec<f64>> {
            let mut row = || {
                let common = random.normal();
                (0..4).map(|_| if own { random.normal() } else { common }).collect()
            };
            (0..10_000).map(|_| row()).collect()
        };
        assert_eq!(rivals(&rows(false)), [1.0; 4]);
        assert!(rivals(&rows(true)).iter().all(|count| (3.2..=4.0).contains(count)));
        assert_eq!(rivals(&[]), [0.0; 0]);
    }

    #[test]
    fn one_of_many_statistics_must_stand_out_more() {
        let labels = labels(5, 5, Design::Unpaired);
        let mut random = Random::new(3);
        let seen = [2.1; 20];
        let under: Vec<Vec<f64>> =
            labels.iter().map(|_| seen.map(|_| random.normal()).to_vec()).collect();
        let alone: Vec<Vec<f64>> = under.iter().map(|row| vec![row[0]]).collect();
        assert!(labels.largest_p(&seen[..1], &alone)[0] < 0.1);
        assert!(labels.largest_p(&seen, &under)[0] > 0.3);
    }
}

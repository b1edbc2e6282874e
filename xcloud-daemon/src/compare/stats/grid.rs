//! Histograms of two arms on one grid of buckets, so that merging them is adding up numbers.

use std::collections::BTreeMap;

use crate::measure::histogram::{Bucket, highest};

/// More parts of a trial than this are merged with their neighbours: what follows closely is alike anyway.
const MOST_PARTS: usize = 64;

/// How many values a bucket holds.
pub type Counts = BTreeMap<Bucket, u64>;

/// One trial: what came in each of its parts, in order.
#[derive(Clone, Debug)]
pub struct Trial {
    /// By part: places on the grid and how many values are there.
    pub parts: Vec<Vec<(usize, u64)>>,
    /// All parts together, by place on the grid.
    pub whole: Vec<u64>,
}

/// Both arms.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Value of each place, in nanoseconds, ascending.
    values: Vec<f64>,
    /// The trials of A and of B.
    pub arms: [Vec<Trial>; 2],
}

impl Grid {
    /// From trials, each given as its parts.
    #[must_use]
    pub fn new(arms: [&[Vec<Counts>]; 2]) -> Self {
        let all = arms.iter().flat_map(|arm| arm.iter().flatten());
        let mut buckets: Vec<Bucket> = all.flat_map(|part| part.keys().copied()).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let values = buckets.iter().map(|bucket| highest(*bucket).max(1) as f64).collect();
        Self {
            values,
            arms: arms.map(|arm| arm.iter().map(|parts| Trial::new(parts, &buckets)).collect()),
        }
    }

    /// Counts of nothing, to add to.
    #[must_use]
    pub fn nothing(&self) -> Vec<u64> {
        vec![0; self.values.len()]
    }

    /// An arm's trials, merged.
    #[must_use]
    pub fn merged(&self, arm: usize) -> Vec<u64> {
        let mut sum = self.nothing();
        self.arms[arm].iter().for_each(|trial| add(&mut sum, &trial.whole));
        sum
    }

    /// Ascending quantiles of counts on the grid, as HdrHistogram takes them; all 0 without values.
    #[must_use]
    pub fn quantiles(&self, counts: &[u64], quantiles: &[f64]) -> Vec<f64> {
        let total: u64 = counts.iter().sum();
        let (mut place, mut seen) = (0, counts.first().copied().unwrap_or(0));
        let mut at = |quantile: &f64| {
            let wanted = (quantile * total as f64).ceil().max(1.0);
            while (seen as f64) < wanted && place + 1 < counts.len() {
                place += 1;
                seen += counts[place];
            }
            self.values.get(place).copied().filter(|_| total > 0).unwrap_or(0.0)
        };
        quantiles.iter().map(&mut at).collect()
    }
}

impl Trial {
    fn new(parts: &[Counts], buckets: &[Bucket]) -> Self {
        let each = parts.len().div_ceil(MOST_PARTS).max(1);
        let mut whole = vec![0u64; buckets.len()];
        let mut parts: Vec<_> = parts.chunks(each).map(|some| on_grid(some, buckets)).collect();
        parts.retain(|part| !part.is_empty());
        for (place, count) in parts.iter().flatten() {
            whole[*place] = whole[*place].saturating_add(*count);
        }
        Self { parts, whole }
    }
}

fn on_grid(parts: &[Counts], buckets: &[Bucket]) -> Vec<(usize, u64)> {
    let mut sum = Counts::new();
    for (bucket, count) in parts.iter().flatten() {
        let entry = sum.entry(*bucket).or_default();
        *entry = entry.saturating_add(*count);
    }
    let place = |bucket| buckets.binary_search(&bucket).ok();
    sum.into_iter().filter_map(|(bucket, count)| Some((place(bucket)?, count))).collect()
}

/// Adds counts to others on the same grid.
pub fn add(sum: &mut [u64], counts: &[u64]) {
    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::measure::histogram::{Sparse, bucket};

    /// Counts of values in nanoseconds.
    pub(in crate::compare) fn counts(values: &[u64]) -> Counts {
        let mut counts = Counts::new();
        values.iter().for_each(|ns| *counts.entry(bucket(*ns)).or_default() += 1);
        counts
    }

    proptest! {
        #[test]
        fn merged_quantiles_are_those_of_all_values(
            trials in vec(vec(vec(1u64..1_000_000, 0..9), 1..4), 1..4), quantile in 0.01..0.999
        ) {
            let parts: Vec<Vec<Counts>> =
                trials.iter().map(|trial| trial.iter().map(|part| counts(part)).collect()).collect();
            let grid = Grid::new([&parts, &[]]);
            let mut all = Sparse::default();
            trials.iter().flatten().flatten().for_each(|ns| { all.record(*ns); });
            let wanted = all.bucket_at(quantile).map_or(0.0, |bucket| highest(bucket) as f64);
            prop_assert_eq!(grid.quantiles(&grid.merged(0), &[quantile])[0], wanted);
        }
    }

    #[test]
    fn many_parts_become_few_and_nothing_is_lost() {
        let parts: Vec<Counts> = (1..=1_000).map(|ns| counts(&[ns])).collect();
        let grid = Grid::new([&[parts], &[]]);
        assert!(grid.arms[0][0].parts.len() <= MOST_PARTS);
        assert_eq!(grid.arms[0][0].whole.iter().sum::<u64>(), 1_000);
    }

    #[test]
    fn ascending_quantiles_come_in_one_pass() {
        let values: Vec<u64> = (1..=1_000).collect();
        let grid = Grid::new([&[vec![counts(&values)]], &[]]);
        assert_eq!(
            grid.quantiles(&grid.merged(0), &[0.5, 0.9, 0.99, 1.0]),
            [500.0, 900.0, 990.0, 1000.0]
        );
        assert_eq!(grid.quantiles(&grid.merged(1), &[0.5, 0.9]), [0.0, 0.0]);
    }
}

//! Times of which some are only lower bounds: requests that had not ended when somebody stopped waiting for them.

use crate::{
    measure::histogram::{Sparse, dense::Dense},
    result::is_lower_bound,
};

/// A distribution with values that are known only to be at least so large.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// All values, lower bounds among them.
    pub values: Sparse,
    /// How many are lower bounds.
    pub censored: u64,
    /// The smallest lower bound.
    lowest_bound_ns: Option<u64>,
}

/// A quantile, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    /// In nanoseconds.
    pub ns: u64,
    /// The true one may be higher.
    pub at_least: bool,
}

impl Timings {
    /// All values of several.
    #[must_use]
    pub fn merged<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        Self {
            values: Sparse::merged(all.clone().map(|one| &one.values)),
            censored: all.clone().map(|one| one.censored).sum(),
            lowest_bound_ns: all.filter_map(|one| one.lowest_bound_ns).min(),
        }
    }

    /// A quantile from 0 to 1. Whatever the true values behind lower bounds are, one below the smallest bound is exact.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Quantile {
        self.known(self.values.quantile_ns(quantile))
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Quantile {
        self.known(self.values.max_ns())
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Quantile {
        Quantile { ns: self.values.mean_ns(), at_least: self.censored > 0 }
    }

    /// The smallest of the values that are only lower bounds.
    #[must_use]
    pub const fn lowest_bound_ns(&self) -> Option<u64> {
        self.lowest_bound_ns
    }

    fn known(&self, ns: u64) -> Quantile {
        Quantile { ns, at_least: is_lower_bound(ns, self.lowest_bound_ns) }
    }
}

/// [`Timings`] that are being recorded.
#[derive(Debug, Default)]
pub struct Recorder {
    values: Dense,
    censored: u64,
    lowest_bound_ns: Option<u64>,
}

impl Recorder {
    /// Adds a value.
    pub fn exact(&mut self, ns: u64) {
        self.values.record(ns);
    }

    /// Adds a value that is known only to be at least so large.
    pub fn at_least(&mut self, ns: u64) {
        self.values.record(ns);
        self.censored += 1;
        self.lowest_bound_ns = Some(self.lowest_bound_ns.map_or(ns, |bound| bound.min(ns)));
    }

    /// What was recorded since the last call.
    pub fn take(&mut self) -> Timings {
        Timings {
            values: self.values.take(),
            censored: std::mem::take(&mut self.censored),
            lowest_bound_ns: self.lowest_bound_ns.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::measure::histogram::HIGHEST_NS;

    fn of(exact: &[u64], bounds: &[u64]) -> Timings {
        let mut recorder = Recorder::default();
        exact.iter().for_each(|ns| recorder.exact(*ns));
        bounds.iter().for_each(|ns| recorder.at_least(*ns));
        recorder.take()
    }

    proptest! {
        /// The definition: a quantile said to be exact stays the same, however long the unfinished take in the end.
        #[test]
        fn an_exact_quantile_does_not_depend_on_the_unfinished(
            exact in vec(0u64..1_000, 1..50), bounds in vec((0u64..1_000, 0u64..1_000), 0..20), quantile in 0.01..=1.0
        ) {
            let known = of(&exact, &bounds.iter().map(|(bound, _)| *bound).collect::<Vec<_>>());
            let mut all = exact;
            all.extend(bounds.iter().map(|(bound, more)| bound + more));
            let truth = of(&all, &[]).quantile(quantile);
            let said = known.quantile(quantile);
            prop_assert!(said.ns <= truth.ns);
            prop_assert!(said.at_least || said.ns == truth.ns, "{said:?} {truth:?}");
        }

        #[test]
        fn merging_is_recording_together(a in vec(0u64..1_000, 0..20), b in vec(0u64..1_000, 0..20)) {
            let merged = Timings::merged([of(&a, &b), of(&b, &a)].iter());
            let both = [a, b].concat();
            prop_assert_eq!(merged, of(&both, &both));
        }
    }

    #[test]
    fn without_unfinished_all_is_exact() {
        let timings = of(&[10, 20, 30], &[]);
        assert_eq!(timings.quantile(0.5), Quantile { ns: 20, at_least: false });
        assert_eq!(timings.max(), Quantile { ns: 30, at_least: false });
    }

    #[test]
    fn a_lower_bound_beyond_the_highest_bucket_is_seen_there() {
        let timings = of(&[1; 90], &[HIGHEST_NS + 60_000_000_000; 10]);
        assert!(timings.max().at_least && !timings.quantile(0.5).at_least);
        let beside_longer = of(&[], &[HIGHEST_NS + 2_000_000_000, HIGHEST_NS + 1_000_000_000]);
        assert!(beside_longer.quantile(0.5).at_least);
    }

    #[test]
    fn a_quantile_among_the_unfinished_is_a_lower_bound() {
        let timings = of(&[1; 90], &[500; 10]);
        assert_eq!(timings.quantile(0.9), Quantile { ns: 1, at_least: false });
        assert_eq!(timings.quantile(0.99), Quantile { ns: 500, at_least: true });
        assert!(timings.mean().at_least && timings.max().at_least);
    }
}

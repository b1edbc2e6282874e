//! A range that is believed to hold a true value.

use serde::Serialize;

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value is inside.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether all of it is strictly inside another.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        outer.low < self.low && self.high < outer.high
    }

    /// Both ends through a function that keeps their order.
    #[must_use]
    pub fn map(self, increasing: impl Fn(f64) -> f64) -> Self {
        Self { low: increasing(self.low), high: increasing(self.high) }
    }
}

/// The middle one of ascending values, or halfway between the two in the middle; `None` without values.
#[must_use]
pub fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(sorted[low], sorted[high]))
}

/// The median of values in any order; `None` without values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_halfway() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn an_interval_that_touches_the_margin_is_not_within() {
        let margin = Interval { low: -1.0, high: 1.0 };
        assert!(Interval { low: -0.9, high: 0.9 }.is_within(&margin));
        assert!(!Interval { low: -0.9, high: 1.0 }.is_within(&margin));
        assert!(margin.holds(1.0) && !margin.holds(1.1));
    }
}

//! What may be said about B beside A, and no more than that.

use serde::Serialize;

use super::interval::Interval;
use crate::result::Better;

/// The word for one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is shown to be better than A.
    Better,
    /// B is shown to be worse than A.
    Worse,
    /// The difference is shown to be smaller than the margin.
    Equivalent,
    /// Neither a difference nor equivalence is shown.
    NoDifferenceShown,
    /// Nothing could have been shown with this few trials.
    NotEnoughTrials,
    /// No direction of this figure is good, or it is context; its difference is only described.
    NotJudged,
}

impl Verdict {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::NoDifferenceShown => "no difference shown",
            Self::NotEnoughTrials => "not enough trials",
            Self::NotJudged => "not judged",
        }
    }
}

/// What a verdict rests on. Shifts are of B over A, where zero is no difference.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// Which direction is good.
    pub better: Option<Better>,
    /// Holds the shift at level `1 - alpha`.
    pub interval: Option<Interval>,
    /// Holds it at level `1 - 2 alpha`: two one-sided tests, each at `alpha`.
    pub one_sided: Option<Interval>,
    /// Shifts inside are too small to matter.
    pub margin: Option<Interval>,
    /// That there is no difference, raised for the number of comparisons.
    pub p: f64,
    /// The smallest value `p` could have had.
    pub smallest_p: f64,
    /// Whether A's and B's figures are only lower bounds.
    pub at_least: [bool; 2],
}

impl Evidence {
    /// The verdict at a level.
    #[must_use]
    pub fn verdict(&self, alpha: f64) -> Verdict {
        let Some(better) = self.better else { return Verdict::NotJudged };
        if self.is_equivalent() {
            return Verdict::Equivalent;
        }
        match self.higher(alpha) {
            Some(higher) if higher == (better == Better::Higher) => Verdict::Better,
            Some(_) => Verdict::Worse,
            None if self.smallest_p > alpha => Verdict::NotEnoughTrials,
            None => Verdict::NoDifferenceShown,
        }
    }

    fn is_equivalent(&self) -> bool {
        let bounds = self.one_sided.as_ref().zip(self.margin.as_ref());
        self.at_least == [false, false] && bounds.is_some_and(|(one, margin)| one.is_within(margin))
    }

    /// Whether B is shown to be higher than A, or lower; test and interval have to say so both.
    fn higher(&self, alpha: f64) -> Option<bool> {
        let interval = self.interval.filter(|interval| self.p <= alpha && !interval.holds(0.0))?;
        let higher = interval.low > 0.0;
        // What may be even higher than its figure cannot be shown to be lower.
        let doubtful = self.at_least[if higher { 0 } else { 1 }];
        (!doubtful).then_some(higher)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIGHER: Evidence = Evidence {
        better: Some(Better::Higher),
        interval: Some(Interval { low: 0.02, high: 0.06 }),
        one_sided: Some(Interval { low: 0.03, high: 0.05 }),
        margin: None,
        p: 0.01,
        smallest_p: 0.008,
        at_least: [false, false],
    };

    #[test]
    fn the_direction_decides_which_is_better() {
        assert_eq!(HIGHER.verdict(0.05), Verdict::Better);
        assert_eq!(
            Evidence { better: Some(Better::Lower), ..HIGHER }.verdict(0.05),
            Verdict::Worse
        );
        assert_eq!(Evidence { better: None, ..HIGHER }.verdict(0.05), Verdict::NotJudged);
    }

    #[test]
    fn test_and_interval_have_to_agree() {
        assert_eq!(Evidence { p: 0.06, ..HIGHER }.verdict(0.05), Verdict::NoDifferenceShown);
        let touching = Evidence { interval: Some(Interval { low: 0.0, high: 1.0 }), ..HIGHER };
        assert_eq!(touching.verdict(0.05), Verdict::NoDifferenceShown);
        let none = Evidence { interval: None, p: 1.0, smallest_p: 0.1, ..HIGHER };
        assert_eq!(none.verdict(0.05), Verdict::NotEnoughTrials);
    }

    #[test]
    fn a_difference_below_the_margin_is_none_that_matters() {
        let margin = |by: f64| Some(Interval { low: -by, high: by });
        assert_eq!(Evidence { margin: margin(0.1), ..HIGHER }.verdict(0.05), Verdict::Equivalent);
        assert_eq!(Evidence { margin: margin(0.04), ..HIGHER }.verdict(0.05), Verdict::Better);
    }

    #[test]
    fn a_lower_bound_is_never_called_lower() {
        let a = Evidence {
            at_least: [true, false],
            margin: Some(Interval { low: -1.0, high: 1.0 }),
            ..HIGHER
        };
        assert_eq!(a.verdict(0.05), Verdict::NoDifferenceShown);
        assert_eq!(Evidence { at_least: [false, true], ..HIGHER }.verdict(0.05), Verdict::Better);
    }

    proptest! {
        #[test]
        fn no_winner_is_named_when_the_interval_holds_zero(
            low in -1.0..0.0f64, high in 0.0..1.0f64, p in 0.0..1.0f64, smallest_p in 0.0..1.0f64
        ) {
            let evidence = Evidence { interval: Some(Interval { low, high }), p, smallest_p, ..HIGHER };
            prop_assert!(!matches!(evidence.verdict(0.05), Verdict::Better | Verdict::Worse));
        }
    }
}

//! The Hodges-Lehmann shift: by how much one sample lies above another, with the interval that the rank test of the same
//! design gives. Outliers among trials barely move it.

use super::{
    Design,
    interval::{Interval, median_of_sorted},
    mann_whitney, signed_rank,
};

/// All contrasts that the shift is the median of, ascending.
#[derive(Clone, Debug)]
pub struct Shift {
    contrasts: Vec<f64>,
    design: Design,
    sizes: (usize, usize),
}

impl Shift {
    /// How far `b` lies above `a`. Paired arms have the same number of values.
    #[must_use]
    pub fn new(a: &[f64], b: &[f64], design: Design) -> Self {
        let mut contrasts: Vec<f64> = match design {
            Design::Unpaired => b.iter().flat_map(|b| a.iter().map(move |a| b - a)).collect(),
            Design::Paired => pairwise_means(&differences(a, b)),
        };
        contrasts.sort_unstable_by(f64::total_cmp);
        Self { contrasts, design, sizes: (a.len(), b.len()) }
    }

    /// The median contrast; `None` without values.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        median_of_sorted(&self.contrasts)
    }

    /// What holds the true shift with probability of at least `1 - alpha`; `None` when there are too few values.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<Interval> {
        let (n, m) = self.sizes;
        self.between(bound(n, m, self.design, alpha)?)
    }

    /// From this contrast, counted from 1, to the one as far from the other end.
    #[must_use]
    pub fn between(&self, bound: usize) -> Option<Interval> {
        let high = self.contrasts.len().checked_sub(bound)?;
        Some(Interval {
            low: *self.contrasts.get(bound.checked_sub(1)?)?,
            high: *self.contrasts.get(high)?,
        })
    }
}

/// Which of the ascending contrasts bounds an interval of level `1 - alpha`, from 1; `None` when there are too few trials.
#[must_use]
pub fn bound(n: usize, m: usize, design: Design, alpha: f64) -> Option<usize> {
    match design {
        Design::Unpaired => mann_whitney::bound(n, m, alpha),
        Design::Paired => signed_rank::bound(n.min(m), alpha),
    }
}

/// Two-sided p of the rank test that belongs to a design.
#[must_use]
pub fn p_value(a: &[f64], b: &[f64], design: Design) -> f64 {
    match design {
        Design::Unpaired => mann_whitney::p_value(a, b),
        Design::Paired => signed_rank::p_value(&differences(a, b)),
    }
}

/// Smallest p that a design with these numbers of trials can give.
#[must_use]
pub fn smallest_p(n: usize, m: usize, design: Design) -> f64 {
    match design {
        Design::Unpaired => mann_whitney::smallest_p(n, m),
        Design::Paired => signed_rank::smallest_p(n.min(m)),
    }
}

fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| b - a).collect()
}

fn pairwise_means(values: &[f64]) -> Vec<f64> {
    let from = |(at, one): (usize, &f64)| {
        let one = *one;
        values[at..].iter().map(move |other| f64::midpoint(one, *other))
    };
    values.iter().enumerate().flat_map(from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn samples() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        (6usize..12).prop_flat_map(|n| (vec(-9.0..9.0, n), vec(-9.0..9.0, n)))
    }

    fn designs() -> impl Strategy<Value = Design> {
        prop_oneof![Just(Design::Unpaired), Just(Design::Paired)]
    }

    proptest! {
        #[test]
        fn moving_one_sample_moves_shift_and_interval((a, b) in samples(), by in -5.0..5.0f64, design in designs()) {
            let moved: Vec<f64> = b.iter().map(|b| b + by).collect();
            let (before, after) = (Shift::new(&a, &b, design), Shift::new(&a, &moved, design));
            let (before, after) = (ends(&before), ends(&after));
            for (before, after) in before.into_iter().zip(after) {
                prop_assert!((before + by - after).abs() < 1e-9);
            }
        }

        #[test]
        fn swapping_the_arms_turns_the_sign((a, b) in samples(), design in designs()) {
            let [low, shift, high] = ends(&Shift::new(&a, &b, design));
            let swapped = ends(&Shift::new(&b, &a, design));
            for (one, other) in [-high, -shift, -low].iter().zip(swapped) {
                prop_assert!((one - other).abs() < 1e-9);
            }
        }

        /// The interval is every shift that the test does not refuse.
        #[test]
        fn interval_and_test_agree((a, b) in samples(), design in designs()) {
            let interval = Shift::new(&a, &b, design).interval(0.05).expect("enough");
            prop_assert_eq!(interval.holds(0.0), p_value(&a, &b, design) > 0.05);
            for (end, outwards) in [(interval.low, -1e-6), (interval.high, 1e-6)] {
                let refused = |shift: f64| {
                    let moved: Vec<f64> = b.iter().map(|b| b - shift).collect();
                    p_value(&a, &moved, design) <= 0.05
                };
                prop_assert!(refused(end + outwards) && !refused(end - outwards));
            }
        }
    }

    fn ends(shift: &Shift) -> [f64; 3] {
        let interval = shift.interval(0.05).expect("enough values");
        [interval.low, shift.estimate().expect("values"), interval.high]
    }

    #[test]
    fn one_outlier_moves_the_shift_little() {
        let a = [10.0, 10.1, 10.2, 10.3, 10.4];
        let b = [11.0, 11.1, 11.2, 11.3, 900.0];
        let shift = Shift::new(&a, &b, Design::Unpaired).estimate().expect("values");
        assert!((shift - 1.0).abs() < 0.15, "{shift}");
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!(Shift::new(&[1.0; 3], &[2.0; 3], Design::Unpaired).interval(0.05), None);
        assert_eq!(Shift::new(&[1.0; 5], &[2.0; 5], Design::Paired).interval(0.05), None);
        assert_eq!(Shift::new(&[], &[], Design::Unpaired).estimate(), None);
    }
}

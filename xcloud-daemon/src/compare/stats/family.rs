//! Many questions at once: p values raised so that the chance of even one false alarm stays below the level.

/// Holm's step-down adjustment over groups of p values that already hold the error within their group.
///
/// A group hands its share of the level on only when everything in it is shown, so with one value a group this is Holm's
/// method, and with several it holds the error over all values of all groups.
#[must_use]
pub fn adjust(groups: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let largest = |group: &[f64]| group.iter().copied().fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| largest(&groups[*a]).total_cmp(&largest(&groups[*b])));
    let mut adjusted = vec![Vec::new(); groups.len()];
    // By step: how many groups share the level, and at which level the step is reached.
    let (mut steps, mut reached) = (Vec::new(), 0.0f64);
    for (done, at) in order.iter().enumerate() {
        let sharing = (groups.len() - done) as f64;
        steps.push((sharing, reached));
        let raise = |p: &f64| {
            let by_step = steps.iter().map(|(sharing, reached)| reached.max(sharing * p));
            by_step.fold(1.0, f64::min)
        };
        adjusted[*at] = groups[*at].iter().map(raise).collect();
        reached = reached.max(sharing * largest(&groups[*at])).min(1.0);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Holm's method as textbooks put it.
    fn holm(values: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let (mut out, mut highest) = (vec![0.0; values.len()], 0.0f64);
        for (step, at) in order.into_iter().enumerate() {
            highest = highest.max((values.len() - step) as f64 * values[at]).min(1.0);
            out[at] = highest;
        }
        out
    }

    proptest! {
        #[test]
        fn single_values_get_holms(values in vec(0.0..1.0, 0..9)) {
            let groups: Vec<_> = values.iter().map(|p| vec![*p]).collect();
            let adjusted = adjust(&groups).concat();
            for (one, other) in adjusted.iter().zip(holm(&values)) {
                prop_assert!((one - other).abs() < 1e-12);
            }
        }

        #[test]
        fn nothing_gets_smaller_than_it_was(groups in vec(vec(0.0..1.0, 1..4), 1..5)) {
            for (raw, adjusted) in groups.concat().iter().zip(adjust(&groups).concat()) {
                prop_assert!(*raw <= adjusted && adjusted <= 1.0);
                prop_assert!(adjusted <= groups.len() as f64 * raw + 1e-12);
            }
        }
    }

    #[test]
    fn a_group_keeps_its_share_until_all_of_it_is_shown() {
        let adjusted = adjust(&[vec![0.01, 0.9], vec![0.04]]);
        assert_eq!(adjusted, [vec![0.02, 0.9], vec![0.08]]);
        let adjusted = adjust(&[vec![0.01, 0.02], vec![0.04]]);
        assert_eq!(adjusted, [vec![0.02, 0.04], vec![0.04]]);
    }
}

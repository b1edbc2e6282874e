//! Student's t distribution at whole degrees of freedom.

use super::normal::bisect;

/// Share of the distribution at or below `t`.
#[must_use]
pub fn cdf(t: f64, freedom: u32) -> f64 {
    0.5 + between(t.abs(), freedom) * t.signum() / 2.0
}

/// The value that a share of the distribution lies below.
#[must_use]
pub fn quantile(share: f64, freedom: u32) -> f64 {
    bisect(-1e6, 1e6, |t| cdf(t, freedom) < share)
}

/// Share between `-t` and `t`: the finite sums that whole degrees of freedom have.
fn between(t: f64, freedom: u32) -> f64 {
    let angle = (t / f64::from(freedom).sqrt()).atan();
    let (sine, square) = (angle.sin(), angle.cos().powi(2));
    let odd = freedom % 2 == 1;
    let first = if odd { angle.cos() } else { 1.0 };
    let (mut term, mut sum) = (first, 0.0);
    for step in (if odd { 1 } else { 0 }..freedom.saturating_sub(1)).step_by(2) {
        sum += term;
        term *= square * f64::from(step + 1) / f64::from(step + 2);
    }
    if odd { (angle + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::stats::normal::tests::integral;

    /// The density without its constant, over the angle whose tangent is t: smooth and on a finite range.
    fn density(angle: f64, freedom: u32) -> f64 {
        angle.cos().powi(i32::try_from(freedom).expect("small") - 1)
    }

    proptest! {
        #[test]
        fn it_is_the_integral_of_the_density(t in -30.0..30.0f64, freedom in 1u32..200) {
            let angle = (t / f64::from(freedom).sqrt()).atan();
            let to = |angle| integral(angle, |angle| density(angle, freedom));
            let share = 0.5 + to(angle) / to(std::f64::consts::FRAC_PI_2) / 2.0;
            prop_assert!((cdf(t, freedom) - share).abs() < 1e-8, "{} {share}", cdf(t, freedom));
        }
    }

    #[test]
    fn known_quantiles_are_met() {
        assert!((quantile(0.975, 4) - 2.776_445).abs() < 1e-5);
        assert!((quantile(0.975, 1) - 12.706_205).abs() < 1e-4);
        assert!((quantile(0.025, 18) + 2.100_922).abs() < 1e-5);
    }
}

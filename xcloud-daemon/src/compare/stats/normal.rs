//! The standard normal distribution.

/// Share of the distribution at or below `z`.
#[must_use]
pub fn cdf(z: f64) -> f64 {
    let magnitude = z.abs();
    if magnitude > 38.0 {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let tail = if magnitude < 3.0 { 0.5 - central(magnitude) } else { far_tail(magnitude) };
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Share between 0 and `z`, by the Taylor series of the distribution function.
fn central(z: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (z, z, 1.0);
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= z * z / odd;
        sum += term;
    }
    sum * density(z)
}

/// Share above `z`, by the continued fraction of Mills' ratio, which converges fast far out.
fn far_tail(z: f64) -> f64 {
    let fraction = (1..=120).rev().fold(z, |below, k| z + f64::from(k) / below);
    density(z) / fraction
}

fn density(z: f64) -> f64 {
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The value that a share of the distribution lies below; infinite at 0 and 1.
#[must_use]
pub fn quantile(share: f64) -> f64 {
    if share <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if share >= 1.0 {
        return f64::INFINITY;
    }
    bisect(-38.0, 38.0, |z| cdf(z) < share)
}

/// Where a condition that holds below and not above changes.
pub(super) fn bisect(mut low: f64, mut high: f64, still_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if still_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Simpson's rule.
    pub(in crate::compare::stats) fn integral(to: f64, density: impl Fn(f64) -> f64) -> f64 {
        let steps = 2_000;
        let at = |step: u32| density(to * f64::from(step) / f64::from(steps));
        let weight = |step: u32| if step.is_multiple_of(2) { 2.0 } else { 4.0 };
        let inner: f64 = (1..steps).map(|step| weight(step) * at(step)).sum();
        (at(0) + inner + at(steps)) * to / f64::from(steps) / 3.0
    }

    proptest! {
        #[test]
        fn it_is_the_integral_of_the_density(z in -6.0..6.0f64) {
            prop_assert!((cdf(z) - 0.5 - integral(z, density)).abs() < 1e-10, "{}", cdf(z));
        }

        #[test]
        fn the_quantile_turns_it_around(share in 1e-9..0.999_999f64) {
            prop_assert!((cdf(quantile(share)) / share - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_ends_are_infinite() {
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
        assert_eq!((cdf(-50.0), cdf(50.0)), (0.0, 1.0));
        assert!((quantile(0.975) - 1.959_963_985).abs() < 1e-8);
    }
}

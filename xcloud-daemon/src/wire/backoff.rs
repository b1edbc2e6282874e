//! How long whoever lost the aggregator waits before the next attempt.

use std::time::Duration;

/// Shortest time between two attempts.
pub const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause after so many failed attempts.
#[must_use]
pub fn pause(attempt: u32) -> Duration {
    backoff(attempt, random())
}

/// Doubles from the shortest to the longest pause, then takes a random part off so that agents do not come at once;
/// `random` is from 0 to 1.
fn backoff(attempt: u32, random: f64) -> Duration {
    let full = SHORTEST.saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(LONGEST);
    full.mul_f64(1.0 - random / 2.0).max(SHORTEST)
}

/// From 0 to 1. The standard library's hasher keys are its only source of randomness, and good enough to spread.
fn random() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn backoff_stays_in_its_bounds(attempt: u32, random in 0.0..=1.0) {
            let pause = backoff(attempt, random);
            prop_assert!((SHORTEST..=LONGEST).contains(&pause));
        }
    }

    #[test]
    fn backoff_doubles() {
        assert_eq!(backoff(0, 0.0), Duration::from_millis(100));
        assert_eq!(backoff(3, 0.0), Duration::from_millis(800));
        assert_eq!(backoff(40, 0.0), Duration::from_secs(5));
    }
}

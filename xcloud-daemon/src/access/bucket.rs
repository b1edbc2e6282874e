//! A limit on how often: so many a second, and some more after a pause. Time is told, not read.

use std::time::Duration;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// In the long run.
    pub per_second: f64,
    /// At once after a pause.
    pub burst: f64,
}

/// How much of a burst is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    left: f64,
    at: Duration,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub const fn new(rate: Rate, now: Duration) -> Self {
        Self { left: rate.burst, at: now }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        self.left = self.level(rate, now);
        self.at = self.at.max(now);
        let there = self.left >= 1.0;
        if there {
            self.left -= 1.0;
        }
        there
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_full(&self, rate: Rate, now: Duration) -> bool {
        self.level(rate, now) >= rate.burst
    }

    fn level(&self, rate: Rate, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        passed.mul_add(rate.per_second, self.left).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_are_taken_than_a_burst_and_the_rate_allow(steps in prop::collection::vec(0u64..50, 1..500)) {
            let rate = Rate { per_second: 10.0, burst: 20.0 };
            let mut bucket = Bucket::new(rate, Duration::ZERO);
            let (mut now, mut taken) = (Duration::ZERO, 0u32);
            for step in steps {
                now += Duration::from_millis(step);
                taken += u32::from(bucket.take(rate, now));
            }
            prop_assert!(f64::from(taken) <= now.as_secs_f64().mul_add(10.0, 20.5));
        }
    }

    #[test]
    fn it_fills_up_again() {
        let rate = Rate { per_second: 2.0, burst: 2.0 };
        let mut bucket = Bucket::new(rate, Duration::ZERO);
        let second = Duration::from_secs(1);
        let took: Vec<_> = [0, 0, 0, 1, 1, 1].map(|at| bucket.take(rate, at * second)).into();
        assert_eq!(took, [true, true, false, true, true, false]);
        assert!(!bucket.is_full(rate, second) && bucket.is_full(rate, 2 * second));
    }
}

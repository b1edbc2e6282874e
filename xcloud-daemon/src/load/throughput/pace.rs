//! When to send what at a rate: from the test's beginning, so that being late is made up for and errors do not add up.

use std::time::Duration;

/// Longest time of silence that is made up for.
const MEMORY: Duration = Duration::from_millis(100);

/// A rate, and how much of it has been used.
#[derive(Clone, Debug)]
pub struct Pace {
    bits_per_second: u64,
    burst_bytes: u64,
    sent: u64,
    forgiven: Duration,
}

impl Pace {
    /// `rate` bits per second, in bursts of `burst_bytes`.
    #[must_use]
    pub fn new(rate: u64, burst_bytes: u64) -> Self {
        Self {
            bits_per_second: rate.max(1),
            burst_bytes: burst_bytes.max(1),
            sent: 0,
            forgiven: Duration::ZERO,
        }
    }

    /// How long to wait at `now` since the beginning before the next write.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let due = self.due() + self.forgiven;
        // A path that carries less than the rate would otherwise be owed more and more.
        if now > due + MEMORY {
            self.forgiven += now - due - MEMORY;
        }
        (self.due() + self.forgiven).saturating_sub(now)
    }

    /// Takes note of bytes that were sent.
    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// When the burst that is being sent was to begin.
    fn due(&self) -> Duration {
        let begun = self.sent - self.sent % self.burst_bytes;
        let nanoseconds = u128::from(begun) * 8_000_000_000 / u128::from(self.bits_per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bytes_in(time: Duration, pace: &mut Pace, write: u64, cost: Duration) -> u64 {
        let (mut now, mut bytes) = (Duration::ZERO, 0);
        loop {
            now += pace.wait(now);
            if now >= time {
                return bytes;
            }
            pace.sent(write);
            bytes += write;
            now += cost;
        }
    }

    #[test]
    fn a_second_carries_the_rate() {
        let mut pace = Pace::new(8_000_000, 1000);
        assert_eq!(bytes_in(SECOND, &mut pace, 1000, Duration::ZERO), 1_000_000);
    }

    #[test]
    fn bursts_are_sent_at_once_and_not_more() {
        let mut pace = Pace::new(8_000_000, 10_000);
        for _ in 0..10 {
            assert_eq!(pace.wait(Duration::ZERO), Duration::ZERO);
            pace.sent(1000);
        }
        assert_eq!(pace.wait(Duration::ZERO), Duration::from_millis(10));
    }

    #[test]
    fn a_pause_is_made_up_for_only_in_part() {
        let mut pace = Pace::new(8_000_000, 1000);
        assert_eq!(pace.wait(SECOND), Duration::ZERO);
        pace.sent(100_000);
        assert_eq!(pace.wait(SECOND), Duration::ZERO);
        pace.sent(1000);
        assert_eq!(pace.wait(SECOND), Duration::from_millis(1));
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_whatever_a_write_costs(write in 16..65_507_u64, cost in 0..200_u64) {
            let rate = 100_000_000;
            let cost = Duration::from_micros(cost);
            let most = Duration::from_secs_f64(write as f64 * 8.0 / rate as f64);
            prop_assume!(cost < most);
            let bits = 8 * bytes_in(SECOND, &mut Pace::new(rate, write), write, cost);
            prop_assert!(bits.abs_diff(rate) <= 8 * write + 1, "{bits}");
        }

        #[test]
        fn no_number_is_too_large(rate: u64, burst: u64, sent in 0..u64::MAX / 2, now: u32) {
            let mut pace = Pace::new(rate, burst);
            pace.sent(sent);
            pace.wait(Duration::from_secs(now.into()));
        }
    }
}

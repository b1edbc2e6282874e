//! When to send what at a rate: from the test's beginning, so that being late is made up for and errors do not add up.
//! All of it, as in iperf3: a thread that a busy machine keeps off its processors still sends the rate that was asked for.

use std::time::Duration;

/// A rate, and how much of it has been used.
#[derive(Clone, Debug)]
pub struct Pace {
    bits_per_second: u64,
    burst_bytes: u64,
    sent: u64,
}

impl Pace {
    /// `rate` bits per second, in bursts of `burst_bytes`.
    #[must_use]
    pub fn new(rate: u64, burst_bytes: u64) -> Self {
        Self { bits_per_second: rate.max(1), burst_bytes: burst_bytes.max(1), sent: 0 }
    }

    /// How long to wait at `now` since the beginning before the next write.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.due().saturating_sub(now)
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

    /// Writes of 1000 bytes that take a microsecond, by a thread that is held up for as long as `held` says of a time.
    fn bytes_until(end: Duration, pace: &mut Pace, held: impl Fn(Duration) -> Duration) -> u64 {
        let (mut now, mut bytes) = (Duration::ZERO, 0);
        loop {
            now += pace.wait(now);
            now += held(now);
            if now >= end {
                return bytes;
            }
            pace.sent(1000);
            bytes += 1000;
            now += Duration::from_micros(1);
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
    fn a_pause_is_made_up_for_in_full() {
        let mut pace = Pace::new(8_000_000, 1000);
        assert_eq!(bytes_until(SECOND, &mut pace, |_| Duration::ZERO), 1_000_000);
        // Nothing is sent for a second, and then what it would have carried.
        let now = 2 * SECOND;
        let mut late = 0;
        while pace.wait(now).is_zero() {
            pace.sent(1000);
            late += 1000;
        }
        assert_eq!(late, 1_001_000);
    }

    #[test]
    fn a_thread_that_is_often_late_sends_the_rate_on_average() {
        // Off the processor for 150 ms of every 200, and a write takes a tenth of its share of the rate.
        let mut pace = Pace::new(800_000_000, 1000);
        let held = |now: Duration| {
            let into = Duration::from_nanos(u64::try_from(now.as_nanos() % 200_000_000).unwrap());
            Duration::from_millis(150).saturating_sub(into)
        };
        let bytes = bytes_until(5 * SECOND, &mut pace, held);
        assert!(bytes.abs_diff(500_000_000) <= 1000, "{bytes}");
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
            let _ = pace.wait(Duration::from_secs(now.into()));
        }
    }
}

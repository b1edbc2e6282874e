//! The clock of a run: read once as wall time, then only as the monotonic clock, so that no step of the wall clock is
//! seen.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::timestamp::{ErrorEstimate, Format};

/// A clock that told the wall time when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_ns: i64,
    start_ns: u64,
    ahead_ns: i64,
    ppm: f64,
}

impl Clock {
    /// Set to the wall clock.
    #[must_use]
    pub fn new() -> Self {
        Self { unix_ns: wall_ns(), start_ns: monotonic_ns(), ahead_ns: 0, ppm: 0.0 }
    }

    /// The same, but wrong: so far ahead, and so many parts per million fast.
    #[must_use]
    pub fn pretending(self, ahead: Duration, ppm: f64) -> Self {
        Self { ahead_ns: i64::try_from(ahead.as_nanos()).unwrap_or(i64::MAX / 4), ppm, ..self }
    }

    /// When it was made, by the monotonic clock.
    #[must_use]
    pub const fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// The time since 1970 at a time of the monotonic clock.
    #[must_use]
    pub fn unix_ns(&self, monotonic_ns: u64) -> i64 {
        let elapsed = monotonic_ns.cast_signed().saturating_sub(self.start_ns.cast_signed());
        #[expect(clippy::cast_possible_truncation, reason = "a part of the time elapsed")]
        let drift = (elapsed as f64 * self.ppm / 1e6) as i64;
        self.unix_ns.saturating_add(self.ahead_ns).saturating_add(elapsed).saturating_add(drift)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The monotonic clock.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC).unsigned_abs()
}

/// The wall clock, since 1970.
#[must_use]
pub fn wall_ns() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> i64 {
    let now = clock_gettime(clock).expect("every Linux has it");
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
}

/// What the kernel knows about the wall clock's error.
#[must_use]
pub fn error_estimate(format: Format) -> ErrorEstimate {
    // SAFETY: all zeroes is a valid value, and with no modes set the call only reads.
    let mut known: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `known` lives during the call, which only writes to it.
    let state = unsafe { libc::adjtimex(&raw mut known) };
    let synchronized =
        (0..libc::TIME_ERROR).contains(&state) && known.status & libc::STA_UNSYNC == 0;
    let error_us = u64::try_from(known.maxerror).unwrap_or(u64::MAX >> 10);
    ErrorEstimate::new(synchronized, format, error_us.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_clock_is_ahead_and_fast() {
        let clock = Clock::new();
        let wrong = clock.pretending(Duration::from_secs(3), 100.0);
        let later = clock.start_ns() + 2_000_000_000;
        assert_eq!(wrong.unix_ns(later) - clock.unix_ns(later), 3_000_200_000);
        assert_eq!(clock.unix_ns(later) - clock.unix_ns(clock.start_ns()), 2_000_000_000);
    }
}

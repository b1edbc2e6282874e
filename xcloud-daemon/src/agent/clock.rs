//! The clock that samples are stamped with, and a pretended one that proves no synchronisation is needed.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use xcloud_common::sample::Sample;

/// `CLOCK_MONOTONIC` now, nanoseconds: the clock the kernel programs read.
pub fn monotonic_ns() -> anyhow::Result<u64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    Ok(u64::try_from(now.as_nanos())?)
}

/// A clock set ahead and running fast.
#[derive(Clone, Copy, Debug)]
pub struct Pretend {
    offset_ns: u64,
    /// How much it runs fast, parts per 10^9: whole, so that stamps far from the start stay exact.
    ppb: i64,
    since_ns: u64,
}

impl Pretend {
    /// A clock that shows `offset_ns` nanoseconds more than the true time at true time `since_ns`, and gains `ppm`
    /// parts per million from then on.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float's cast to an integer stops at the integer's bounds, which is right here"
    )]
    pub fn new(offset_ns: u64, ppm: f64, since_ns: u64) -> Self {
        Self { offset_ns, ppb: (ppm * 1e3).round() as i64, since_ns }
    }

    /// What it shows at a true time, nanoseconds; 0, a stamp that is absent, stays 0.
    #[must_use]
    pub fn shown(&self, true_ns: u64) -> u64 {
        if true_ns == 0 {
            return 0;
        }
        let since = i128::from(true_ns) - i128::from(self.since_ns);
        let gained = since * i128::from(self.ppb) / 1_000_000_000;
        let shown = i128::from(true_ns) + i128::from(self.offset_ns) + gained;
        // Never 0, which would read as absent.
        u64::try_from(shown.max(1)).unwrap_or(u64::MAX)
    }

    /// Stamps a sample as this clock would have.
    pub fn restamp(&self, sample: &mut Sample) {
        for stamp in [
            &mut sample.first_ns,
            &mut sample.second_ns,
            &mut sample.third_ns,
            &mut sample.last_ns,
            &mut sample.queue_ns,
        ] {
            *stamp = self.shown(*stamp);
        }
    }

    /// Whether it differs from the true clock at all.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.offset_ns != 0 || self.ppb != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_off_and_fifty_ppm_fast() {
        let hour = 3_600_000_000_000;
        let clock = Pretend::new(hour, 50.0, 1_000);
        assert_eq!(clock.shown(0), 0, "absent stays absent");
        assert_eq!(clock.shown(1_000), hour + 1_000);
        assert_eq!(clock.shown(1_000_001_000), hour + 1_000_051_000);
    }

    #[test]
    fn without_offset_or_rate_it_shows_the_true_time() {
        let clock = Pretend::new(0, 0.0, 5);
        assert!(!clock.differs());
        assert_eq!(clock.shown(u64::MAX - 1), u64::MAX - 1);
    }
}

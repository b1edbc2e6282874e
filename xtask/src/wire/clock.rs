//! Time on the wire: the monotonic clock, precise waiting, and priority over ordinary processes.

use std::{os::fd::AsFd, time::Duration};

use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::{prctl, time::TimeSpec},
    time::{ClockId, clock_gettime},
};

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    u64::try_from(time.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Polling instead of sleeping this long before a packet is due: waking up costs about as much.
const AWAKE_NS: u64 = 60_000;

/// How much of its time the wire may poll; the rest is for those whose packets it carries.
#[derive(Debug)]
pub(crate) struct Budget {
    left_ns: u64,
    last: u64,
    awake: bool,
}

impl Budget {
    /// Earned in twice the time, kept for bursts.
    const MOST_NS: u64 = 20_000_000;

    /// All of it, at `now`.
    pub(crate) fn new(now: u64) -> Self {
        Self { left_ns: Self::MOST_NS, last: now, awake: false }
    }

    /// How long before the next due time to be awake.
    pub(crate) fn awake(&mut self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.last);
        self.last = now;
        let polled = if self.awake { elapsed.min(AWAKE_NS) } else { 0 };
        let earned = (self.left_ns + elapsed / 2).min(Self::MOST_NS);
        self.left_ns = earned.saturating_sub(polled);
        self.awake = self.left_ns > AWAKE_NS;
        if self.awake { AWAKE_NS } else { 0 }
    }
}

/// Waits until `fd` can be read or `nanoseconds` have passed, whichever is first.
pub(crate) fn wait<F: AsFd>(fds: &[F], nanoseconds: u64, ready: &mut Vec<usize>) {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    let timeout = TimeSpec::from(Duration::from_nanos(nanoseconds));
    ready.clear();
    // A signal ends the wait early; the caller looks at its flag and comes back.
    if ppoll(&mut polled, Some(timeout), None).is_ok_and(|n| n > 0) {
        let readable = |(index, fd): (usize, &PollFd<'_>)| fd.any()?.then_some(index);
        ready.extend(polled.iter().enumerate().filter_map(readable));
    }
}

/// Asks for exact timers and real-time priority; returns whether the latter was granted.
pub(crate) fn be_punctual() -> bool {
    // Only makes timers coarser when refused.
    let _ = prctl::set_timerslack(1);
    let parameters = libc::sched_param { sched_priority: 20 };
    // SAFETY: pid 0 is this thread, and the structure outlives the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_about_half_of_the_time_is_polled() {
        let (mut now, mut polled) = (0, 0);
        let mut budget = Budget::new(now);
        while now < 1_000_000_000 {
            // A packet is always due soon.
            let step = if budget.awake(now) > 0 { 1_000 } else { 50_000 };
            polled += if step == 1_000 { step } else { 0 };
            now += step;
        }
        assert!((400_000_000..600_000_000).contains(&polled), "{polled} ns");
    }
}

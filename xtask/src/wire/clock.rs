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

//! The clock of a run and what wakes a worker up.

use std::{os::fd::AsFd as _, thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        epoll::{Epoll, EpollEvent, EpollFlags},
        prctl,
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::clock_gettime,
};

/// `CLOCK_MONOTONIC` since the start of the run. Steps of the wall clock do not touch it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start_ns: u64,
}

impl Clock {
    /// A run that starts so much later.
    #[must_use]
    pub fn starting_in(ahead: Duration) -> Self {
        Self { start_ns: monotonic_ns() + nanoseconds(ahead) }
    }

    /// Sleeps until the start.
    pub fn wait_for_start(self) {
        thread::sleep(Duration::from_nanos(self.start_ns.saturating_sub(monotonic_ns())));
    }

    /// Nanoseconds since the start; 0 before it.
    #[must_use]
    pub fn now(self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }
}

/// A duration in nanoseconds, 584 years at most.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("every Linux has it");
    nanoseconds(now.into())
}

/// Wakes an epoll loop at absolute times.
#[derive(Debug)]
pub struct Timer {
    fd: TimerFd,
    clock: Clock,
    armed_ns: Option<u64>,
}

impl Timer {
    /// A timer that reports to `epoll` as `key`.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn new(epoll: &Epoll, key: u64, clock: Clock) -> Result<Self> {
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .context("creating a timer")?;
        epoll
            .add(fd.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, key))
            .context("waiting for a timer")?;
        Ok(Self { fd, clock, armed_ns: None })
    }

    /// Wakes up once, at a time since the start of the run.
    ///
    /// # Errors
    /// The kernel refuses, which has no known reason.
    pub fn arm(&mut self, at_ns: u64) -> Result<()> {
        if self.armed_ns == Some(at_ns) {
            return Ok(());
        }
        self.armed_ns = Some(at_ns);
        let at = Duration::from_nanos(self.clock.start_ns.saturating_add(at_ns));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        let expiration = Expiration::OneShot(TimeSpec::from_duration(at));
        self.fd.set(expiration, flags).context("setting a timer")
    }

    /// Says that it went off.
    pub fn rang(&mut self) {
        self.armed_ns = None;
    }
}

/// Lets timers of the calling thread go off when they are due; by default the kernel may wait 50 us more.
pub fn no_slack() {
    if let Err(error) = prctl::set_timerslack(1) {
        tracing::warn!("timers may be 50 us late: setting the timer slack: {error}");
    }
}

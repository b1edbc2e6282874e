//! Processor time.

use std::{ops, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use super::results::Cpu;

/// Processor time of one or more threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program, in microseconds.
    pub user_us: u64,
    /// In the kernel for it, in microseconds.
    pub system_us: u64,
}

impl CpuTime {
    /// Of the calling thread: other tests in this process are left out.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let microseconds = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds());
        getrusage(UsageWho::RUSAGE_THREAD).map_or_else(
            |_| Self::default(),
            |usage| Self {
                user_us: microseconds(usage.user_time()).unwrap_or(0),
                system_us: microseconds(usage.system_time()).unwrap_or(0),
            },
        )
    }

    /// In percent of one processor over `time`.
    #[must_use]
    pub fn share(self, time: Duration) -> Cpu {
        let percent = |microseconds: u64| {
            100.0 * Duration::from_micros(microseconds).as_secs_f64()
                / time.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        Cpu { user: percent(self.user_us), system: percent(self.system_us) }
    }
}

impl ops::Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user_us: self.user_us + other.user_us, system_us: self.system_us + other.system_us }
    }
}

impl ops::Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }
}

impl std::iter::Sum for CpuTime {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), ops::Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_of_work_in_two_is_a_quarter() {
        let cpu = CpuTime { user_us: 100_000, system_us: 400_000 };
        let share = cpu.share(Duration::from_secs(2));
        assert!((share.user - 5.0).abs() < 1e-9 && (share.system - 20.0).abs() < 1e-9, "{share:?}");
    }
}

//! What the stage profile does to the kernel from time to time, and leaves undone while the kill switch is there.

use std::os::fd::OwnedFd;

use anyhow::Result;
use aya::sys::{Stats, enable_stats};
use tracing::warn;
use xcloud_proto::common::v1::StageProgramCost;

use crate::{agent::hooks::SharedHooks, kernel::stages::RunTime};

/// Run times are kept for one period in so many: that costs every BPF program on the node some 20 ns a run.
const PERIODS_PER_COST: u32 = 60;
/// Functions not there yet are tried again this often: a CNI may load its module later.
const PERIODS_PER_RETRY: u32 = 10;

/// What it is done to.
pub(super) trait Kernel {
    /// Whether the kill switch is there.
    fn is_off(&self) -> bool;
    /// Tries functions again that were not there.
    fn retry(&self);
    /// Has run times counted until what is returned is dropped.
    fn count(&self) -> Result<OwnedFd>;
    /// What was counted so far.
    fn run_times(&self) -> Result<Vec<RunTime>>;
}

impl Kernel for SharedHooks {
    fn is_off(&self) -> bool {
        self.lock().is_off()
    }

    fn retry(&self) {
        self.lock().retry_stages();
    }

    fn count(&self) -> Result<OwnedFd> {
        Ok(enable_stats(Stats::RunTime)?)
    }

    fn run_times(&self) -> Result<Vec<RunTime>> {
        self.lock().stage_run_times()
    }
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    periods: u32,
    counting: Option<(OwnedFd, Vec<RunTime>)>,
}

impl Upkeep {
    /// Does what is due in this period; returns what the programs take, if that was measured.
    pub(super) fn turn(&mut self, kernel: &impl Kernel) -> Option<Vec<StageProgramCost>> {
        if kernel.is_off() {
            // With it the count ends; all begins anew when the probes are on again.
            *self = Self::default();
            return None;
        }
        let cost = self.count(kernel).unwrap_or_else(|error| {
            warn!("what the stage profile costs could not be measured: {error:#}");
            None
        });
        if self.periods.is_multiple_of(PERIODS_PER_RETRY) {
            kernel.retry();
        }
        self.periods += 1;
        cost
    }

    /// Lets the kernel keep count of run times for one period, then reads them.
    fn count(&mut self, kernel: &impl Kernel) -> Result<Option<Vec<StageProgramCost>>> {
        if let Some((_count, before)) = self.counting.take() {
            let after = kernel.run_times()?;
            return Ok(Some(before.iter().zip(after).filter_map(program_cost).collect()));
        }
        if self.periods % PERIODS_PER_COST == 1 {
            self.counting = Some((kernel.count()?, kernel.run_times()?));
        }
        Ok(None)
    }
}

fn program_cost((before, after): (&RunTime, RunTime)) -> Option<StageProgramCost> {
    let runs = after.runs.saturating_sub(before.runs);
    let mean_ns = after.ns.saturating_sub(before.ns).checked_div(runs)?;
    Some(StageProgramCost { program: after.program.into(), runs, mean_ns })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs::File, io::Read as _};

    use nix::unistd::pipe;

    use super::*;

    /// Counts what is asked of it; its count of run times ends when the write end of a pipe is closed.
    #[derive(Default)]
    struct Fake {
        off: Cell<bool>,
        retries: Cell<u32>,
        counts: Cell<u32>,
        reading: Cell<Option<OwnedFd>>,
    }

    impl Kernel for Fake {
        fn is_off(&self) -> bool {
            self.off.get()
        }

        fn retry(&self) {
            self.retries.set(self.retries.get() + 1);
        }

        fn count(&self) -> Result<OwnedFd> {
            let (reading, writing) = pipe()?;
            self.counts.set(self.counts.get() + 1);
            self.reading.set(Some(reading));
            Ok(writing)
        }

        fn run_times(&self) -> Result<Vec<RunTime>> {
            let ns = u64::from(self.counts.get());
            Ok(vec![RunTime { program: "stage_routing", runs: ns, ns: ns * 100 }])
        }
    }

    #[test]
    fn a_count_lasts_one_period_and_comes_once_a_minute() {
        let (kernel, mut upkeep) = (Fake::default(), Upkeep::default());
        let measured: Vec<_> = (0..120).filter(|_| upkeep.turn(&kernel).is_some()).collect();
        assert_eq!(measured, [2, 62]);
        assert_eq!((kernel.counts.get(), kernel.retries.get()), (2, 12));
    }

    #[test]
    fn while_the_kill_switch_is_there_nothing_is_tried_or_counted() {
        let (kernel, mut upkeep) = (Fake::default(), Upkeep::default());
        for _ in 0..2 {
            upkeep.turn(&kernel);
        }
        assert_eq!((kernel.counts.get(), kernel.retries.get()), (1, 1), "a count is underway");
        kernel.off.set(true);
        for _ in 0..120 {
            assert_eq!(upkeep.turn(&kernel), None);
        }
        assert_eq!((kernel.counts.get(), kernel.retries.get()), (1, 1));
        let mut reading = File::from(kernel.reading.take().expect("a count began"));
        let ended = reading.read(&mut [0]).expect("the count ended");
        assert_eq!(ended, 0);
        kernel.off.set(false);
        for _ in 0..3 {
            upkeep.turn(&kernel);
        }
        assert_eq!((kernel.counts.get(), kernel.retries.get()), (2, 2), "as at the start");
    }
}

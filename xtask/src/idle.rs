//! Whether this machine has nothing else to do, which is what a measurement on it takes.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::signals;

/// Least share of idle time before a visit.
const BEFORE: f64 = 0.95;
/// Least share after one; what a lab leaves to the kernel is not done at once.
const AFTER: f64 = 0.85;
/// How long each look takes.
const LOOK: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);

/// Processor time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

/// Waits until the machine is idle, for so long at most; says so if it is not.
pub(crate) fn before(patience: Duration) -> Result<Option<String>> {
    let deadline = Instant::now() + patience;
    loop {
        let share = look()?;
        if share >= BEFORE {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(said("before", share)));
        }
    }
}

/// Says so if the machine is not idle now that it should be.
pub(crate) fn after() -> Result<Option<String>> {
    let share = look()?;
    Ok((share < AFTER).then(|| said("after", share)))
}

fn said(when: &str, share: f64) -> String {
    format!("this machine was idle by {:.0} % only in the second {when} it", share * 100.0)
}

/// Share of a second in which processors had nothing to do. Time that a hypervisor gave to others counts as busy.
fn look() -> Result<f64> {
    let (start, end) = (ticks()?, Instant::now() + LOOK);
    while Instant::now() < end {
        if signals::stopped() {
            bail!("interrupted");
        }
        thread::sleep(STEP);
    }
    let now = ticks()?;
    let all = now.all.saturating_sub(start.all);
    Ok(now.idle.saturating_sub(start.idle) as f64 / all.max(1) as f64)
}

fn ticks() -> Result<Ticks> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    parse(&text).context("/proc/stat has no line of all processors")
}

fn parse(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq steal; guests' time is in user and nice already.
    let fields: Vec<u64> =
        line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Ticks { idle: fields.get(3)? + fields.get(4)?, all: fields.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_stolen_time_is_not() {
        let stat = "cpu  10 20 30 400 50 6 7 80 9 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse(stat), Some(Ticks { idle: 450, all: 603 }));
        for wrong in ["", "cpu0 1 2 3 4 5", "cpu  1 2", "cpu  a b c d e"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

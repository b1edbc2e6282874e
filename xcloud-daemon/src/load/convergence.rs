//! `xcloud load convergence`: how long which flows were down around an event.

pub mod event;
pub mod outage;
pub mod record;
pub mod report;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};

use self::{event::Event, outage::Found};
use super::{
    interrupt,
    rate::timer::nanoseconds,
    stamp::{
        clock::{Clock, monotonic_ns},
        command,
        prober::{self, Plan},
        schedule::Schedule,
    },
};
use crate::{
    cli::{Output, stamp::ConvergenceArgs},
    report::style,
    usage::usage,
};

/// Longest test.
const LONGEST: Duration = Duration::from_hours(1);
/// How often the end of the time is looked for.
const STEP: Duration = Duration::from_millis(5);

/// Makes the test as often as asked for, and tells what came of it.
///
/// # Errors
/// The flags contradict each other, nothing can be sent, the command cannot be run, or a file cannot be written.
pub fn run(args: &ConvergenceArgs) -> Result<()> {
    let plan = plan(args)?;
    interrupt::catch()?;
    let mut trials = Vec::new();
    for _ in 0..args.probe.repeat {
        let clock = Clock::new();
        let (event, measured) = probe(args, &plan, clock)?;
        let found = Found::of(&measured, event.started_ns);
        if args.probe.output == Output::Table {
            style::print(&report::table(args, &event, &found))?;
        }
        trials.push(record::trial(args, &plan, &measured, &event, &found)?);
        if interrupt::stopped() {
            break;
        }
    }
    command::write(&args.probe, trials)
}

fn plan(args: &ConvergenceArgs) -> Result<Plan> {
    let time = args.before.saturating_add(args.wait);
    if args.before.is_zero() || args.wait.is_zero() || time > LONGEST {
        return Err(usage("--before and --wait have to be above 0, and 1h together at most"));
    }
    if args.rate == 0 {
        return Err(usage("--rate is 0; it may be 1 to 100000"));
    }
    let interval_ns = 1_000_000_000 / u64::from(args.rate);
    let count = command::count(None, Some(time), interval_ns)?;
    // Probes go on until the time is over; the event may begin a little late.
    let count = count.saturating_add(args.rate).min(command::MOST_PROBES);
    command::plan(&args.probe, &args.to, args.flows, Schedule::periodic(interval_ns), count)
}

/// Probes before, during and after the event.
fn probe(
    args: &ConvergenceArgs,
    plan: &Plan,
    clock: Clock,
) -> Result<(Event, super::stamp::probes::Measured)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let prober = scope.spawn(|| prober::run(plan, clock, &stop));
        wait_until(clock.start_ns() + nanoseconds(args.before));
        if prober.is_finished() && !interrupt::stopped() {
            // Nothing is changed where nothing would be seen.
            let measured = prober.join().expect("the prober does not panic");
            return Err(measured.err().unwrap_or_else(|| anyhow!("the prober ended early")));
        }
        let end_ns = monotonic_ns() + nanoseconds(args.wait);
        let event = event::run(&args.event, clock, end_ns);
        if event.is_ok() {
            wait_until(end_ns);
        }
        stop.store(true, Ordering::Relaxed);
        let measured = prober.join().expect("the prober does not panic");
        Ok((event?, measured?))
    })
}

fn wait_until(at_ns: u64) {
    while monotonic_ns() < at_ns && !interrupt::stopped() {
        thread::sleep(STEP.min(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns()))));
    }
}

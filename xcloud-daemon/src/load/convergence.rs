//! `xcloud load convergence`: how long which flows were down around an event.

pub mod event;
pub mod outage;
pub mod record;
pub mod report;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Error, Result, anyhow};

use self::{event::Event, outage::Found};
use super::{
    interrupt,
    rate::timer::nanoseconds,
    stamp::{
        clock::{Clock, monotonic_ns},
        command,
        prober::{self, Plan},
        probes::Measured,
        schedule::Schedule,
        silence::Silence,
    },
};
use crate::{
    cli::{Output, stamp::ConvergenceArgs},
    report::style,
    result::Trial,
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
    let made = repeat(args, &plan, &mut trials);
    // What was found before a failure is found.
    command::write(&args.probe, trials)?;
    made
}

fn repeat(args: &ConvergenceArgs, plan: &Plan, trials: &mut Vec<Trial>) -> Result<()> {
    for _ in 0..args.probe.repeat {
        let (event, measured) = probe(args, plan, Clock::new())?;
        let found = Found::of(&measured, event.started_ns);
        trials.push(record::trial(args, plan, &measured, &event, &found)?);
        if args.probe.output == Output::Table {
            style::print(&report::table(args, &event, &found))?;
        }
        if interrupt::stopped() {
            break;
        }
    }
    Ok(())
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
fn probe(args: &ConvergenceArgs, plan: &Plan, clock: Clock) -> Result<(Event, Measured)> {
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let prober = scope.spawn(|| prober::run(plan, clock, &stop, &answered));
        wait_until(clock.start_ns() + nanoseconds(args.before));
        let seen = !prober.is_finished() && answered.load(Ordering::Relaxed) > 0;
        let end_ns = monotonic_ns() + nanoseconds(args.wait);
        let may_begin = seen && !interrupt::stopped();
        let event = may_begin.then(|| event::run(&args.event, clock, end_ns));
        if let Some(Ok(_)) = event {
            wait_until(end_ns);
        }
        stop.store(true, Ordering::Relaxed);
        let measured = prober.join().expect("the prober does not panic")?;
        let Some(event) = event else { return Err(too_early(plan, &measured)) };
        Ok((event?, measured))
    })
}

/// Why nothing is changed: nothing would be seen of it, or somebody wanted the end.
fn too_early(plan: &Plan, measured: &Measured) -> Error {
    if interrupt::stopped() {
        return anyhow!("interrupted before the event, which was not run");
    }
    let mut silence = Silence::new(plan);
    silence.add(measured);
    let why = silence.error().unwrap_or_else(|| {
        anyhow!("no answer came before the event was due; make --before longer")
    });
    why.context("the event was not run: nobody would see what it does")
}

fn wait_until(at_ns: u64) {
    while monotonic_ns() < at_ns && !interrupt::stopped() {
        thread::sleep(STEP.min(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns()))));
    }
}

//! `xcloud load stamp`: probes as the Simple Two-Way Active Measurement Protocol has them (RFC 8762, RFC 8972).

pub mod auth;
pub mod clock;
pub mod command;
pub mod loss;
pub mod oneway;
pub mod packet;
pub mod prober;
pub mod probes;
pub mod record;
pub mod reflector;
pub mod report;
pub mod schedule;
pub mod serve;
pub mod sessions;
pub mod socket;
pub mod summary;
pub mod timestamp;
pub mod tlv;

use std::collections::BTreeMap;

use anyhow::Result;

use self::{
    auth::Key, clock::Clock, prober::Plan, reflector::Limits, schedule::Schedule, summary::Summary,
};
use super::{interrupt, rate::timer::nanoseconds, ready};
use crate::{
    cli::{
        Output,
        stamp::{ScheduleArg, StampArgs},
    },
    report::style,
    usage::usage,
};

/// Sender or reflector, as the flags say.
///
/// # Errors
/// The flags contradict each other, nothing can be sent or received, or a file cannot be written.
pub fn run(args: &StampArgs) -> Result<()> {
    match (&args.to, args.reflect) {
        (Some(to), _) => send(args, to),
        (None, Some(address)) => {
            if args.max_sessions == 0 || args.max_rate == 0 {
                return Err(usage("--max-sessions and --max-rate may be 1 or more"));
            }
            let key = args.probe.key_file.as_deref().map(Key::read).transpose()?;
            let limits = Limits { sessions: args.max_sessions, rate: args.max_rate };
            let clock = Clock::new().pretending(args.pretend_clock_offset, args.pretend_clock_ppm);
            serve::run(address, key, &limits, clock, args.duration, |at| {
                ready::tell(&args.ready, at)
            })
        }
        (None, None) => Err(usage("either --to or --reflect is needed")),
    }
}

fn send(args: &StampArgs, to: &str) -> Result<()> {
    let interval_ns = nanoseconds(args.interval);
    let count = command::count(args.count, args.duration, interval_ns)?;
    let schedule = match args.schedule {
        ScheduleArg::Periodic => Schedule::periodic(interval_ns),
        ScheduleArg::Poisson => Schedule::poisson(interval_ns, clock::monotonic_ns()),
    };
    let plan = command::plan(&args.probe, to, args.flows, schedule, count)?;
    let settings = settings(args, &plan);
    interrupt::catch()?;
    let mut trials = Vec::new();
    for _ in 0..args.probe.repeat {
        let run = prober::run(&plan, Clock::new(), &interrupt::STOP)?;
        let summary = Summary::of(&run);
        if args.probe.output == Output::Table {
            style::print(&report::table(to, &run, &summary))?;
        }
        trials.push(record::trial(to, settings.clone(), &run, &summary)?);
        if interrupt::stopped() {
            break;
        }
    }
    command::write(&args.probe, trials)
}

fn settings(args: &StampArgs, plan: &Plan) -> BTreeMap<String, String> {
    let schedule = match args.schedule {
        ScheduleArg::Periodic => "periodic",
        ScheduleArg::Poisson => "poisson",
    };
    let interval = humantime::format_duration(args.interval).to_string();
    let mut settings = command::settings(&args.probe, plan);
    settings.extend([("interval".into(), interval), ("schedule".into(), schedule.into())]);
    settings
}

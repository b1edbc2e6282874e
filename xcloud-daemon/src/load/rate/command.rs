//! From flags to a run and what is written about it: the same for all protocols.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use anyhow::{Context as _, Result};

use super::{
    Limits, Load, Measured, export,
    protocol::Protocol,
    ramp, record, report,
    schedule::{Arrival, Offer},
    slot::Transport,
    timer::nanoseconds,
    unanswered,
};
use crate::{
    cli::{
        Output,
        rate::{ArrivalArg, RateArgs},
    },
    load::{
        environment,
        interrupt::{self, STOP},
        split::{Sources, Watcher},
    },
    report::{json::json, style},
    result::{self, Trial},
    usage::usage,
};

/// Most connections: two bytes of ports are all that one address has.
const MOST_CONNECTIONS: u32 = 65_536;
/// Most requests per second.
const MOST_RATE: u64 = 10_000_000;
/// Longest run, so that times stay far from the end of 64 bits.
const LONGEST_NS: u64 = 400 * 86_400 * 1_000_000_000;

/// What is asked, of whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The test's name in results.
    pub test: &'static str,
    /// What its reader calls the other side.
    pub name: String,
    /// Where that is.
    pub address: SocketAddr,
    /// How requests travel.
    pub transport: Transport,
    /// Settings of the protocol, for the result.
    pub settings: Vec<(&'static str, String)>,
}

/// Makes the test as often as asked for, and tells what came of it.
///
/// # Errors
/// The flags contradict each other, no connection can be made, or a file cannot be written.
pub fn run<P: Protocol>(args: &RateArgs, target: &Target, protocol: &P) -> Result<()> {
    let load = plan(args, target)?;
    let steps = args.ramp.as_deref().map(ramp::steps).transpose()?;
    for path in [&args.result, &args.hgrm, &args.hdr_log].into_iter().flatten() {
        result::may_write(path)?;
    }
    interrupt::catch()?;
    let mut runs = Vec::new();
    let made = match steps {
        Some(steps) => ramp::climb(args, target, &load, steps, protocol, &mut runs),
        None => repeat(args, target, &load, protocol, &mut runs),
    };
    if !runs.is_empty() {
        // What was found before a failure is found.
        tell(args, target, &runs)?;
    }
    made?;
    unanswered::error(target, runs.iter().map(|(_, run)| &run.total.tally)).map_or(Ok(()), Err)
}

fn tell(args: &RateArgs, target: &Target, runs: &[(Load, Measured)]) -> Result<()> {
    let mut trials: Vec<_> =
        runs.iter().map(|(load, run)| record::trial(target, load, run)).collect::<Result<_>>()?;
    if args.ramp.is_some() {
        // Steps are no repeats of each other.
        for (trial, offer) in trials.iter_mut().zip(runs.iter().filter_map(|(load, _)| load.offer))
        {
            trial.test = format!("{}@{}", trial.test, offer.rate);
        }
    }
    write(args, runs, trials)
}

fn repeat<P: Protocol>(
    args: &RateArgs,
    target: &Target,
    load: &Load,
    protocol: &P,
    runs: &mut Vec<(Load, Measured)>,
) -> Result<()> {
    while runs.len() < args.repeat as usize && !interrupt::stopped() {
        let run = measure(args, load, protocol)?;
        let shown = report::table(target, load, &run, args.latency);
        runs.push((load.clone(), run));
        if args.output == Output::Table {
            style::print(&shown)?;
        }
    }
    Ok(())
}

/// Makes the test once, and asks where its time went if that is wanted.
pub(super) fn measure<P: Protocol>(args: &RateArgs, load: &Load, protocol: &P) -> Result<Measured> {
    let Some(aggregator) = &args.aggregator else {
        return super::run(load, protocol, &STOP);
    };
    let sources = Arc::new(Sources::new());
    let watcher = Watcher::start(aggregator, load.limits.address, Arc::clone(&sources))?;
    let limits = Limits { sources: Some(sources), ..load.limits.clone() };
    let run = super::run(&Load { limits, ..load.clone() }, protocol, &STOP)?;
    Ok(Measured { split: Some(watcher.finish()?), ..run })
}

fn write(args: &RateArgs, runs: &[(Load, Measured)], mut trials: Vec<Trial>) -> Result<()> {
    trials.iter_mut().for_each(|trial| environment::name_ends(&args.ends, trial));
    let measured: Vec<_> = runs.iter().map(|(_, run)| run).collect();
    let run = environment::run(&args.label, &args.fact, trials);
    let shown = match args.output {
        Output::Table => None,
        Output::Json => Some(style::print(&json(&run)?).map(drop)),
        Output::Csv => Some(style::print(&report::csv(&measured)?).map(drop)),
    };
    let hgrm = args.hgrm.as_ref().map(|path| export::write(path, &export::hgrm(&measured)));
    let log = args.hdr_log.as_ref().map(|path| export::write(path, &export::log(&measured)?));
    let kept = args.result.as_ref().map(|path| run.write(path));
    // Each is tried, whatever became of the others.
    [shown, hgrm, log, kept].into_iter().flatten().collect()
}

/// The load that flags describe.
fn plan(args: &RateArgs, target: &Target) -> Result<Load> {
    let RateArgs { connections, duration, rate, .. } = *args;
    if connections == 0 || connections > MOST_CONNECTIONS {
        let most = MOST_CONNECTIONS;
        return Err(usage(format!("--connections is {connections}; it may be 1 to {most}")));
    }
    let threads = args.threads.unwrap_or_else(|| connections.min(2));
    if threads == 0 || threads > connections.min(256) {
        return Err(usage(format!(
            "--threads is {threads}; it may be 1 to 256, and each needs one of the {connections} connections"
        )));
    }
    if let Some(rate) = rate.filter(|rate| *rate == 0 || *rate > MOST_RATE) {
        return Err(usage(format!("--rate is {rate}; it may be 1 to {MOST_RATE}")));
    }
    for (flag, value) in
        [("--duration", duration), ("--timeout", args.timeout), ("--drain", args.drain)]
    {
        if nanoseconds(value) > LONGEST_NS || value.is_zero() && flag != "--drain" {
            return Err(usage(format!(
                "{flag} is {value:?}; it has to be above 0, up to 400 days"
            )));
        }
    }
    if args.aggregator.is_some() && target.transport == Transport::Udp {
        return Err(usage("--aggregator splits TCP, and this test is UDP"));
    }
    if args.max_requests == Some(0) {
        return Err(usage("--max-requests is 0; it may be 1 or more"));
    }
    if args.repeat == 0 {
        return Err(usage("--repeat is 0; it may be 1 or more"));
    }
    let arrival = match args.arrival {
        ArrivalArg::Constant => Arrival::Constant,
        ArrivalArg::Poisson => Arrival::Poisson { seed: 1 },
    };
    let limits = Limits {
        address: target.address,
        transport: target.transport,
        duration_ns: nanoseconds(duration),
        timeout_ns: nanoseconds(args.timeout),
        drain_ns: nanoseconds(args.drain),
        sources: None,
        closed_loop: rate.is_none(),
    };
    let offer = rate.map(|rate| Offer { rate, arrival });
    Ok(Load { limits, threads, connections, offer, max_requests: args.max_requests })
}

/// The first address of a host.
///
/// # Errors
/// There is none.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let mut found = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("looking up the address of {host:?}"))?;
    found.next().with_context(|| format!("{host:?} has no address"))
}

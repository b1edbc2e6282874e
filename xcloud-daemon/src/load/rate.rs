//! The engine behind `xcloud load http|grpc|rr|crr|udp-rr`: sends requests when they are meant to be sent, whatever the other
//! side does, and accounts for each.

pub mod command;
pub mod export;
pub mod opening;
pub mod pacing;
pub mod protocol;
pub mod ramp;
pub mod record;
pub mod report;
pub mod schedule;
pub mod seconds;
pub mod slot;
pub mod tally;
pub mod timer;
pub mod timings;
pub mod turns;
pub mod unanswered;
pub mod verdict;
pub mod worker;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    time::TimeValLike as _,
};

use pacing::Pacing;
use protocol::Protocol;
use schedule::{Offer, Schedule};
use seconds::Second;
use slot::Transport;
use timer::{Clock, nanoseconds};
use worker::Worker;

use super::split::{Seen, Sources};

/// Between the last connection and the first request: time for threads to start.
const HEAD_START: Duration = Duration::from_millis(20);

/// What every worker keeps to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whom to ask.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// For how long requests are scheduled.
    pub duration_ns: u64,
    /// How long a sent request waits for its answer.
    pub timeout_ns: u64,
    /// How long what is unfinished at the end is waited for.
    pub drain_ns: u64,
    /// Where the local ends of connections are noted, if somebody wants to know.
    pub sources: Option<Arc<Sources>>,
    /// No rate is given: each connection sends as fast as it is answered.
    pub closed_loop: bool,
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// For each worker.
    pub limits: Limits,
    /// Workers.
    pub threads: u32,
    /// Connections of all workers, at least one each.
    pub connections: u32,
    /// What is sent when; `None` for a closed loop.
    pub offer: Option<Offer>,
    /// Most requests of a closed loop.
    pub max_requests: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Measured {
    /// When it began, since 1970.
    pub started_unix_ns: u64,
    /// For how long requests were scheduled: less than wanted when it was stopped.
    pub duration_ns: u64,
    /// Second by second, those after the end too.
    pub seconds: Vec<Second>,
    /// All seconds.
    pub total: Second,
    /// Connections that could not be opened before the start.
    pub unopened: u32,
    /// Processor time this program took meanwhile.
    pub cpu_ns: u64,
    /// Somebody stopped it.
    pub stopped: bool,
    /// It had sent all that it may.
    pub used_up: bool,
    /// Where the time of its requests went, if an aggregator was asked.
    pub split: Option<Seen>,
}

#[cfg(test)]
impl Measured {
    /// These seconds, undisturbed.
    fn of(duration_ns: u64, seconds: Vec<Second>) -> Self {
        Self {
            started_unix_ns: 0,
            duration_ns,
            total: Second::merged(&seconds.iter().collect::<Vec<_>>()),
            seconds,
            unopened: 0,
            cpu_ns: 0,
            stopped: false,
            used_up: false,
            split: None,
        }
    }
}

/// Sends a load and measures.
///
/// # Errors
/// No connection at all can be made, or the system refuses threads.
pub fn run<P: Protocol>(load: &Load, protocol: &P, stop: &AtomicBool) -> Result<Measured> {
    allow_connections(load.connections.into());
    let (workers, unopened) = open(load, protocol)?;
    let cpu_before = cpu_ns();
    let left = load.max_requests.map(|most| Arc::new(AtomicU64::new(most)));
    let clock = Clock::starting_in(HEAD_START);
    let started = SystemTime::now() + HEAD_START;
    let all = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (worker, index) in workers.into_iter().zip(0..) {
            let pacing = pacing(load, index, left.as_ref());
            let thread = thread::Builder::new().name(format!("load-{index}"));
            threads.push(
                thread
                    .spawn_scoped(scope, move || worker.run(pacing, clock, stop))
                    .context("starting a thread")?,
            );
        }
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Vec<Second>>>| {
            thread.join().map_err(|_| anyhow!("a thread of the load generator panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let stopped = stop.load(Ordering::Relaxed);
    let used_up = pacing::is_used_up(left.as_deref());
    let elapsed = if stopped || used_up { clock.now() } else { u64::MAX };
    let seconds = side_by_side(&all);
    Ok(Measured {
        started_unix_ns: started.duration_since(UNIX_EPOCH).map_or(0, nanoseconds),
        duration_ns: load.limits.duration_ns.min(elapsed),
        total: Second::merged(&seconds.iter().collect::<Vec<_>>()),
        seconds,
        unopened,
        cpu_ns: cpu_ns().saturating_sub(cpu_before),
        stopped,
        used_up,
        split: None,
    })
}

fn open<'a, P: Protocol>(load: &'a Load, protocol: &'a P) -> Result<(Vec<Worker<'a, P>>, u32)> {
    let mut workers = Vec::new();
    let (mut unopened, mut why) = (0, None);
    for index in 0..load.threads {
        let more = u32::from(index < load.connections % load.threads);
        let share = load.connections / load.threads + more;
        let mut worker = Worker::new(&load.limits, protocol, share)?;
        let opened = worker.open();
        unopened += opened.failed;
        why = opened.error.or(why);
        workers.push(worker);
    }
    match why {
        Some(why) if unopened == load.connections => {
            let to = load.limits.address;
            bail!("connecting to {to}: {why}. Does a server listen there?");
        }
        _ => Ok((workers, unopened)),
    }
}

fn pacing(load: &Load, worker: u32, left: Option<&Arc<AtomicU64>>) -> Pacing {
    let end_ns = load.limits.duration_ns;
    match load.offer {
        Some(offer) => {
            Pacing::open(Schedule::new(offer, worker.into(), load.threads.into(), end_ns))
        }
        None => Pacing::Closed { end_ns, left: left.cloned() },
    }
}

/// What all workers saw in the same second.
fn side_by_side(workers: &[Vec<Second>]) -> Vec<Second> {
    let longest = workers.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .map(|at| Second::merged(&workers.iter().filter_map(|one| one.get(at)).collect::<Vec<_>>()))
        .collect()
}

/// Lets this process have as many sockets as it may.
pub(super) fn allow_connections(connections: u64) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < connections.saturating_add(64) {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::warn!("raising the limit of open files for {connections} connections: {error}");
    }
}

fn cpu_ns() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let ns = usage
        .map(|usage| usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds());
    ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}

//! `xcloud load matrix`: every endpoint probes a few others all the time, chosen so that all pairs of sites are seen.

pub mod choose;
pub mod peers;
pub mod probing;
pub mod record;
pub mod source;
pub mod track;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{atomic::Ordering, mpsc::Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use self::{
    peers::Peer,
    probing::{Plan, Probing},
    source::Source,
};
use super::{
    environment, interrupt,
    rate::timer::nanoseconds,
    stamp::{auth::Key, clock::Clock, reflector, serve, socket},
};
use crate::{
    cli::{Output, matrix::MatrixArgs},
    report::style::print,
    usage::usage,
};

/// How often the end is looked for.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most sessions that probes of others are counted in, and most answers to them per second.
const LIMITS: reflector::Limits = reflector::Limits { sessions: 100_000, rate: 100_000 };
/// Shortest time between probes of a peer.
const SHORTEST: Duration = Duration::from_millis(10);

/// Runs `xcloud load matrix`.
///
/// # Errors
/// The flags contradict each other, the list is none, an address cannot be used, or a file cannot be written.
pub fn run(args: &MatrixArgs) -> Result<()> {
    let (source, all) = Source::open(args)?;
    let plan = plan(args, &all)?;
    let key = plan.key.clone();
    let answering = socket::open(args.listen)?;
    answering.set_read_timeout(Some(PATIENCE)).context("setting a timeout")?;
    interrupt::catch()?;
    let clock = Clock::new();
    let mut probing = Probing::new(plan.clone(), clock, args.listen)?;
    aim(args, &all, &mut probing);
    let lists = source.follow()?;
    // Others may still wait for answers when this one's last have come.
    let after_ns = 2 * nanoseconds(args.timeout);
    let end = args.duration.map(|duration| {
        clock.start_ns().saturating_add(nanoseconds(duration)).saturating_add(after_ns)
    });
    thread::scope(|scope| {
        scope.spawn(|| reflect(&answering, key, clock, end));
        let made = probe(args, &plan, clock, &lists, probing);
        if made.is_err() {
            interrupt::STOP.store(true, Ordering::Relaxed);
        }
        made
    })
}

fn reflect(socket: &UdpSocket, key: Option<Key>, clock: Clock, end: Option<u64>) {
    let mut reflector = reflector::Reflector::new(key, &LIMITS, clock.start_ns());
    serve::serve(socket, &mut reflector, clock, end);
    tracing::info!("probes of others: {}", reflector.counts());
}

fn plan(args: &MatrixArgs, all: &[Peer]) -> Result<Plan> {
    if args.interval < SHORTEST || args.interval > args.every {
        return Err(usage(format!(
            "--interval is {:?}; it may be {SHORTEST:?} or more, up to --every",
            args.interval
        )));
    }
    if args.timeout.is_zero() || args.timeout > Duration::from_mins(1) {
        return Err(usage("--timeout has to be above 0, up to 1m"));
    }
    if args.every > Duration::from_hours(1) {
        return Err(usage("--every may be 1h at most"));
    }
    let me = all
        .iter()
        .find(|peer| peer.name == args.me)
        .ok_or_else(|| usage(format!("--me is {:?}, which is not in the list", args.me)))?;
    Ok(Plan {
        me: me.clone(),
        interval_ns: nanoseconds(args.interval),
        timeout_ns: nanoseconds(args.timeout),
        minute_ns: nanoseconds(args.every),
        key: args.key_file.as_deref().map(Key::read).transpose()?,
    })
}

/// Probes the peers that a list gives this endpoint.
fn aim(args: &MatrixArgs, all: &[Peer], probing: &mut Probing) {
    let chosen = choose::peers(all, &args.me, args.peers_per_node);
    let (fit, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|peer| fits(args.listen, peer.address));
    for peer in others {
        tracing::warn!("{} cannot be probed from {}: {}", peer.name, args.listen, peer.address);
    }
    let names: Vec<_> = fit.iter().map(|peer| peer.name.as_str()).collect();
    tracing::info!("probing {} of {} endpoints: {}", fit.len(), all.len(), names.join(" "));
    probing.set(&fit);
}

/// Whether two addresses are of one family.
const fn fits(one: SocketAddr, other: SocketAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn probe(
    args: &MatrixArgs,
    plan: &Plan,
    clock: Clock,
    lists: &Receiver<Vec<Peer>>,
    mut probing: Probing,
) -> Result<()> {
    let started = u64::try_from(clock.unix_ns(clock.start_ns())).unwrap_or(0);
    if args.output == Output::Csv {
        print(record::HEAD)?;
    }
    let end_ns = args.duration.map_or(u64::MAX, nanoseconds);
    while !interrupt::stopped() && probing.now() < end_ns {
        if let Some(all) = lists.try_iter().last() {
            aim(args, &all, &mut probing);
        }
        probing.send();
        probing.wait(PATIENCE.min(Duration::from_nanos(end_ns.saturating_sub(probing.now()))));
        probing.receive();
        if !tell(args, plan, started, &mut probing, false)? {
            interrupt::STOP.store(true, Ordering::Relaxed);
        }
    }
    let duration_ns = probing.now();
    probing.set(&[]);
    while probing.now() < duration_ns.saturating_add(plan.timeout_ns) {
        probing.wait(PATIENCE);
        probing.receive();
    }
    tell(args, plan, started, &mut probing, true)?;
    write(args, plan, (started, duration_ns), probing)
}

/// Prints the minutes that are over; whether somebody still reads.
fn tell(
    args: &MatrixArgs,
    plan: &Plan,
    started: u64,
    probing: &mut Probing,
    ended: bool,
) -> Result<bool> {
    let mut told = Ok(String::new());
    probing.over(ended, |peer, minute| {
        if let Ok(text) = &mut told {
            match record::line(plan, started, peer, minute, args.output) {
                Ok(line) => text.push_str(&line),
                Err(error) => told = Err(error),
            }
        }
    });
    match told? {
        text if text.is_empty() => Ok(true),
        text => print(&text),
    }
}

fn write(
    args: &MatrixArgs,
    plan: &Plan,
    (started, duration_ns): (u64, u64),
    probing: Probing,
) -> Result<()> {
    let Some(path) = &args.result else {
        return Ok(());
    };
    let time = |duration| humantime::format_duration(duration).to_string();
    let settings: BTreeMap<_, _> = [
        ("interval", time(args.interval)),
        ("timeout", time(args.timeout)),
        ("every", time(args.every)),
        ("peers_per_node", args.peers_per_node.to_string()),
        ("authenticated", plan.key.is_some().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut trials = Vec::new();
    for target in probing.into_targets() {
        trials.extend(record::trial(plan, started, duration_ns, &settings, &target)?);
    }
    environment::run(&args.label, &args.fact, trials).write(path)
}

//! `xcloud load throughput`: how much a path carries. Speaks iperf3's protocol, in both roles.

pub mod client;
pub mod cookie;
pub mod counters;
pub mod cpu;
pub mod datagram;
pub mod json;
pub mod ledger;
pub mod outcome;
pub mod pace;
pub mod params;
pub mod plan;
pub mod protocol;
pub mod record;
pub mod results;
pub mod server;
pub mod socket;
pub mod tcp_info;
pub mod text;
pub mod traffic;
pub mod work;

use std::{
    io::{Write as _, stdout},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};

use self::{
    client::{Audience, Target},
    ledger::Span,
    plan::{Direction, Plan, Protocol},
    record::{Record, Setting},
    results::Report,
    server::{Clerk, Limits, Place},
    socket::Family,
};
use super::{environment, interrupt, ready};
use crate::{
    cli::{ends::ReadyArgs, throughput::ThroughputArgs},
    result::may_write,
    usage::usage,
};

/// `xcloud load throughput`.
///
/// # Errors
/// The flags are out of range, the server is not there, refuses or goes away, or the port is taken.
pub fn run(args: &ThroughputArgs) -> Result<()> {
    if !(0.1..=3600.0).contains(&args.interval) {
        return Err(usage("--interval is 0.1 to 3600 seconds"));
    }
    let interval = Duration::from_secs_f64(args.interval);
    match &args.client {
        Some(host) => ask(args, host, interval),
        None => serve(args, interval),
    }
}

fn ask(args: &ThroughputArgs, host: &str, interval: Duration) -> Result<()> {
    let plan = plan(args)?;
    if let Some(path) = &args.outcome.result {
        may_write(path)?;
    }
    interrupt::catch()?;
    let target = Target {
        host: host.into(),
        port: args.port,
        family: family(args),
        from: args.bind,
        patience: args.load.connect_timeout,
    };
    let mut trials = Vec::new();
    let mut screen = Screen { json: args.json, repeat: 0, repeats: args.outcome.repeat };
    for _ in 0..args.outcome.repeat {
        screen.repeat += 1;
        let record = client::run(&target, &plan, interval, &mut screen)
            .with_context(|| format!("testing against {host}, port {}", args.port))?;
        screen.ends(&record)?;
        client::check(&record)?;
        let mut trial = outcome::trial(&record);
        environment::name_ends(&args.outcome.ends, &mut trial);
        trials.push(trial);
        if let Some(path) = &args.outcome.result {
            // After each, so that a broken one takes nothing from those before it.
            let outcome = &args.outcome;
            environment::run(&outcome.label, &outcome.fact, trials.clone()).write(path)?;
        }
        if interrupt::stopped() {
            break;
        }
    }
    Ok(())
}

fn family(args: &ThroughputArgs) -> Family {
    Family { only_ipv4: args.only_ipv4, only_ipv6: args.only_ipv6 }
}

/// Most bits per second of a UDP stream when nothing is said, as in iperf3.
const UDP_RATE: u64 = 1_000_000;

fn plan(args: &ThroughputArgs) -> Result<Plan> {
    let load = &args.load;
    let protocol = if load.udp { Protocol::Udp } else { Protocol::Tcp };
    let (rate, burst) = load.bitrate.unwrap_or((if load.udp { UDP_RATE } else { 0 }, 1));
    let small = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let plan = Plan {
        protocol,
        direction: match (load.bidir, load.reverse) {
            (true, _) => Direction::Both,
            (_, true) => Direction::Reverse,
            _ => Direction::Forward,
        },
        streams: load.parallel,
        length: load.length.map_or(if load.udp { 1460 } else { 128 << 10 }, small),
        time: Duration::from_secs(if load.bytes.is_some() { 0 } else { load.time }),
        omit: Duration::from_secs(load.omit),
        bytes: load.bytes,
        rate: Some(rate).filter(|rate| *rate > 0),
        burst,
        window: load.window.map(small),
        mss: load.set_mss,
        no_delay: load.no_delay,
        congestion: load.congestion.clone(),
        tos: load.tos,
        zero_copy: load.zerocopy,
        skip_receive_copy: load.skip_rx_copy,
        wide_counters: load.udp_counters_64bit,
        server_output: load.get_server_output,
    };
    plan.check().map_err(|fault| usage(fault.to_string()))?;
    check(args)?;
    // The path's own size is known once there is a connection.
    let length = if load.udp && load.length.is_none() { 0 } else { plan.length };
    Ok(Plan { length, ..plan })
}

fn check(args: &ThroughputArgs) -> Result<()> {
    let load = &args.load;
    let faults = [
        (load.bytes == Some(0), "--bytes is 0"),
        (args.outcome.repeat == 0, "--repeat is 0"),
        (load.udp && load.zerocopy, "--zerocopy is for TCP"),
        (load.udp && load.skip_rx_copy, "--skip-rx-copy is for TCP"),
        (
            load.udp && (load.congestion.is_some() || load.set_mss.is_some()),
            "--congestion and --set-mss are for TCP",
        ),
        (load.connect_timeout.is_zero(), "--connect-timeout is 0"),
    ];
    faults.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, why)| Err(usage(*why)))
}

/// Where a client's user reads.
struct Screen {
    json: bool,
    repeat: u32,
    repeats: u32,
}

impl Screen {
    fn ends(&self, record: &Record) -> Result<()> {
        let text = if self.json {
            format!("{:#}\n", json::whole(record))
        } else {
            let report = match &record.peer.report {
                Some(Report::Text(text)) => format!("\nServer output:\n{text}"),
                Some(Report::Json(report)) => format!("\nServer output:\n{report:#}\n"),
                None => String::new(),
            };
            text::summary(record) + &report
        };
        say(&text).context("writing the report")
    }

    fn tell(&self, text: &str) {
        if !self.json {
            // A reader that has gone away is told when the report is written.
            drop(say(text));
        }
    }
}

impl Audience for Screen {
    fn begins(&mut self, setting: &Setting) {
        if self.repeats > 1 {
            self.tell(&format!("Test {} of {}\n", self.repeat, self.repeats));
        }
        self.tell(&text::head(setting));
    }

    fn passes(&mut self, setting: &Setting, span: &Span) {
        self.tell(&text::span(setting, span));
    }
}

fn say(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn serve(args: &ThroughputArgs, interval: Duration) -> Result<()> {
    let limits = Limits {
        tests: args.limits.max_tests,
        duration: args.limits.max_duration,
        bytes: args.limits.max_bytes,
        one_off: args.limits.one_off,
    };
    if limits.tests == 0 {
        return Err(usage("--max-tests is 0"));
    }
    if args.outcome.result.is_some() {
        return Err(usage("--result is for the client: it knows what both ends saw"));
    }
    let place = Place { address: args.bind, family: family(args), port: args.port };
    let desk = Desk { json: args.json, ready: args.limits.ready.clone() };
    server::run(&place, limits, interval, Arc::new(desk))
}

/// Where a server's user reads.
struct Desk {
    json: bool,
    ready: ReadyArgs,
}

impl Clerk for Desk {
    fn ready(&self, at: SocketAddr) -> Result<()> {
        tracing::info!("serving throughput tests at {at}");
        ready::tell(&self.ready, at)
    }

    fn made(&self, record: &Record) {
        let text = if self.json {
            format!("{:#}\n", json::whole(record))
        } else {
            format!("Test of {}\n{}", record.setting.peer, text::whole(record))
        };
        drop(say(&text));
    }

    fn failed(&self, client: &str, error: &anyhow::Error) {
        tracing::warn!("{client}: {error:#}");
    }

    fn report(&self, record: &Record) -> Report {
        if self.json {
            Report::Json(json::whole(record))
        } else {
            Report::Text(text::whole(record))
        }
    }
}

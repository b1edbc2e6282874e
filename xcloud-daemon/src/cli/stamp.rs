//! Flags of tests that send STAMP probes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ValueEnum};

use super::{
    Output,
    ends::{EndsArgs, ReadyArgs},
    fact::FactArgs,
};

/// What all probes have.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// Bytes of a probe, without IP's and UDP's headers [default: 44, with --key-file 112]
    #[arg(long, value_name = "BYTES")]
    pub size: Option<usize>,
    /// How long an answer may take; one that comes later is lost
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// Sign probes and take signed answers only (HMAC-SHA-256), with the key in this file
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// How probes tell the time
    #[arg(long, value_enum, default_value = "ntp")]
    pub format: FormatArg,
    /// How often the test is made
    #[arg(long, default_value_t = 1)]
    pub repeat: u32,
    /// What the run is called in its result
    #[arg(long, default_value = "")]
    pub label: String,
    /// What its ends are called
    #[command(flatten)]
    pub ends: EndsArgs,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
    /// Write all figures to this file, for `xcloud compare` and `xcloud report`
    #[arg(long, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// Format; csv is one row a figure
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// How a packet tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// NTP: seconds and a binary fraction
    Ntp,
    /// PTPv2, truncated: seconds and nanoseconds
    Ptp,
}

/// How intended send times follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleArg {
    /// Evenly
    Periodic,
    /// At random, so that nothing periodic keeps step with them
    Poisson,
}

/// `xcloud load stamp`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("side").required(true).args(["to", "reflect"]))]
pub struct StampArgs {
    /// Probe this reflector
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<String>,
    /// Answer probes here, e.g. on 192.0.2.1:862
    #[arg(long, value_name = "IP:PORT")]
    pub reflect: Option<SocketAddr>,
    /// Mean time between probes, of all flows together
    #[arg(short, long, default_value = "10ms", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// Probes to send [default: as many as --duration has room for]
    #[arg(short = 'n', long, conflicts_with = "duration")]
    pub count: Option<u32>,
    /// For how long probes are sent [default: 10s], or answered [default: until interrupted]
    #[arg(short, long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// How send times follow each other
    #[arg(long, value_enum, default_value = "periodic")]
    pub schedule: ScheduleArg,
    /// Source ports, used in turn: paths that are chosen by ports are all seen
    #[arg(long, default_value_t = 1)]
    pub flows: u16,
    /// How probes are made and what is done with the figures
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// Most sessions a reflector counts for; packets of further ones are not answered
    #[arg(long, default_value_t = 10_000, requires = "reflect")]
    pub max_sessions: usize,
    /// Most answers per second a reflector gives
    #[arg(long, default_value_t = 100_000, requires = "reflect", value_name = "PER_SECOND")]
    pub max_rate: u32,
    /// How a reflector says that it listens
    #[command(flatten)]
    pub ready: ReadyArgs,
    /// Pretend the reflector's clock is this far ahead
    #[arg(long, hide = true, default_value = "0s", value_parser = humantime::parse_duration)]
    pub pretend_clock_offset: Duration,
    /// Pretend the reflector's clock runs this many parts per million fast
    #[arg(long, hide = true, default_value_t = 0.0, allow_negative_numbers = true)]
    pub pretend_clock_ppm: f64,
}

/// `xcloud load convergence`.
#[derive(Args, Clone, Debug)]
pub struct ConvergenceArgs {
    /// The reflector: `xcloud load stamp --reflect` or any other of STAMP
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// What changes the network: a command for the shell, run once a repeat
    #[arg(long, value_name = "COMMAND")]
    pub event: String,
    /// Probes per second, of all flows together
    #[arg(short = 'R', long, default_value_t = 1000)]
    pub rate: u32,
    /// Source ports, used in turn
    #[arg(long, default_value_t = 16)]
    pub flows: u16,
    /// For how long probes are sent before the event
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub before: Duration,
    /// For how long they are sent from the event's start on; a command that still runs then is killed
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// How probes are made and what is done with the figures
    #[command(flatten)]
    pub probe: ProbeArgs,
}

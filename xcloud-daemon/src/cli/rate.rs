//! Flags of load tests that time requests; where wrk2 has one, it is called the same.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Address, Output,
    ends::{EndsArgs, ReadyArgs},
    fact::FactArgs,
};

/// How a load is sent and what is done with the figures.
#[derive(Args, Clone, Debug)]
pub struct RateArgs {
    /// Threads that send [default: 2, at most one for each connection]
    #[arg(short, long)]
    pub threads: Option<u32>,
    /// Connections, opened before the clock starts
    #[arg(short, long, default_value_t = 10)]
    pub connections: u32,
    /// For how long requests are sent
    #[arg(short, long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Requests per second of all connections together [default: as fast as they are answered]
    #[arg(short = 'R', long)]
    pub rate: Option<u64>,
    /// End a run without a rate once so many requests were sent [default: no limit]
    #[arg(long, conflicts_with_all = ["rate", "ramp"], value_name = "COUNT")]
    pub max_requests: Option<u64>,
    /// How intended send times follow each other
    #[arg(long, value_enum, default_value = "constant", requires = "rate")]
    pub arrival: ArrivalArg,
    /// Raise the rate from step to step, `-d` each, until the knee
    #[arg(long, value_name = "FROM:TO:STEP", conflicts_with_all = ["rate", "repeat"])]
    pub ramp: Option<String>,
    /// Show more percentiles
    #[arg(short = 'L', long)]
    pub latency: bool,
    /// How long an answer may take once its request is sent
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// How long requests that are unfinished at the end are waited for
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain: Duration,
    /// How often the test is made
    #[arg(long, default_value_t = 1)]
    pub repeat: u32,
    /// Ask this aggregator where the time of the test's own requests went; the test has to run in a pod that an agent
    /// watches
    #[arg(long, value_name = "ADDRESS")]
    pub aggregator: Option<Address>,
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
    /// Write the response times by percentile to this file, as HdrHistogram's plotter reads them
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Write the histograms of every second to this file, as HdrHistogram's log readers take them
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// Format; csv is one row a second
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// How intended send times follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArrivalArg {
    /// Evenly
    Constant,
    /// As many independent clients would send
    Poisson,
}

/// `xcloud load http`.
#[derive(Args, Clone, Debug)]
pub struct HttpArgs {
    /// What to ask for, as http://HOST[:PORT]/PATH
    pub url: String,
    /// Header to send, as `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: String,
    /// Body to send: text, or @FILE
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Speak HTTP/2 from the first byte on, without encryption
    #[arg(long)]
    pub http2: bool,
    /// Requests at once on a connection
    #[arg(short, long, default_value_t = 1, requires = "http2")]
    pub streams: u32,
    /// How
    #[command(flatten)]
    pub rate: RateArgs,
}

/// `xcloud load rr`, `crr` and `udp-rr`.
#[derive(Args, Clone, Debug)]
pub struct RrArgs {
    /// Where `xcloud load responder` listens, as HOST:PORT
    pub server: String,
    /// Payload bytes of a request and of its answer
    #[arg(short = 'r', long, default_value = "1,1", value_name = "REQUEST,ANSWER")]
    pub size: String,
    /// How long the responder waits before it answers
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub delay: Duration,
    /// The status it answers with; 0 is success
    #[arg(long, default_value_t = 0)]
    pub status: u16,
    /// How
    #[command(flatten)]
    pub rate: RateArgs,
}

/// `xcloud load responder`.
#[derive(Args, Clone, Debug)]
pub struct ResponderArgs {
    /// Where to listen, with TCP and UDP
    #[arg(long, default_value = "127.0.0.1:7272", value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Most connections at once; further ones are closed
    #[arg(long, default_value_t = 10_000)]
    pub max_connections: usize,
    /// Largest payload sent or taken, in bytes
    #[arg(long, default_value_t = 16 << 20, value_name = "BYTES")]
    pub max_size: u32,
    /// Longest delay a request may ask for
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub max_delay: Duration,
    /// Stop after this time [default: when interrupted]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// How it says that it listens
    #[command(flatten)]
    pub ready: ReadyArgs,
}

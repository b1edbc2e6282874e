//! `xcloud load matrix`: its flags.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::{Address, Output, fact::FactArgs};

/// `xcloud load matrix`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("list").required(true).args(["peers", "aggregator"]))]
pub struct MatrixArgs {
    /// All endpoints, one a line: NAME CLOUD/REGION IP:PORT; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub peers: Option<PathBuf>,
    /// Take the endpoints of this aggregator's load tests; all answer at the port of --listen
    #[arg(long, value_name = "ADDRESS")]
    pub aggregator: Option<Address>,
    /// Which of them this is
    #[arg(long, value_name = "NAME")]
    pub me: String,
    /// Where probes of others are answered, e.g. 192.0.2.1:862; own probes leave from the same address
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Peers that each endpoint probes, besides its part of the pairs of sites
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub peers_per_node: usize,
    /// Time between probes of a peer
    #[arg(short, long, default_value = "1s", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// How long an answer may take; one that comes later is lost
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// What is told together, a line for each peer
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// For how long [default: until interrupted]
    #[arg(short, long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Sign probes and take signed ones only (HMAC-SHA-256), with the key in this file
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// What the run is called in its result
    #[arg(long, default_value = "")]
    pub label: String,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
    /// Write all figures to this file at the end, for `xcloud compare` and `xcloud report`
    #[arg(long, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// Format of the lines; json is an object a line
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

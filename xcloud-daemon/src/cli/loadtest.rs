//! Flags of load tests that the aggregator has made: leave to make them, endpoints, and what users ask for.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, ServerArgs, fact::FactArgs, throughput};

/// Leave to make load tests, and what one may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load tests")]
pub struct LeaveArgs {
    /// Make load tests between endpoints when users ask for them
    #[arg(long, env = "XCLOUD_ALLOW_LOAD_TESTS")]
    pub allow_load_tests: bool,
    /// Most bits per second of a test, each way, with K, M, G; what names no rate is held to it
    #[arg(long, env = "XCLOUD_LOAD_MAX_RATE", value_name = "BIT/S", value_parser = throughput::decimal)]
    pub load_max_rate: Option<u64>,
    /// Most bytes on the wire that a test may move, as 50GB
    #[arg(long, env = "XCLOUD_LOAD_MAX_BYTES", value_name = "VOLUME")]
    pub load_max_bytes: Option<crate::cost::volume::Volume>,
    /// Most US dollars that a test may cost by the tariffs; one whose price is not known is then refused
    #[arg(long, env = "XCLOUD_LOAD_MAX_USD", value_name = "USD", value_parser = micro_usd)]
    pub load_max_usd: Option<u64>,
    /// Longest test
    #[arg(
        long,
        env = "XCLOUD_LOAD_MAX_DURATION",
        default_value = "10m",
        value_parser = humantime::parse_duration
    )]
    pub load_max_duration: Duration,
    /// Keep tests and their results in this directory [default: the last 100, in memory]
    #[arg(long, env = "XCLOUD_LOAD_RESULTS", value_name = "DIRECTORY")]
    pub load_results: Option<PathBuf>,
}

/// An agent's part in load tests.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load tests")]
pub struct AgentLoadArgs {
    /// Send and answer load of tests that the aggregator makes, in this node's network
    #[arg(long, env = "XCLOUD_LOAD_TESTS", requires = "load_address")]
    pub load_tests: bool,
    /// Address of this node at which endpoints on other nodes reach it
    #[arg(long, env = "XCLOUD_LOAD_ADDRESS", value_name = "IP")]
    pub load_address: Option<IpAddr>,
}

/// `xcloud load endpoint`.
#[derive(Args, Clone, Debug)]
pub struct EndpointArgs {
    /// Whose tests
    #[command(flatten)]
    pub server: ServerArgs,
    /// What tests call this endpoint [default: the host name]
    #[arg(long, env = "XCLOUD_LOAD_NAME")]
    pub name: Option<String>,
    /// Address at which other endpoints reach this one
    #[arg(long, env = "XCLOUD_LOAD_ADDRESS", value_name = "IP")]
    pub address: IpAddr,
    /// Address to listen on, where it differs from that
    #[arg(long, value_name = "IP")]
    pub listen: Option<IpAddr>,
    /// Cloud provider, e.g. aws
    #[arg(long, env = "XCLOUD_CLOUD", default_value = "unknown")]
    pub cloud: String,
    /// Region of the cloud
    #[arg(long, env = "XCLOUD_REGION", default_value = "")]
    pub region: String,
    /// Availability zone
    #[arg(long, env = "XCLOUD_ZONE", default_value = "")]
    pub zone: String,
    /// Name of the node [default: the host name]
    #[arg(long, env = "XCLOUD_NODE")]
    pub node: Option<String>,
    /// The network it is in
    #[arg(long, value_enum, default_value = "pod")]
    pub network: NetworkArg,
    /// Longest test it takes part in
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    pub max_duration: Duration,
    /// Most bytes on the wire of a test it takes part in, as 50GB [default: no limit]
    #[arg(long, value_name = "VOLUME")]
    pub max_bytes: Option<crate::cost::volume::Volume>,
}

/// The network that an endpoint is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// A pod's own
    Pod,
    /// The node's
    Host,
}

/// `xcloud load run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// The endpoint that sends
    #[arg(long, value_name = "ENDPOINT")]
    pub from: String,
    /// The endpoint that answers
    #[arg(long, value_name = "ENDPOINT")]
    pub to: String,
    /// For how long load is sent
    #[arg(short, long, global = true, default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// What the trial is called in its result [default: the kind of test]
    #[arg(long, global = true, default_value = "")]
    pub name: String,
    /// Only say what it would move and cost, and whether it would be allowed
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Write all figures to this file, for `xcloud compare` and `xcloud report`
    #[arg(long, global = true, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
    /// What to measure
    #[command(subcommand)]
    pub kind: RunKind,
}

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub enum RunKind {
    /// How much the path carries
    Throughput(RunThroughputArgs),
    /// Requests and answers over TCP connections that stay
    Rr(RunRequestsArgs),
    /// The same, with a new TCP connection for each request
    Crr(RunRequestsArgs),
    /// The same over UDP
    UdpRr(RunRequestsArgs),
    /// HTTP/1.1 requests
    Http(RunRequestsArgs),
    /// Unary gRPC calls
    Grpc(RunRequestsArgs),
    /// STAMP probes: loss, order and time, each way
    Stamp(RunStampArgs),
}

/// `xcloud load run … throughput`.
#[derive(Args, Clone, Debug)]
pub struct RunThroughputArgs {
    /// Streams at once
    #[arg(short = 'P', long, default_value_t = 1)]
    pub parallel: u32,
    /// UDP instead of TCP
    #[arg(short, long, requires = "bitrate")]
    pub udp: bool,
    /// Bits per second of all streams together, with K, M, G [default: the most that the aggregator allows]
    #[arg(short, long, value_name = "BIT/S", value_parser = throughput::decimal)]
    pub bitrate: Option<u64>,
    /// The answering endpoint sends
    #[arg(short = 'R', long)]
    pub reverse: bool,
    /// Seconds sent before and left out of the figures
    #[arg(short = 'O', long, default_value_t = 0)]
    pub omit: u32,
}

/// `xcloud load run … rr`, `crr`, `udp-rr`, `http` and `grpc`.
#[derive(Args, Clone, Debug)]
pub struct RunRequestsArgs {
    /// Requests per second of all connections together [default: as fast as they are answered]
    #[arg(short = 'R', long)]
    pub rate: Option<u64>,
    /// End a test without a rate once so many requests were sent [default: as many as the aggregator's limits hold]
    #[arg(long, conflicts_with = "rate", value_name = "COUNT")]
    pub max_requests: Option<u64>,
    /// Connections
    #[arg(short, long, default_value_t = 10)]
    pub connections: u32,
    /// Threads that send
    #[arg(short, long, default_value_t = 1)]
    pub threads: u32,
    /// Payload bytes of a request [default: 1, and 0 for http]
    #[arg(long, value_name = "BYTES")]
    pub request: Option<u32>,
    /// Payload bytes of its answer
    #[arg(long, default_value_t = 1, value_name = "BYTES")]
    pub answer: u32,
}

/// `xcloud load run … stamp`.
#[derive(Args, Clone, Debug)]
pub struct RunStampArgs {
    /// Mean time between probes, of all flows together
    #[arg(short, long, default_value = "10ms", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// Source ports, used in turn
    #[arg(long, default_value_t = 1)]
    pub flows: u32,
}

/// `xcloud load endpoints`.
#[derive(Args, Clone, Debug)]
pub struct ListEndpointsArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `xcloud load tests`.
#[derive(Args, Clone, Debug)]
pub struct ListTestsArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// At most so many, the newest
    #[arg(short = 'n', long, default_value_t = 20)]
    pub number: u32,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `xcloud load cancel`.
#[derive(Args, Clone, Debug)]
pub struct CancelArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// The test
    pub id: String,
}

/// `xcloud load export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// The tests; their trials come in this order
    #[arg(required = true)]
    pub ids: Vec<String>,
    /// Where to write, for `xcloud compare` and `xcloud report`
    #[arg(long, value_name = "FILE")]
    pub result: PathBuf,
    /// What the run is called
    #[arg(long, default_value = "")]
    pub label: String,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
}

/// US dollars as millionths.
pub(super) fn micro_usd(text: &str) -> Result<u64, String> {
    let usd = text.parse::<f64>().ok().filter(|usd| (0.0..1e9).contains(usd));
    let usd = usd.ok_or_else(|| format!("{text:?} is no amount of US dollars, as in 2.50"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let micro = (usd * 1e6).round() as u64;
    Ok(micro)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_numbers() {
        assert_eq!(micro_usd("2.50"), Ok(2_500_000));
        assert_eq!(micro_usd("0"), Ok(0));
        for wrong in ["", "-1", "NaN", "1e300", "2,50", "$2"] {
            assert!(micro_usd(wrong).is_err(), "{wrong}");
        }
    }
}

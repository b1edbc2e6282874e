//! `xcloud load`: the kinds of load test.

use clap::Subcommand;

use super::throughput::ThroughputArgs;

/// The kinds of load test.
#[derive(Clone, Debug, Subcommand)]
pub enum LoadCommand {
    /// How much a path carries: TCP or UDP, against another xcloud or any iperf3
    Throughput(Box<ThroughputArgs>),
}

//! `xcloud load`: its tests.

use clap::Subcommand;

use super::{
    rate::{HttpArgs, ResponderArgs, RrArgs},
    stamp::{ConvergenceArgs, StampArgs},
    suite::SuiteArgs,
    throughput::ThroughputArgs,
};

/// Load tests.
#[derive(Clone, Debug, Subcommand)]
pub enum LoadCommand {
    /// How much a path carries: TCP or UDP, against another xcloud or any iperf3
    Throughput(Box<ThroughputArgs>),
    /// Time HTTP/1.1 requests, at a constant rate or as fast as they are answered
    Http(HttpArgs),
    /// Time requests and answers over TCP connections that stay, with an `xcloud load responder`
    Rr(RrArgs),
    /// The same, with a new TCP connection for each request
    Crr(RrArgs),
    /// The same over UDP
    UdpRr(RrArgs),
    /// Answer load tests over TCP, UDP and HTTP
    Responder(ResponderArgs),
    /// Probe a path with STAMP (RFC 8762): loss, order and time, each way; or answer such probes
    Stamp(Box<StampArgs>),
    /// Probe a path with STAMP around an event: how long which flows were down
    Convergence(Box<ConvergenceArgs>),
    /// Have many tests made between sites, in random order, by an aggregator that may
    Suite(Box<SuiteArgs>),
}

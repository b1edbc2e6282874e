//! `xcloud load`: its tests.

use clap::Subcommand;

use super::{
    rate::{HttpArgs, ResponderArgs, RrArgs},
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
}

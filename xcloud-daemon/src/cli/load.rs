//! `xcloud load`: its tests.

use clap::Subcommand;

use super::{
    grpc::GrpcArgs,
    loadtest::{CancelArgs, EndpointArgs, ExportArgs, ListEndpointsArgs, ListTestsArgs, RunArgs},
    matrix::MatrixArgs,
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
    /// Time requests of HTTP/1.1 or HTTP/2, at a constant rate or as fast as they are answered
    Http(HttpArgs),
    /// Time unary gRPC calls, over HTTP/2 without encryption
    Grpc(GrpcArgs),
    /// Time requests and answers over TCP connections that stay, with an `xcloud load responder`
    Rr(RrArgs),
    /// The same, with a new TCP connection for each request
    Crr(RrArgs),
    /// The same over UDP
    UdpRr(RrArgs),
    /// Answer load tests over TCP, UDP, HTTP and gRPC
    Responder(ResponderArgs),
    /// Probe a path with STAMP (RFC 8762): loss, order and time, each way; or answer such probes
    Stamp(Box<StampArgs>),
    /// Probe a few of many endpoints with STAMP all the time, so that all pairs of sites are seen, and answer their probes
    Matrix(MatrixArgs),
    /// Probe a path with STAMP around an event: how long which flows were down
    Convergence(Box<ConvergenceArgs>),
    /// Wait here for a part in tests that the aggregator has made
    Endpoint(Box<EndpointArgs>),
    /// Have the aggregator make a test between two endpoints
    Run(Box<RunArgs>),
    /// Have the aggregator make many tests between sites, in random order
    Suite(Box<SuiteArgs>),
    /// List the endpoints that tests can be made between
    Endpoints(ListEndpointsArgs),
    /// List tests that the aggregator has made
    Tests(ListTestsArgs),
    /// End a test that runs
    Cancel(CancelArgs),
    /// Write results of tests that ended to a file
    Export(ExportArgs),
}

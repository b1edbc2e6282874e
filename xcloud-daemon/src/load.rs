//! Load tests: traffic that is made to be measured.

pub mod convergence;
pub(crate) mod environment;
pub mod grpc;
pub mod http;
pub mod http2;
mod interrupt;
pub mod matrix;
pub mod rate;
pub(crate) mod ready;
pub mod responder;
pub mod rr;
mod shell;
pub mod split;
pub mod stamp;
pub mod suite;
pub mod throughput;
#[cfg(test)]
mod wall_clock;

use anyhow::Result;

use crate::{cli::load::LoadCommand, loadtest};

/// Runs a load test.
///
/// # Errors
/// The flags contradict each other, or the test cannot be made.
pub fn run(command: LoadCommand) -> Result<()> {
    match command {
        LoadCommand::Http(args) => http::run(&args),
        LoadCommand::Grpc(args) => grpc::run(&args),
        LoadCommand::Rr(args) => rr::run(&args, rate::slot::Transport::Tcp),
        LoadCommand::Crr(args) => rr::run(&args, rate::slot::Transport::TcpEach),
        LoadCommand::UdpRr(args) => rr::run(&args, rate::slot::Transport::Udp),
        LoadCommand::Responder(args) => responder::run(&args),
        LoadCommand::Throughput(args) => throughput::run(&args),
        LoadCommand::Stamp(args) => stamp::run(&args),
        LoadCommand::Matrix(args) => matrix::run(&args),
        LoadCommand::Convergence(args) => convergence::run(&args),
        LoadCommand::Suite(args) => suite::run(&args),
        LoadCommand::Endpoint(args) => loadtest::endpoint::run(&args),
        LoadCommand::Run(args) => loadtest::ask::run(&args),
        LoadCommand::Endpoints(args) => loadtest::ask::endpoints(&args),
        LoadCommand::Tests(args) => loadtest::ask::tests(&args),
        LoadCommand::Cancel(args) => loadtest::ask::cancel(&args),
        LoadCommand::Export(args) => loadtest::ask::export(&args),
    }
}

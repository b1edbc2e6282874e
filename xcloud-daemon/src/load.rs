//! Load tests: traffic that is made to be measured.

mod environment;
pub mod throughput;

use anyhow::Result;

use crate::cli::load::LoadCommand;

/// Runs a load test.
///
/// # Errors
/// The flags contradict each other, or the test cannot be made.
pub fn run(command: LoadCommand) -> Result<()> {
    match command {
        LoadCommand::Throughput(args) => throughput::run(&args),
    }
}

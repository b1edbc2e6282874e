//! Load tests: traffic that is made to be measured.

pub mod convergence;
mod environment;
mod interrupt;
pub mod stamp;

use anyhow::Result;

use crate::cli::load::LoadCommand;

/// Runs a load test.
///
/// # Errors
/// The flags contradict each other, or the test cannot be made.
pub fn run(command: LoadCommand) -> Result<()> {
    match command {
        LoadCommand::Stamp(args) => stamp::run(&args),
        LoadCommand::Convergence(args) => convergence::run(&args),
    }
}

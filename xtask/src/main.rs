//! Project tasks; see `cargo xtask --help`.

mod apt;
mod bench;
mod bpf;
mod chart;
mod cli;
mod cluster;
mod codegen;
mod command;
mod idle;
mod image;
mod judge;
mod kernels;
mod lab;
mod load;
mod netns;
mod oracle;
mod progress;
mod scenario;
mod setup;
mod signals;
mod suite;
mod test;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

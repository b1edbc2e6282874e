//! The `xcloud` command.

use std::process::ExitCode;

use clap::Parser as _;
use xcloud::{
    agent, aggregator, check,
    cli::{Cli, Command},
    compare, cost,
    escape::clean_lines,
    kubectl, load, nodes, observe, query, run_report, top,
    usage::UsageError,
};

fn main() -> ExitCode {
    if let Some(ended) = kubectl::as_plugin() {
        return ended.unwrap_or_else(|error| told(&error));
    }
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_target(false)
        .init();
    let result = match cli.command {
        Command::Agent(args) => agent::run(args),
        Command::Aggregator(args) => aggregator::run(args),
        Command::Split(args) => query::run(args),
        Command::Observe(args) => observe::run(args),
        Command::Top(args) => top::run(&args),
        Command::Nodes(args) => nodes::run(&args),
        Command::Check(args) => check::run(args),
        Command::Load(command) => load::run(command),
        Command::Cost(args) => cost::command::run(&args),
        Command::Report(args) => run_report::command::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error),
    }
}

/// Says what went wrong, and what kind of mistake it was.
fn told(error: &anyhow::Error) -> ExitCode {
    eprintln!("xcloud: {}", clean_lines(&format!("{error:#}")));
    if error.is::<UsageError>() {
        ExitCode::from(2)
    } else if error.is::<compare::Regression>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

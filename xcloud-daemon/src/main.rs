//! The `xcloud` command.

use std::process::ExitCode;

use clap::Parser as _;
use xcloud::{
    access::caller::identify,
    agent, aggregator, check,
    cli::{Cli, Command},
    compare, cost, load, observe, query, run_report,
    usage::UsageError,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_target(false)
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xcloud: {error:#}");
            if error.is::<UsageError>() {
                ExitCode::from(2)
            } else if error.is::<compare::Regression>() {
                ExitCode::from(3)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(Cli { command, tls }: Cli) -> anyhow::Result<()> {
    // It is called; all others call.
    if !matches!(command, Command::Aggregator(_)) {
        identify(&tls)?;
    }
    match command {
        Command::Aggregator(args) => aggregator::run(args, &tls),
        Command::Agent(args) => agent::run(args),
        Command::Split(args) => query::run(args),
        Command::Observe(args) => observe::run(args),
        Command::Check(args) => check::run(args),
        Command::Load(command) => load::run(command),
        Command::Cost(args) => cost::command::run(&args),
        Command::Report(args) => run_report::command::run(&args),
        Command::Compare(args) => compare::run(&args),
    }
}

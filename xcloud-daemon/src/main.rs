//! The `xcloud` command.

use std::process::ExitCode;

use anyhow::{Context as _, Error, Result};
use xcloud::{
    access::caller::identify,
    agent, aggregator, check,
    cli::{Cli, Command, log::LogFormat},
    compare,
    config::{self, Configured, reload::Live, settings::Settings},
    cost,
    escape::clean_lines,
    kubectl, load, logging, nodes, observe, query, run_report, top,
    usage::UsageError,
};

fn main() -> ExitCode {
    let mut lines = LogFormat::Text;
    if let Some(ended) = kubectl::as_plugin() {
        return ended.unwrap_or_else(|error| told(&error, lines));
    }
    let result =
        config::settings::start(std::env::args_os().collect()).and_then(|(cli, settings)| {
            logging::init(&cli.log)?;
            if matches!(cli.command, Command::Agent(_) | Command::Aggregator(_)) {
                lines = cli.log.log_format;
            }
            run(cli, settings)
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error, lines),
    }
}

/// Says what went wrong, and what kind of mistake it was.
fn told(error: &Error, lines: LogFormat) -> ExitCode {
    match lines {
        LogFormat::Text => eprintln!("xcloud: {}", clean_lines(&format!("{error:#}"))),
        // Whoever reads the log of a daemon as JSON reads its last word so, too.
        LogFormat::Json => tracing::error!("{error:#}"),
    }
    if error.is::<UsageError>() {
        ExitCode::from(2)
    } else if error.is::<compare::Regression>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

fn run(Cli { command, tls, .. }: Cli, settings: Option<Settings>) -> Result<()> {
    // It is called; all others call.
    if !matches!(command, Command::Aggregator(_)) {
        identify(&tls)?;
    }
    match command {
        Command::Agent(args) => agent::run(live(args, settings)?),
        Command::Aggregator(args) => aggregator::run(live(args, settings)?, &tls),
        Command::Split(args) => query::run(args),
        Command::Observe(args) => observe::run(args),
        Command::Top(args) => top::run(&args),
        Command::Nodes(args) => nodes::run(&args),
        Command::Check(args) => check::run(args),
        Command::Load(command) => load::run(command),
        Command::Cost(args) => cost::command::run(&args),
        Command::Report(args) => run_report::command::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Config(command) => config::command::run(&command, settings.as_ref()),
    }
}

fn live<T: Configured>(args: T, settings: Option<Settings>) -> Result<Live<T>> {
    Ok(Live::new(settings.context("the command takes no configuration")?, args))
}

//! One configuration for agent and aggregator: flags before environment before a YAML file before defaults.
//!
//! Nothing is defined twice. The keys of the file are the flags of `xcloud agent` and `xcloud aggregator`, their values
//! are what would be typed, and whatever neither a flag nor the environment gives is put behind the command line, so
//! that clap checks all of it as if it had been typed.

use crate::{
    agent, aggregator,
    cli::{AgentArgs, AggregatorArgs, Command},
};

pub mod command;
mod complaint;
mod file;
mod keys;
pub mod reference;
pub mod reload;
pub mod settings;
mod show;
mod yaml;

/// A part of the file: whose flags its keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `xcloud agent`
    Agent,
    /// `xcloud aggregator`
    Aggregator,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Aggregator];

    /// Its key, which is the command's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Aggregator => "aggregator",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// Keys that take effect without a restart; all others need one.
    #[must_use]
    pub const fn hot(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["log-level", "pod-interface", "queue", "rate", "uplink"],
            Self::Aggregator => &[
                "join-capacity",
                "join-window",
                "load-max-bytes",
                "load-max-duration",
                "load-max-rate",
                "load-max-usd",
                "log-level",
                "max-memory",
                "max-paths",
                "retention",
            ],
        }
    }

    /// Checks what no flag can be checked for alone.
    fn check(self, command: &Command) -> anyhow::Result<()> {
        match (self, command) {
            (Self::Agent, Command::Agent(args)) => agent::check(args),
            (Self::Aggregator, Command::Aggregator(args)) => aggregator::check(args),
            _ => Ok(()),
        }
    }
}

/// The arguments of a command whose flags a section's keys are.
pub trait Configured: Clone + Send + Sync + 'static {
    /// Out of what was asked for.
    fn of(command: Command) -> Option<Self>;
}

impl Configured for AgentArgs {
    fn of(command: Command) -> Option<Self> {
        if let Command::Agent(args) = command { Some(args) } else { None }
    }
}

impl Configured for AggregatorArgs {
    fn of(command: Command) -> Option<Self> {
        if let Command::Aggregator(args) = command { Some(args) } else { None }
    }
}

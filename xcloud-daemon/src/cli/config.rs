//! Flags of the configuration file, and commands about it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AgentArgs, AggregatorArgs};

/// Where the file is.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Read what neither flags nor the environment give from this YAML file, and again when it changes or at SIGHUP
    #[arg(long, env = "XCLOUD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `xcloud config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether files are sound, and else what is wrong where
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what would be in force, and where each value is from, as a file; takes the command's own flags
    #[command(subcommand)]
    Show(Box<ShowCommand>),
    /// List all keys, as Markdown
    Reference,
}

/// `xcloud config show`.
#[derive(Clone, Debug, Subcommand)]
pub enum ShowCommand {
    /// For `xcloud agent`
    Agent(AgentArgs),
    /// For `xcloud aggregator`
    Aggregator(AggregatorArgs),
}

//! Flags of every command: what it says of itself.

use clap::{Args, ValueEnum};

use crate::logging;

/// This process's own log, on standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How much is logged: off, error, warn, info, debug or trace; also by module, as info,xcloud::wire=debug [default:
    /// RUST_LOG, else info]
    #[arg(
        long,
        global = true,
        env = "XCLOUD_LOG",
        value_name = "LEVEL",
        value_parser = logging::level,
        display_order = 1000
    )]
    pub log_level: Option<String>,
    /// Lines for people, or an object a line for programs
    #[arg(
        long,
        global = true,
        env = "XCLOUD_LOG_FORMAT",
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        display_order = 1001
    )]
    pub log_format: LogFormat,
}

/// What the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, message
    Text,
    /// The same and fields, as JSON
    Json,
}

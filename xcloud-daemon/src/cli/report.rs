//! `xcloud report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `xcloud report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// File that `xcloud load` wrote
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Another, shown beside it
    #[arg(value_name = "B")]
    pub other: Option<PathBuf>,
    /// Format
    #[arg(short, long, value_enum, default_value = "html")]
    pub output: ReportFormat,
}

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One page that needs nothing else
    Html,
    /// For issues and wikis
    Markdown,
    /// For programs, with stable names
    Json,
    /// For spreadsheets
    Csv,
}

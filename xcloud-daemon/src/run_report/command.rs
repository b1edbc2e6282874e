//! `xcloud report`.

use anyhow::{Result, bail};

use super::{csv::csv, facts, html::html, markdown::markdown};
use crate::{
    cli::report::{ReportArgs, ReportFormat},
    report::style::print,
    result::Run,
};

/// Writes the report to standard output. A run that cannot be read is named in the report on the other one.
///
/// # Errors
/// No run can be read.
pub fn run(args: &ReportArgs) -> Result<()> {
    let (mut runs, mut unread) = (Vec::new(), Vec::new());
    for path in std::iter::once(&args.run).chain(&args.other) {
        match Run::read(path) {
            Ok(run) => runs.push(run),
            Err(error) => unread.push(format!("a run that cannot be read: {error:#}")),
        }
    }
    if runs.is_empty() {
        bail!(unread.join("; "));
    }
    for why in &unread {
        log::warn!("{why}");
    }
    // The verdicts of a comparison enter here.
    let report = facts::report(&runs, Vec::new(), unread)?;
    let text = match args.output {
        ReportFormat::Html => html(&report),
        ReportFormat::Markdown => markdown(&report),
        ReportFormat::Json => serde_json::to_string_pretty(&report)? + "\n",
        ReportFormat::Csv => csv(&report)?,
    };
    print(&text)?;
    Ok(())
}

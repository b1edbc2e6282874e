//! `xcloud report`.

use anyhow::{Result, bail};

use super::{
    csv::csv,
    facts::{self, Report},
    html::html,
    markdown::markdown,
    verdict,
};
use crate::{
    cli::report::{ReportArgs, ReportFormat},
    report::{json::json, style::print},
    result::Run,
};

/// Writes the report to standard output. A run that cannot be read is named in the report on the other one.
///
/// # Errors
/// No run can be read.
pub fn run(args: &ReportArgs) -> Result<()> {
    let (mut runs, mut missing) = (Vec::new(), Vec::new());
    for path in std::iter::once(&args.run).chain(&args.other) {
        match Run::read(path) {
            Ok(run) => runs.push(run),
            Err(error) => missing.push(format!("a run that cannot be read: {error:#}")),
        }
    }
    if runs.is_empty() {
        bail!(missing.join("; "));
    }
    for why in &missing {
        tracing::warn!("{why}");
    }
    let (mut verdicts, mut verdict_doubts) = (Vec::new(), Vec::new());
    if let [a, b] = &runs[..] {
        match verdict::verdicts(a, b) {
            Ok(said) => (verdicts, verdict_doubts) = said,
            Err(error) => missing.push(format!("a comparison: {error:#}")),
        }
    }
    let report = Report { verdict_doubts, ..facts::report(&runs, verdicts, missing)? };
    let text = match args.output {
        ReportFormat::Html => html(&report),
        ReportFormat::Markdown => markdown(&report),
        ReportFormat::Json => json(&report)?,
        ReportFormat::Csv => csv(&report)?,
    };
    print(&text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_single_file_that_cannot_be_read_there_is_an_error_that_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().join("a.json");
        let says = |text: &str| {
            std::fs::write(&run, text).expect("written");
            let args = ReportArgs { run: run.clone(), other: None, output: ReportFormat::Json };
            format!("{:#}", super::run(&args).expect_err("no report"))
        };
        assert!(says("{").contains("a.json is no result of xcloud"), "{}", says("{"));
        assert!(says(r#"{"schema": 1}"#).contains("a.json"), "{}", says("{"));
    }
}

//! For issues and wikis.

use std::fmt::Write as _;

use super::{
    facts::Report,
    html::METHOD,
    matrix::{Block, matrix},
};
use crate::escape::markdown as cell;

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# {}\n\n", cell(&super::html::title(report)));
    for run in &report.runs {
        let started = run.started.as_deref().unwrap_or("without trials");
        let (label, tool) = (cell(&run.label), cell(&run.tool));
        let _ = writeln!(text, "- **{label}**: {} trials, {started}, {tool}", run.trials);
    }
    list(&mut text, "Cannot be right", &report.doubts);
    list(&mut text, "Missing", &report.missing);
    for run in &report.runs {
        list(&mut text, &format!("Warnings of {}", cell(&run.label)), &run.warnings);
    }
    for block in matrix(report) {
        table(&mut text, report, &block);
    }
    list(&mut text, "Doubts about the differences", &report.verdict_doubts);
    list(&mut text, "Method", &METHOD.map(String::from));
    text
}

fn list(text: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = writeln!(text, "\n## {title}\n");
        for item in items {
            let _ = writeln!(text, "- {}", cell(item));
        }
    }
}

fn table(text: &mut String, report: &Report, block: &Block) {
    let verdicts = block.lines.iter().any(|line| line.verdict.is_some());
    let _ = write!(text, "\n## {}\n\n| |", cell(&block.title));
    for run in &report.runs {
        let _ = write!(text, " {} |", cell(&run.label));
    }
    text.push_str(if verdicts { " difference |\n|---|" } else { "\n|---|" });
    text.push_str(&"---|".repeat(report.runs.len() + usize::from(verdicts)));
    text.push('\n');
    for line in &block.lines {
        let verdict = line.verdict.as_ref().filter(|_| verdicts).cloned();
        let _ = write!(text, "| {} |", cell(&line.name));
        let last = verdicts.then(|| verdict.unwrap_or_default());
        for one in line.cells.iter().chain(&last) {
            let _ = write!(text, " {} |", cell(one));
        }
        text.push('\n');
    }
}

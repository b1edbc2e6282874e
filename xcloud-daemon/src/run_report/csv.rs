//! For spreadsheets: one row a figure of a run, with bare numbers.

use anyhow::{Context as _, Result};

use super::facts::{Path, Report, distribution::Distribution, measured::Measured};
use crate::escape;

const HEADER: [&str; 9] =
    ["run", "test", "from", "to", "figure", "unit", "value", "lowest", "highest"];

/// The report as comma-separated values with a header.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(report: &Report) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for path in &report.paths {
        for (run, measured) in report.runs.iter().zip(&path.measured) {
            for row in measured.iter().flat_map(rows) {
                let Path { test, from, to, .. } = path;
                let labels = [&run.label, test, from, to].map(|label| escape::csv(label));
                writer.write_record(labels.into_iter().chain(row))?;
            }
        }
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

fn rows(measured: &Measured) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for (name, one) in &measured.metrics {
        let figures = [one.median, one.low, one.high].map(|value| value.to_string());
        rows.push(row(name, &one.unit, figures));
    }
    for (name, one) in &measured.distributions {
        quantiles(&mut rows, name, one);
    }
    for (name, one) in &measured.segments {
        quantiles(&mut rows, &format!("segment/{name}"), one);
    }
    rows
}

fn quantiles(rows: &mut Vec<[String; 5]>, name: &str, one: &Distribution) {
    let mean = [format!("{:.0}", one.mean_ns), one.min_ns.to_string(), one.max_ns.to_string()];
    rows.push(row(&format!("{name} mean"), "ns", mean));
    for quantile in &one.quantiles {
        let percent = (quantile.quantile * 1e6).round() / 1e4;
        let figures = [quantile.ns, quantile.low_ns, quantile.high_ns].map(|ns| ns.to_string());
        rows.push(row(&format!("{name} p{percent}"), "ns", figures));
    }
}

fn row(name: &str, unit: &str, [value, low, high]: [String; 3]) -> [String; 5] {
    [escape::csv(name), escape::csv(unit), value, low, high]
}

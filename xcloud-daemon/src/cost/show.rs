//! How answers about cost look.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{command::Answer, price::Line, workloads::Month};
use crate::{cli::Output, report::style::clean};

mod table;

/// An answer about one route.
///
/// # Errors
/// None that is known; the writers could in theory fail.
pub fn answer(answer: &Answer, output: Output) -> Result<String> {
    match output {
        Output::Table => Ok(table::answer(answer)),
        Output::Json => json(answer),
        Output::Csv => csv(|writer| {
            writer.write_record(HEADER)?;
            for line in &answer.bill.lines {
                writer.write_record(cells("now", line))?;
            }
            for change in &answer.what_if {
                for line in &change.bill.lines {
                    writer.write_record(cells(&change.change, line))?;
                }
            }
            Ok(())
        }),
    }
}

/// A month by workload.
///
/// # Errors
/// None that is known; the writers could in theory fail.
pub fn month(month: &Month, tariffs: &[String], output: Output) -> Result<String> {
    #[derive(Serialize)]
    struct Dated<'a> {
        #[serde(flatten)]
        month: &'a Month,
        tariffs: &'a [String],
    }
    match output {
        Output::Table => Ok(table::month(month, tariffs)),
        Output::Json => json(&Dated { month, tariffs }),
        Output::Csv => csv(|writer| {
            writer.write_record(["workload", "to_site", "path", "bytes", "packets", "usd"])?;
            for row in &month.rows {
                let packets = row.packets.map(|packets| packets.to_string()).unwrap_or_default();
                let labels = [&row.workload, &row.to_site, &row.path].map(|label| clean(label));
                let figures = [row.bytes.to_string(), packets, row.usd.exact()];
                writer.write_record(labels.iter().chain(&figures))?;
            }
            Ok(())
        }),
    }
}

const HEADER: [&str; 9] =
    ["case", "charge", "place", "what", "usd_each", "usd", "status", "read", "source"];

fn cells(case: &str, line: &Line) -> [String; 9] {
    [
        clean(case),
        clean(&line.charge),
        clean(&line.place),
        clean(&line.what),
        line.price.to_string(),
        line.usd.exact(),
        line.status.to_string(),
        clean(&line.read),
        clean(&line.source),
    ]
}

fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

fn csv(write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<()>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    write(&mut writer)?;
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

#[cfg(test)]
mod tests;

//! How answers about cost look.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    command::Answer,
    measured::{Measured, Unpriced},
    price::{Line, Missing},
    workloads::{Month, Row},
};
use crate::{
    cli::Output,
    escape::{self, clean},
    report::json::json,
};

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
            for one in &answer.bill.missing {
                writer.write_record(unknown_cells("now", one))?;
            }
            for change in &answer.what_if {
                for line in &change.bill.lines {
                    writer.write_record(cells(&change.change, line))?;
                }
                for one in &change.bill.missing {
                    writer.write_record(unknown_cells(&change.change, one))?;
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
            writer.write_record(MONTH_HEADER)?;
            month.rows.iter().try_for_each(|row| writer.write_record(month_cells(row)))?;
            Ok(())
        }),
    }
}

/// What was measured, and what it would cost.
///
/// # Errors
/// None that is known; the writers could in theory fail.
pub fn measured(measured: &Measured, tariffs: &[String], output: Output) -> Result<String> {
    #[derive(Serialize)]
    struct Dated<'a> {
        #[serde(flatten)]
        measured: &'a Measured,
        tariffs: &'a [String],
    }
    match output {
        Output::Table => Ok(table::measured(measured, tariffs)),
        Output::Json => json(&Dated { measured, tariffs }),
        Output::Csv => csv(|writer| {
            writer.write_record(MONTH_HEADER)?;
            let priced = measured.month.rows.iter().map(month_cells);
            let unpriced = measured.unpriced.iter().map(unpriced_cells);
            priced.chain(unpriced).try_for_each(|cells| writer.write_record(cells))?;
            Ok(())
        }),
    }
}

const MONTH_HEADER: [&str; 8] =
    ["workload", "to_site", "path", "bytes", "packets", "usd", "from_site", "payload_bytes"];

fn month_cells(row: &Row) -> [String; 8] {
    let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
    [
        escape::csv(&row.workload),
        escape::csv(&row.to_site),
        escape::csv(&row.path),
        row.bytes.to_string(),
        number(row.packets),
        row.usd.exact(),
        escape::csv(&row.from_site),
        number(row.payload_bytes),
    ]
}

/// The same without a price.
fn unpriced_cells(row: &Unpriced) -> [String; 8] {
    [
        escape::csv(&row.workload),
        escape::csv(&row.to_site),
        String::new(),
        row.bytes.to_string(),
        row.packets.to_string(),
        String::new(),
        escape::csv(&row.from_site),
        row.payload_bytes.map(|it| it.to_string()).unwrap_or_default(),
    ]
}

const HEADER: [&str; 9] =
    ["case", "charge", "place", "what", "usd_each", "usd", "status", "read", "source"];

fn cells(case: &str, line: &Line) -> [String; 9] {
    [
        clean(case),
        escape::csv(&line.charge),
        escape::csv(&line.place),
        escape::csv(&line.what),
        line.price.to_string(),
        line.usd.exact(),
        line.status.to_string(),
        escape::csv(&line.read),
        escape::csv(&line.source),
    ]
}

/// The same without a price.
fn unknown_cells(case: &str, one: &Missing) -> [String; 9] {
    let empty = String::new;
    let [charge, what, source] = [&one.charge, &one.per, &one.source].map(|it| escape::csv(it));
    [clean(case), charge, empty(), what, empty(), empty(), "unknown".into(), empty(), source]
}

fn csv(write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<()>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    write(&mut writer)?;
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

#[cfg(test)]
mod tests;

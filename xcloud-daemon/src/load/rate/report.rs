//! What people read about a run.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use tonic::Code;

use super::{
    Load, Measured,
    command::Target,
    record,
    schedule::Arrival,
    tally::{Failure, Tally},
    timings::{Quantile, Timings},
    verdict::{self, Rates},
};
use crate::{
    load::split::Seen,
    measure::Kind,
    report::{
        Path,
        style::{clean, grouped, place, time},
        table::figures,
    },
    wire::{
        answer::{self, Detail},
        filter::PathGroup,
    },
};

/// Columns of the table.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// Lines of the long list.
const SPECTRUM: [f64; 9] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 1.0];

/// A run as text.
#[must_use]
pub fn table(target: &Target, load: &Load, run: &Measured, spectrum: bool) -> String {
    let mut text = head(target, load, run);
    let _ = writeln!(text, "  {}", account(&run.total.tally));
    let _ = write!(text, "  {:20}", "");
    for (name, _) in QUANTILES {
        let _ = write!(text, "{name:>12}");
    }
    let _ = writeln!(text, "{:>12}{:>12}", "max", "mean");
    for (name, timings) in record::named(&run.total) {
        // In a closed loop nothing is late, as nothing is intended.
        if load.offer.is_some() || name == "response" {
            let _ = writeln!(text, "  {:20}{}", name.replace('_', " "), row(timings));
        }
    }
    if spectrum {
        let _ = writeln!(text, "  response by percentile");
        for quantile in SPECTRUM {
            let value = shown(run.total.response.quantile(quantile));
            let _ = writeln!(text, "  {:>9.3} %{value:>12}", quantile * 100.0);
        }
    }
    let cpu = run.cpu_ns.checked_div(run.total.tally.done).unwrap_or(0);
    let _ = writeln!(text, "  the generator's processor time: {} a request", time(cpu));
    if let Some(seen) = &run.split {
        text.push_str(&split(seen, run.total.tally.done));
    }
    for warning in verdict::warnings(run, load.offer) {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}

/// Where the requests' time went, path by path.
fn split(seen: &Seen, done: u64) -> String {
    let detail = Detail { tail_quantile: 0.99, histograms: false };
    let mut text = String::new();
    for ((near, far), cell) in &seen.paths {
        let counted = grouped(cell.counts.recorded);
        let group = PathGroup::of_sites(near, Some(far), Kind::Response);
        let path = Path::from(answer::path(&group, cell, detail));
        let ends = format!(
            "{} -> {}",
            place(&path.near),
            path.far.as_ref().map_or_else(String::new, place)
        );
        let _ =
            writeln!(text, "  {ends}: {counted} of {} requests seen at both ends", grouped(done));
        figures(&mut text, &path, false);
    }
    text
}

fn head(target: &Target, load: &Load, run: &Measured) -> String {
    let mode = match load.offer {
        None => "as fast as answered".into(),
        Some(offer) => {
            let arrival = match offer.arrival {
                Arrival::Constant => "",
                Arrival::Poisson { .. } => " (Poisson)",
            };
            format!("at {}/s{arrival}", grouped(offer.rate))
        }
    };
    let Rates { offered, sent, achieved } = Rates::of(run);
    let wanted =
        load.offer.map_or_else(String::new, |_| format!("{offered:.1} offered, {sent:.1} sent, "));
    format!(
        "{} {}: {} connections, {} threads, {}, {mode}\n  requests/s: {wanted}{achieved:.1} answered\n",
        target.test,
        clean(&target.name),
        load.connections,
        load.threads,
        time(run.duration_ns),
    )
}

/// Where every request went, as a sum.
fn account(tally: &Tally) -> String {
    let kinds: Vec<_> = Failure::ALL
        .iter()
        .filter(|kind| tally.failed(**kind) > 0)
        .map(|kind| format!("{} {kind}", grouped(tally.failed(*kind))))
        .collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    format!(
        "{} scheduled = {} done + {} failed{kinds} + {} unfinished{}",
        grouped(tally.scheduled),
        grouped(tally.done),
        grouped(tally.failures()),
        grouped(tally.unfinished),
        statuses(tally),
    )
}

/// Which statuses of gRPC there were but 0.
fn statuses(tally: &Tally) -> String {
    let all: Vec<_> = tally
        .refusals()
        .map(|(status, count)| {
            let code = status.and_then(|status| i32::try_from(status).ok()).map(Code::from_i32);
            let name = code.map_or_else(|| "UNKNOWN NUMBER".to_owned(), |code| format!("{code:?}"));
            format!("{} {name}", grouped(count))
        })
        .collect();
    if all.is_empty() { String::new() } else { format!("\n  grpc status: {}", all.join(", ")) }
}

fn row(timings: &Timings) -> String {
    if timings.values.count() == 0 {
        return format!("{:>12}", "none");
    }
    let quantiles = QUANTILES.map(|(_, quantile)| timings.quantile(quantile));
    let more = [timings.max(), timings.mean()];
    quantiles.into_iter().chain(more).map(|quantile| format!("{:>12}", shown(quantile))).collect()
}

/// A quantile; one that may be higher says so.
pub(super) fn shown(quantile: Quantile) -> String {
    let bound = if quantile.at_least { ">= " } else { "" };
    format!("{bound}{}", time(quantile.ns))
}

/// Runs as comma-separated values: a row a second.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(runs: &[&Measured]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "trial",
        "start_s",
        "scheduled",
        "done",
        "failed",
        "unfinished",
        "p50_ns",
        "p90_ns",
        "p99_ns",
        "p999_ns",
        "max_ns",
        "censored",
    ])?;
    for (trial, run) in runs.iter().enumerate() {
        for (index, second) in run.seconds.iter().enumerate() {
            let tally = &second.tally;
            let counts = [tally.scheduled, tally.done, tally.failures(), tally.unfinished];
            let quantiles = QUANTILES.map(|(_, quantile)| second.response.quantile(quantile).ns);
            let last = [second.response.max().ns, second.response.censored];
            let figures = counts.into_iter().chain(quantiles).chain(last);
            let place = [trial.to_string(), index.to_string()].into_iter();
            writer.write_record(place.chain(figures.map(|figure| figure.to_string())))?;
        }
    }
    let bytes = writer.into_inner().context("writing to memory")?;
    Ok(String::from_utf8(bytes)?)
}

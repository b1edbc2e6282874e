//! Results of xcloud and of other tools, recognised by what is in them.
//!
//! Files come from anywhere: they are read up to a limit, and a figure that makes no sense is left out or refused.

mod fortio;
mod iperf3;
mod oha;
mod spectrum;
mod wrk;

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, de::IgnoredAny};

use crate::result::{Better, Histogram, Metric, Run, SCHEMA, Trial};

/// Longest file of another tool, in bytes.
const LONGEST: u64 = 64 << 20;
/// Highest time taken from another tool, in seconds: more than any test lasts.
const LONGEST_TIME_S: f64 = 1e6;

/// Which keys a JSON file has; they tell whose it is.
#[derive(Deserialize)]
struct Keys {
    schema: Option<IgnoredAny>,
    start: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
    #[serde(rename = "latencyPercentiles")]
    oha: Option<IgnoredAny>,
    #[serde(rename = "DurationHistogram")]
    fortio: Option<IgnoredAny>,
}

/// Reads one file.
///
/// # Errors
/// It cannot be read, or is nothing that can be compared.
pub fn read(path: &Path) -> Result<Run> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    let mut head = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut head).with_context(|| format!("reading {name}"))?;
    let cut = head.len() as u64 > LONGEST;
    let text = String::from_utf8_lossy(&head);
    if text.contains(SCHEMA) || text.contains("\"xcloud.run.") {
        return Run::read(path);
    }
    if cut {
        bail!("{name} is longer than {LONGEST} bytes and no result of xcloud");
    }
    let label = path.file_stem().unwrap_or_default().to_string_lossy();
    recognise(&text, &label).with_context(|| format!("{name} cannot be compared"))
}

fn recognise(text: &str, label: &str) -> Result<Run> {
    if text.trim().is_empty() {
        bail!("it is empty");
    }
    if !text.trim_start().starts_with('{') {
        return if wrk::is(text) {
            wrk::run(text, label)
        } else if spectrum::is(text) {
            spectrum::run(text, label)
        } else {
            bail!(
                "it is no output of a tool known here: xcloud, iperf3 -J, wrk, wrk2, .hgrm, oha, fortio"
            )
        };
    }
    let keys: Keys = serde_json::from_str(text).context("it is no JSON object")?;
    match keys {
        Keys { schema: Some(_), .. } => bail!("its layout is not {SCHEMA}"),
        Keys { start: Some(_), end: Some(_), .. } => iperf3::run(text, label),
        Keys { oha: Some(_), .. } => oha::run(text, label),
        Keys { fortio: Some(_), .. } => fortio::run(text, label),
        _ => bail!("it is JSON, but of no tool known here: xcloud, iperf3 -J, oha, fortio"),
    }
}

/// A run of one trial, made by another tool, with nothing in it yet.
fn single(label: &str, tool: &str, test: &str, to: &str) -> Run {
    let trial = Trial {
        test: test.into(),
        from: "client".into(),
        to: to.into(),
        started_unix_ns: 0,
        duration_ns: 0,
        settings: BTreeMap::new(),
        metrics: BTreeMap::new(),
        histograms: BTreeMap::new(),
        intervals: Vec::new(),
        warnings: Vec::new(),
    };
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: tool.into(),
        environment: BTreeMap::new(),
        trials: vec![trial],
        warnings: Vec::new(),
        suites: Vec::new(),
    }
}

/// Adds a figure, unless it is no number.
fn add(trial: &mut Trial, name: &str, value: Option<f64>, unit: &str, better: Option<Better>) {
    if let Some(value) = value.filter(|value| value.is_finite()) {
        trial.metrics.insert(name.into(), Metric { value, unit: unit.into(), better });
    }
}

/// How many answers were no success, of HTTP (200 to 399), of gRPC's health or of a plain connection.
fn unsuccessful(codes: &BTreeMap<String, u64>) -> u64 {
    let good = |code: &str| {
        matches!(code, "SERVING" | "OK")
            || code.parse().is_ok_and(|code: u16| (200..400).contains(&code))
    };
    let bad = codes.iter().filter(|(code, _)| !good(code));
    bad.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// Seconds as nanoseconds; `None` of what is no time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the bounds just checked"
)]
fn nanoseconds(seconds: f64) -> Option<u64> {
    (0.0..=LONGEST_TIME_S).contains(&seconds).then(|| (seconds * 1e9).round() as u64)
}

/// A distribution of times and how often each was seen.
fn histogram(values: impl Iterator<Item = (u64, u64)>) -> Result<Histogram> {
    let mut histogram =
        hdrhistogram::Histogram::<u64>::new(3).context("three digits are allowed")?;
    let mut total = 0u64;
    for (ns, count) in values {
        total = total
            .checked_add(count)
            .filter(|total| *total <= 1 << 48)
            .context("it counts too many values")?;
        histogram.record_n(ns, count).context("a time is too long")?;
    }
    Histogram::encode(&histogram)
}

#[cfg(test)]
mod tests;

//! What wrk and wrk2 print.

use anyhow::{Context as _, Result, bail};

use super::{add, nanoseconds, single, spectrum};
use crate::result::{Better, Run, Trial};

/// Whether a text is theirs.
pub(super) fn is(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("Running ") && line.contains(" test @ "))
}

/// Its only trial.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let target =
        text.lines().find_map(|line| line.split_once(" test @ ")).map_or("", |(_, url)| url);
    // Only wrk2 corrects its times, and says so.
    let is_wrk2 = text.contains("HdrHistogram - ");
    let mut run = single(label, if is_wrk2 { "wrk2" } else { "wrk" }, "http", host(target));
    let trial = &mut run.trials[0];
    settle(trial, text);
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate = rate.and_then(|rate| rate.trim().parse().ok());
    add(trial, "requests", rate, "{request}/s", Some(Better::Higher));
    let moved = text.lines().find_map(|line| line.strip_prefix("Transfer/sec:")).and_then(bytes);
    add(trial, "transfer", moved, "By/s", Some(Better::Higher));
    let failed = failed(trial, text)?;
    add(trial, "failed", Some(failed), "{request}", Some(Better::Lower));
    distributions(trial, text)?;
    if rate.is_none() {
        bail!("wrk had not ended: it does not say Requests/sec");
    }
    Ok(run)
}

/// Answers of a wrong status and errors of sockets. Neither line is printed where there was nothing of it.
fn failed(trial: &mut Trial, text: &str) -> Result<f64> {
    let mut failed = 0.0;
    if let Some(counts) = after(text, "Socket errors:") {
        let errors: Option<f64> =
            counts.split(',').map(|count| number(count.split_whitespace().nth(1)?)).sum();
        let errors =
            errors.with_context(|| format!("socket errors that cannot be read: {counts:?}"))?;
        trial.warnings.push(format!("{errors} socket errors; the times are of what was answered"));
        failed += errors;
    }
    if let Some(count) = after(text, "Non-2xx or 3xx responses:") {
        failed += number(count.trim())
            .with_context(|| format!("a count of responses that cannot be read: {count:?}"))?;
    }
    Ok(failed)
}

fn after<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(title))
}

fn number(text: &str) -> Option<f64> {
    text.parse::<u32>().ok().map(f64::from)
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().filter(|host| !host.is_empty()).unwrap_or("server").trim()
}

fn settle(trial: &mut Trial, text: &str) {
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [threads, "threads", "and", connections, "connections"] => {
                trial.settings.insert("threads".into(), threads.into());
                trial.settings.insert("connections".into(), connections.into());
            }
            [_, "requests", "in", took, ..] => {
                trial.duration_ns = time(took.trim_end_matches(',')).unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// The full spectra of wrk2 become histograms; the four percentiles of wrk are figures of the trial.
fn distributions(trial: &mut Trial, text: &str) -> Result<()> {
    for (title, name) in [("Recorded Latency", "response"), ("Uncorrected Latency", "service")] {
        let section = text.split_once(title).map(|(_, section)| section);
        let section = section
            .map(|rest| rest.split_once("Latency Distribution").map_or(rest, |(own, _)| own));
        if let Some(section) = section.filter(|section| spectrum::is(section)) {
            let histogram = spectrum::histogram(section)
                .with_context(|| format!("the spectrum after {title:?}"))?;
            trial.histograms.insert(name.into(), histogram);
        }
    }
    if !trial.histograms.is_empty() {
        return Ok(());
    }
    let section = text.split_once("Latency Distribution").map_or("", |(_, section)| section);
    for line in section.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [percent, value] = words[..] else { continue };
        let Some(percent) =
            percent.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok())
        else {
            continue;
        };
        let ns = time(value).filter(|_| percent < 100.0).map(|ns| ns as f64);
        add(trial, &format!("p{percent}"), ns, "ns", Some(Better::Lower));
    }
    Ok(())
}

/// `28.00us` in nanoseconds.
fn time(text: &str) -> Option<u64> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, scale) =
        units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    nanoseconds(number.parse::<f64>().ok()? * scale)
}

/// `15.87MB` in bytes; wrk's units are powers of 1024.
fn bytes(text: &str) -> Option<f64> {
    let units = [("KB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("B", 0)];
    let text = text.trim();
    let (number, power) =
        units.iter().find_map(|(unit, power)| Some((text.strip_suffix(unit)?, *power)))?;
    Some(number.parse::<f64>().ok()? * 2.0f64.powi(power))
}

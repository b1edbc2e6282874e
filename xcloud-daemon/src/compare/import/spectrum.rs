//! The percentile spectrum of HdrHistogram as text (`.hgrm`), in milliseconds.

use anyhow::{Context as _, Result, bail};

use super::{nanoseconds, single};
use crate::result::{Histogram, Run};

/// Whether a text holds one.
pub(super) fn is(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("Value")
            && words.next() == Some("Percentile")
            && words.next() == Some("TotalCount")
    })
}

/// A file that is a spectrum and nothing else.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let mut run = single(label, "an HdrHistogram", "http", "server");
    let trial = &mut run.trials[0];
    trial.histograms.insert("response".into(), histogram(text)?);
    trial.warnings.push("a .hgrm file does not say its unit; taken as milliseconds".into());
    Ok(run)
}

/// The values: what lies between two rows is taken as the upper one, so the percentiles of the rows are exact.
pub(super) fn histogram(text: &str) -> Result<Histogram> {
    let (mut values, mut last_ns, mut before) = (Vec::new(), 0, 0u64);
    let rows =
        text.lines().skip_while(|line| !is(line)).skip(1).take_while(|line| !line.starts_with('#'));
    for row in rows.filter(|row| !row.trim().is_empty()) {
        let mut words = row.split_whitespace();
        let ms: Option<f64> = words.next().and_then(|word| word.parse().ok());
        let total: Option<u64> = words.nth(1).and_then(|word| word.parse().ok());
        let ns = ms.and_then(|ms| nanoseconds(ms / 1e3));
        let (ns, total) =
            ns.zip(total).with_context(|| format!("a row that cannot be read: {row:?}"))?;
        if ns < last_ns || total < before {
            bail!("rows that do not ascend, at {row:?}");
        }
        values.push((ns, total - before));
        (last_ns, before) = (ns, total);
    }
    if before == 0 {
        bail!("a spectrum without values");
    }
    let exact = super::histogram(values.into_iter().filter(|(_, count)| *count > 0))?;
    let (censored, from_ns) = bounds(text).unwrap_or_default();
    Ok(Histogram { censored, censored_from_ns: (censored > 0).then_some(from_ns), ..exact })
}

/// How many of the values are lower bounds, and the smallest of those, as xcloud writes it.
fn bounds(text: &str) -> Option<(u64, u64)> {
    let told = text.lines().find_map(|line| line.strip_prefix("#[Bounds"))?;
    let (count, lowest) = told.trim_end_matches(']').split_once(',')?;
    let number = |text: &str| text.split_once('=').map(|(_, number)| number.trim().to_owned());
    let lowest_ms: f64 = number(lowest)?.parse().ok()?;
    Some((number(count)?.parse().ok()?, nanoseconds(lowest_ms / 1e3)?))
}

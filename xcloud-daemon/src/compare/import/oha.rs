//! oha's JSON. Its histogram has ten coarse buckets, so its percentiles are taken as figures of the trial.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{add, nanoseconds, single, unsuccessful};
use crate::result::{Better, Run};

#[derive(Deserialize)]
struct Output {
    summary: Summary,
    #[serde(rename = "latencyPercentiles")]
    percentiles: BTreeMap<String, Option<f64>>,
    #[serde(rename = "errorDistribution", default)]
    errors: BTreeMap<String, u64>,
    #[serde(rename = "statusCodeDistribution", default)]
    codes: BTreeMap<String, u64>,
}

/// What oha says of requests that were under way when its time was over: these had not failed.
const UNDER_WAY: &str = "aborted due to deadline";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    total: Option<f64>,
    success_rate: Option<f64>,
    requests_per_sec: Option<f64>,
    size_per_sec: Option<f64>,
}

/// Its only trial.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let output: Output = serde_json::from_str(text).context("reading it as JSON of oha")?;
    let mut run = single(label, "oha", "http", "server");
    let trial = &mut run.trials[0];
    let Summary { total, success_rate, requests_per_sec, size_per_sec } = output.summary;
    trial.duration_ns = total.and_then(nanoseconds).unwrap_or(0);
    add(trial, "requests", requests_per_sec, "{request}/s", Some(Better::Higher));
    add(trial, "transfer", size_per_sec, "By/s", Some(Better::Higher));
    add(trial, "succeeded", success_rate, "1", Some(Better::Higher));
    for (name, seconds) in &output.percentiles {
        let known = name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
        let ns =
            seconds.and_then(nanoseconds).filter(|_| known.is_some_and(|percent| percent < 100.0));
        add(trial, name, ns.map(|ns| ns as f64), "ns", Some(Better::Lower));
    }
    let errors = output.errors.iter();
    let (under_way, errors): (Vec<_>, Vec<_>) = errors.partition(|(error, _)| *error == UNDER_WAY);
    let count = |counts: &[(&String, &u64)]| {
        counts.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(**count))
    };
    let (errors, under_way) = (count(&errors), count(&under_way));
    let failed = errors.saturating_add(unsuccessful(&output.codes));
    add(trial, "failed", Some(failed as f64), "{request}", Some(Better::Lower));
    let without = errors.saturating_add(under_way);
    if without > 0 {
        trial.warnings.push(format!(
            "{without} requests failed or had not ended; oha's percentiles leave them out"
        ));
    }
    Ok(run)
}

//! Fortio's JSON. Its buckets are wide; values are taken as evenly spread over theirs, as Fortio itself does.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{add, histogram, nanoseconds, single, unsuccessful};
use crate::result::{Better, Run, Trial};

/// Into how many steps a bucket is spread.
const STEPS: u64 = 64;
/// Buckets wider than this share of their values make quantiles within them a guess.
const COARSE: f64 = 0.05;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    labels: Option<String>,
    #[serde(rename = "StartTime")]
    start_time: Option<String>,
    #[serde(rename = "RequestedQPS")]
    requested_qps: Option<String>,
    #[serde(rename = "ActualQPS")]
    actual_qps: Option<f64>,
    #[serde(rename = "ActualDuration")]
    actual_duration_ns: Option<u64>,
    num_threads: Option<u64>,
    version: Option<String>,
    #[serde(rename = "URL")]
    url: Option<String>,
    destination: Option<String>,
    duration_histogram: Durations,
    ret_codes: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Durations {
    data: Option<Vec<Bucket>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    start: f64,
    end: f64,
    count: u64,
}

/// Its only trial.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let output: Output = serde_json::from_str(text).context("reading it as JSON of fortio")?;
    let buckets = output.duration_histogram.data.unwrap_or_default();
    if buckets.is_empty() {
        bail!("fortio had measured nothing: DurationHistogram has no Data");
    }
    let tool =
        output.version.map_or_else(|| "fortio".into(), |version| format!("fortio {version}"));
    let target = output.url.or(output.destination).unwrap_or_else(|| "server".into());
    let label = output.labels.filter(|labels| !labels.is_empty()).unwrap_or_else(|| label.into());
    let mut run = single(&label, &tool, "http", &target);
    let trial = &mut run.trials[0];
    trial.started_unix_ns = output.start_time.as_deref().and_then(unix_ns).unwrap_or(0);
    trial.duration_ns = output.actual_duration_ns.unwrap_or(0);
    let settings = [
        ("rate", output.requested_qps),
        ("connections", output.num_threads.map(|threads| threads.to_string())),
    ];
    trial.settings =
        settings.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect();
    add(trial, "requests", output.actual_qps, "{request}/s", Some(Better::Higher));
    let values = buckets.iter().map(spread).collect::<Result<Vec<_>>>()?;
    trial.histograms.insert("service".into(), histogram(values.into_iter().flatten())?);
    if let Some(codes) = &output.ret_codes {
        let failed = unsuccessful(codes);
        add(trial, "failed", Some(failed as f64), "{request}", Some(Better::Lower));
        if failed > 0 {
            trial
                .warnings
                .push(format!("{failed} requests failed; fortio's times hold theirs too"));
        }
    }
    warn(trial, &buckets);
    Ok(run)
}

fn unix_ns(rfc3339: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339_weak(rfc3339.trim_end_matches('Z')).ok()?;
    u64::try_from(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

fn spread(bucket: &Bucket) -> Result<Vec<(u64, u64)>> {
    let ends = nanoseconds(bucket.start).zip(nanoseconds(bucket.end));
    let (start, end) =
        ends.filter(|(start, end)| start <= end).context("a bucket that is no range of times")?;
    let steps = bucket.count.min(STEPS);
    let share = |step: u64| bucket.count / steps + u64::from(step < bucket.count % steps);
    let value = |step: u64| start + (end - start) / (2 * steps) * (2 * step + 1);
    Ok((0..steps).map(|step| (value(step), share(step))).collect())
}

fn warn(trial: &mut Trial, buckets: &[Bucket]) {
    let total: f64 = buckets.iter().map(|bucket| bucket.count as f64).sum();
    let coarse = buckets.iter().filter(|bucket| bucket.end - bucket.start > COARSE * bucket.end);
    let share = coarse.map(|bucket| bucket.count as f64).sum::<f64>() / total;
    if share > 0.5 {
        trial.warnings.push(
            "most of fortio's buckets are wider than 5 % of their times: a smaller -r tells more"
                .into(),
        );
    }
}

//! `iperf3 -J`, TCP and UDP, of client or server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{add, nanoseconds, single};
use crate::result::{Better, Interval, Run, Trial};

#[derive(Deserialize)]
struct Output {
    error: Option<String>,
    start: Start,
    #[serde(default)]
    intervals: Vec<Part>,
    end: End,
}

#[derive(Deserialize)]
struct Start {
    version: Option<String>,
    timestamp: Option<Timestamp>,
    connecting_to: Option<Target>,
    test_start: Option<Settings>,
}

#[derive(Deserialize)]
struct Timestamp {
    timesecs: u64,
}

#[derive(Deserialize)]
struct Target {
    host: String,
}

#[derive(Deserialize)]
struct Settings {
    protocol: Option<String>,
    num_streams: Option<u64>,
    blksize: Option<u64>,
    omit: Option<u64>,
    duration: Option<f64>,
    reverse: Option<u64>,
    target_bitrate: Option<f64>,
}

#[derive(Deserialize)]
struct Part {
    sum: Option<Sum>,
}

#[derive(Deserialize)]
struct Sum {
    start: Option<f64>,
    seconds: Option<f64>,
    bits_per_second: Option<f64>,
    retransmits: Option<f64>,
    jitter_ms: Option<f64>,
    lost_percent: Option<f64>,
    packets: Option<u64>,
    omitted: Option<bool>,
}

#[derive(Deserialize)]
struct End {
    sum: Option<Sum>,
    sum_sent: Option<Sum>,
    sum_received: Option<Sum>,
    cpu_utilization_percent: Option<Cpu>,
}

#[derive(Deserialize)]
struct Cpu {
    host_total: Option<f64>,
    remote_total: Option<f64>,
}

/// Its only trial.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let output: Output = serde_json::from_str(text).context("reading it as output of iperf3 -J")?;
    if let Some(error) = output.error {
        bail!("iperf3 had failed: {error}");
    }
    let host = output.start.connecting_to.map_or_else(|| "server".into(), |target| target.host);
    let tool = output.start.version.unwrap_or_else(|| "iperf3".into());
    let mut run = single(label, &tool, "throughput", &host);
    let trial = &mut run.trials[0];
    trial.started_unix_ns =
        output.start.timestamp.map_or(0, |time| time.timesecs.saturating_mul(1_000_000_000));
    let udp = output.start.test_start.is_some_and(|settings| settle(trial, settings));
    measure(trial, output.end, udp);
    if trial.metrics.is_empty() {
        bail!("iperf3 had not ended: there are no sums");
    }
    trial.intervals = output.intervals.into_iter().filter_map(|part| interval(part.sum?)).collect();
    Ok(run)
}

/// Returns whether it was UDP.
fn settle(trial: &mut Trial, settings: Settings) -> bool {
    let named = [
        ("protocol", settings.protocol.clone()),
        ("streams", settings.num_streams.map(|one| one.to_string())),
        ("length", settings.blksize.map(|one| one.to_string())),
        ("omit", settings.omit.map(|one| one.to_string())),
        ("time", settings.duration.map(|one| one.to_string())),
        ("reverse", settings.reverse.map(|one| one.to_string())),
        ("rate", settings.target_bitrate.map(|one| one.to_string())),
    ];
    trial.settings =
        named.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect();
    settings.protocol.as_deref() == Some("UDP")
}

fn measure(trial: &mut Trial, end: End, udp: bool) {
    // What arrived is what counts; a server that ends first knows only one of them.
    let of_udp = if udp { end.sum } else { None };
    let received =
        end.sum_received.as_ref().filter(|sum| sum.bits_per_second.is_some_and(|rate| rate > 0.0));
    let arrived = received.or(of_udp.as_ref()).or(end.sum_sent.as_ref());
    let seconds = arrived.and_then(|sum| sum.seconds);
    trial.duration_ns = seconds.and_then(nanoseconds).unwrap_or(0);
    let rate = arrived.and_then(|sum| sum.bits_per_second);
    add(trial, "throughput", rate, "bit/s", Some(Better::Higher));
    if udp {
        let told = of_udp
            .as_ref()
            .or(received)
            .filter(|sum| sum.packets.is_some_and(|packets| packets > 0));
        let jitter = told.and_then(|sum| sum.jitter_ms).map(|ms| ms * 1e6);
        add(trial, "jitter", jitter, "ns", Some(Better::Lower));
        let lost = told.and_then(|sum| sum.lost_percent).map(|percent| percent / 100.0);
        add(trial, "lost", lost, "1", Some(Better::Lower));
    } else {
        let again = end.sum_sent.as_ref().and_then(|sum| sum.retransmits);
        add(trial, "retransmits", again, "{segment}", Some(Better::Lower));
    }
    let (near, far) =
        end.cpu_utilization_percent.map_or((None, None), |cpu| (cpu.host_total, cpu.remote_total));
    for (name, percent) in [("cpu_local", near), ("cpu_remote", far)] {
        add(trial, name, percent.map(|percent| percent / 100.0), "1", None);
    }
}

fn interval(sum: Sum) -> Option<Interval> {
    let rate = sum.bits_per_second.filter(|rate| rate.is_finite() && sum.omitted != Some(true))?;
    Some(Interval {
        start_ns: nanoseconds(sum.start?)?,
        duration_ns: nanoseconds(sum.seconds?)?,
        metrics: BTreeMap::from([("throughput".into(), rate)]),
        histograms: BTreeMap::new(),
    })
}

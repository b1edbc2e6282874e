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
    sock_bufsize: Option<u64>,
    test_start: Option<Settings>,
}

#[derive(Deserialize)]
struct Timestamp {
    timesecs: u64,
}

#[derive(Deserialize)]
struct Target {
    host: String,
    port: Option<u64>,
}

#[derive(Deserialize)]
struct Settings {
    protocol: Option<String>,
    num_streams: Option<u64>,
    blksize: Option<u64>,
    omit: Option<u64>,
    duration: Option<f64>,
    bytes: Option<u64>,
    blocks: Option<u64>,
    reverse: Option<u64>,
    bidir: Option<u64>,
    tos: Option<u64>,
    target_bitrate: Option<f64>,
}

#[derive(Deserialize)]
struct Part {
    sum: Option<Sum>,
    sum_bidir_reverse: Option<Sum>,
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
    sum_bidir_reverse: Option<Sum>,
    sum_sent_bidir_reverse: Option<Sum>,
    sum_received_bidir_reverse: Option<Sum>,
    sender_tcp_congestion: Option<String>,
    receiver_tcp_congestion: Option<String>,
    cpu_utilization_percent: Option<Cpu>,
}

#[derive(Deserialize)]
struct Cpu {
    host_total: Option<f64>,
    remote_total: Option<f64>,
}

/// What went one way.
struct Way {
    /// Of datagrams: what was sent, and how much of it was lost.
    both: Option<Sum>,
    sent: Option<Sum>,
    received: Option<Sum>,
    /// Whether the file says what arrived: a server does not hear that of what it sent.
    told: bool,
}

/// How the test was made.
struct Mode {
    udp: bool,
    reverse: bool,
    bidir: bool,
}

/// Its only trial, with the names and units that xcloud's own have.
pub(super) fn run(text: &str, label: &str) -> Result<Run> {
    let output: Output = serde_json::from_str(text).context("reading it as output of iperf3 -J")?;
    if let Some(error) = output.error {
        bail!("iperf3 had failed: {error}");
    }
    let Output { start, intervals, end, .. } = output;
    let host = start.connecting_to.as_ref().map_or("server", |target| &*target.host);
    let tool = start.version.as_deref().unwrap_or("iperf3");
    let mut run = single(label, tool, "throughput", host);
    let trial = &mut run.trials[0];
    trial.started_unix_ns =
        start.timestamp.as_ref().map_or(0, |time| time.timesecs.saturating_mul(1_000_000_000));
    let bidir = end.sum_sent_bidir_reverse.is_some() || end.sum_received_bidir_reverse.is_some();
    let mode = settle(trial, &start, bidir);
    if let Some(sender) = &end.sender_tcp_congestion {
        congestion(trial, sender, end.receiver_tcp_congestion.as_ref());
        run.environment.insert("congestion_control".into(), sender.clone());
    }
    let trial = &mut run.trials[0];
    measure(trial, end, &mode, start.connecting_to.is_some());
    if trial.metrics.is_empty() {
        bail!("iperf3 had not ended: there are no sums");
    }
    trial.intervals = intervals.iter().filter_map(interval).collect();
    Ok(run)
}

fn congestion(trial: &mut Trial, sender: &str, receiver: Option<&String>) {
    if let Some(receiver) = receiver.filter(|receiver| *receiver != sender) {
        trial.warnings.push(format!(
            "the ends use different congestion controls: {sender} sends, {receiver} receives"
        ));
    }
}

fn settle(trial: &mut Trial, start: &Start, bidir: bool) -> Mode {
    let Some(settings) = &start.test_start else {
        return Mode { udp: false, reverse: false, bidir };
    };
    let bidir = bidir || settings.bidir.is_some_and(|one| one > 0);
    let reverse = !bidir && settings.reverse.is_some_and(|one| one > 0);
    let count = |count: Option<u64>| count.filter(|one| *one > 0).map(|one| one.to_string());
    let amount = count(settings.bytes).or_else(|| count(settings.blocks));
    let port = start.connecting_to.as_ref().and_then(|target| target.port);
    let named = [
        ("protocol", settings.protocol.as_ref().map(|one| one.to_lowercase())),
        ("port", count(port)),
        ("parallel", count(settings.num_streams)),
        ("length", count(settings.blksize)),
        ("time", settings.duration.filter(|_| amount.is_none()).map(|one| one.to_string())),
        ("bytes", count(settings.bytes)),
        ("blockcount", count(settings.blocks)),
        ("omit", settings.omit.map(|one| one.to_string())),
        ("bitrate", settings.target_bitrate.filter(|one| *one > 0.0).map(|one| one.to_string())),
        ("window", count(start.sock_bufsize)),
        ("tos", count(settings.tos)),
        ("reverse", reverse.then(|| "true".into())),
        ("bidir", bidir.then(|| "true".into())),
    ];
    trial.settings =
        named.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect();
    Mode { udp: settings.protocol.as_deref() == Some("UDP"), reverse, bidir }
}

fn measure(trial: &mut Trial, end: End, mode: &Mode, of_client: bool) {
    let first = Way {
        both: end.sum,
        sent: end.sum_sent,
        received: end.sum_received,
        told: of_client || !mode.reverse,
    };
    let seconds = [&first.received, &first.both, &first.sent];
    let seconds = seconds.into_iter().flatten().filter_map(|sum| nanoseconds(sum.seconds?));
    trial.duration_ns = seconds.into_iter().find(|ns| *ns > 0).unwrap_or(0);
    way(trial, &first, "", mode.udp);
    if mode.bidir {
        let back = Way {
            both: end.sum_bidir_reverse,
            sent: end.sum_sent_bidir_reverse,
            received: end.sum_received_bidir_reverse,
            told: of_client,
        };
        way(trial, &back, "_reverse", mode.udp);
    }
    let (near, far) =
        end.cpu_utilization_percent.map_or((None, None), |cpu| (cpu.host_total, cpu.remote_total));
    for (name, percent) in [("cpu_local", near), ("cpu_remote", far)] {
        add(trial, name, percent, "%", Some(Better::Lower));
    }
}

fn way(trial: &mut Trial, way: &Way, suffix: &str, udp: bool) {
    if udp && !way.told {
        trial
            .warnings
            .push("nothing says what arrived of the datagrams that the server sent".into());
        return;
    }
    let rate = |sum: &Option<Sum>| sum.as_ref()?.bits_per_second.filter(|rate| *rate > 0.0);
    let mut put = |name: &str, value, unit, better| {
        add(trial, &format!("{name}{suffix}"), value, unit, Some(better));
    };
    if !udp {
        // A server that ends first knows only what was sent.
        let arrived = rate(&way.received).or_else(|| rate(&way.sent));
        put("throughput", arrived, "bit/s", Better::Higher);
        let again = way.sent.as_ref().and_then(|sum| sum.retransmits);
        put("retransmits", again, "1", Better::Lower);
        return;
    }
    let counted = |sum: &&Sum| sum.packets.is_some_and(|packets| packets > 0);
    let counted = [&way.both, &way.received].into_iter().flatten().find(counted);
    // Where nothing arrived, the receiver has counted nothing and says that nothing was lost.
    let received = way.received.as_ref().and_then(|sum| sum.bits_per_second);
    let silent = received.is_some_and(|rate| rate <= 0.0);
    let lost = counted.and_then(|sum| if silent { Some(100.0) } else { sum.lost_percent });
    let arrived = match received {
        Some(arrived) => Some(arrived),
        None => rate(&way.both).zip(lost).map(|(sent, lost)| sent * (1.0 - lost / 100.0)),
    };
    put("throughput", arrived, "bit/s", Better::Higher);
    put("lost", lost, "%", Better::Lower);
    let jitter = counted.and_then(|sum| sum.jitter_ms).map(|ms| ms * 1e6);
    put("jitter", jitter, "ns", Better::Lower);
}

fn interval(part: &Part) -> Option<Interval> {
    let first = part.sum.as_ref().filter(|sum| sum.omitted != Some(true))?;
    let mut metrics = BTreeMap::new();
    for (sum, suffix) in [(Some(first), ""), (part.sum_bidir_reverse.as_ref(), "_reverse")] {
        let Some(sum) = sum else { continue };
        for (name, value) in [
            ("throughput", sum.bits_per_second),
            ("retransmits", sum.retransmits),
            ("lost", sum.lost_percent),
            ("jitter", sum.jitter_ms.map(|ms| ms * 1e6)),
        ] {
            let value = value.filter(|value| value.is_finite());
            metrics.extend(value.map(|value| (format!("{name}{suffix}"), value)));
        }
    }
    metrics.get("throughput")?;
    Some(Interval {
        start_ns: nanoseconds(first.start?)?,
        duration_ns: nanoseconds(first.seconds?)?,
        metrics,
        histograms: BTreeMap::new(),
    })
}

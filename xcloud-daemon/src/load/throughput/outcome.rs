//! Tests as trials of a result.

use std::collections::BTreeMap;

use super::{
    ledger::Span,
    plan::{Direction, Plan, Protocol},
    record::{Flow, Record, percent, rate},
    text,
};
use crate::{
    load::{environment::hostname, rate::timer::nanoseconds},
    report::style::time,
    result::{Better, Interval, Metric, Trial},
};

/// The trial that a test is.
#[must_use]
pub fn trial(record: &Record) -> Trial {
    let setting = &record.setting;
    let whole = record.ledger.whole();
    let since = setting.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let spans = record.ledger.spans().iter().filter(|span| !span.omitted);
    Trial {
        test: "throughput".into(),
        from: hostname(),
        to: setting.peer.clone(),
        started_unix_ns: nanoseconds(since),
        duration_ns: nanoseconds(whole.time()),
        settings: settings(&setting.plan, setting.port),
        metrics: metrics(record),
        histograms: BTreeMap::new(),
        intervals: spans.map(|span| interval(record, span)).collect(),
        warnings: warnings(record),
    }
}

fn settings(plan: &Plan, port: u16) -> BTreeMap<String, String> {
    let all = [
        ("protocol", Some(plan.protocol.name().to_lowercase())),
        ("port", Some(port.to_string())),
        ("parallel", Some(plan.streams.to_string())),
        ("length", Some(plan.length.to_string())),
        ("time", plan.bytes.is_none().then(|| plan.time.as_secs().to_string())),
        ("bytes", plan.bytes.map(|bytes| bytes.to_string())),
        ("omit", Some(plan.omit.as_secs().to_string())),
        ("bitrate", plan.rate.map(|rate| rate.to_string())),
        ("window", plan.window.map(|window| window.to_string())),
        ("set-mss", plan.mss.map(|mss| mss.to_string())),
        ("congestion", plan.congestion.clone()),
        ("tos", (plan.tos > 0).then(|| plan.tos.to_string())),
        ("no-delay", plan.no_delay.then(|| "true".into())),
        ("zerocopy", plan.zero_copy.then(|| "true".into())),
        ("skip-rx-copy", plan.skip_receive_copy.then(|| "true".into())),
        ("reverse", (plan.direction == Direction::Reverse).then(|| "true".into())),
        ("bidir", (plan.direction == Direction::Both).then(|| "true".into())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}

fn metrics(record: &Record) -> BTreeMap<String, Metric> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, value: f64, unit: &str, better| {
        all.insert(name, Metric { value, unit: unit.into(), better: Some(better) });
    };
    let first = record.setting.plan.client_sends(0);
    for (from_client, suffix) in [(first, ""), (!first, "_reverse")] {
        let Some(sum) = record.sum(from_client) else {
            continue;
        };
        let speed = rate(sum.received, sum.received_time);
        add(format!("throughput{suffix}"), speed, "bit/s", Better::Higher);
        if record.setting.plan.protocol == Protocol::Udp {
            // Of nothing no part is lost, and what did not come has no jitter.
            if sum.datagrams > 0 {
                let lost = percent(sum.lost, sum.datagrams);
                add(format!("lost{suffix}"), lost, "%", Better::Lower);
            }
            if sum.received > 0 {
                add(format!("jitter{suffix}"), sum.jitter * 1e9, "ns", Better::Lower);
            }
        } else if let Some(count) = sum.retransmits {
            add(format!("retransmits{suffix}"), count as f64, "1", Better::Lower);
        }
    }
    add("cpu_local".into(), record.cpu().total(), "%", Better::Lower);
    add("cpu_remote".into(), record.peer.cpu.total(), "%", Better::Lower);
    if let Some(rtt) = rtt_ns(record.ledger.spans().iter().filter(|span| !span.omitted)) {
        add("rtt".into(), rtt, "ns", Better::Lower);
    }
    all
}

/// The mean of the kernel's smoothed round trips.
fn rtt_ns<'a>(spans: impl Iterator<Item = &'a Span>) -> Option<f64> {
    let all: Vec<_> = spans.flat_map(|span| &span.parts).filter_map(|part| part.tcp).collect();
    let sum: f64 = all.iter().map(|tcp| f64::from(tcp.rtt_us) * 1e3).sum();
    (!all.is_empty()).then(|| sum / all.len() as f64)
}

fn interval(record: &Record, span: &Span) -> Interval {
    let mut metrics = BTreeMap::new();
    let first = record.setting.plan.client_sends(0);
    for (from_client, suffix) in [(first, ""), (!first, "_reverse")] {
        let Some(sum) = text::sum(span, from_client == record.setting.is_client) else {
            continue;
        };
        metrics.insert(format!("throughput{suffix}"), rate(sum.bytes, span.time()));
        if let Some(count) = sum.retransmits {
            metrics.insert(format!("retransmits{suffix}"), count as f64);
        }
        // Where nothing came, how much was sent is not known here.
        if record.setting.plan.protocol == Protocol::Udp && !sum.sends && sum.datagrams > 0 {
            metrics.insert(format!("lost{suffix}"), percent(sum.lost, sum.datagrams));
            metrics.insert(format!("jitter{suffix}"), sum.jitter * 1e9);
        }
    }
    metrics.insert("cpu_local".into(), span.cpu.share(span.time()).total());
    metrics.extend(rtt_ns(std::iter::once(span)).map(|rtt| ("rtt".into(), rtt)));
    let (start_ns, duration_ns) = (nanoseconds(span.start), nanoseconds(span.time()));
    Interval { start_ns, duration_ns, metrics, histograms: BTreeMap::new() }
}

/// What has to be known to read the figures rightly.
#[must_use]
pub fn warnings(record: &Record) -> Vec<String> {
    let mut all = Vec::new();
    let (plan, took) = (&record.setting.plan, record.ledger.whole().time());
    if plan.bytes.is_none() && took < plan.time.mul_f64(0.95) {
        let took = time(nanoseconds(took));
        all.push(format!("stopped after {took} of {} s", plan.time.as_secs()));
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    if record.cpu().total() > 90.0 * cpus {
        all.push("this machine's processors were busy with the test: they may be the limit, not the path".into());
    }
    let (near, far) = (&record.setting.congestion, &record.peer.congestion);
    if let (Some(near), Some(far)) = (near, far)
        && near != far
    {
        all.push(format!("the ends use different congestion controls: {near} here, {far} there"));
    }
    for from_client in [true, false] {
        all.extend(record.sum(from_client).and_then(|sum| doubt(plan, &sum)));
    }
    all.dedup();
    all
}

/// What is odd about the data of one direction. The same words in every repeat, so that a reader sees them once.
fn doubt(plan: &Plan, sum: &Flow) -> Option<String> {
    if plan.protocol == Protocol::Udp {
        let sender = if sum.from_client { "the client" } else { "the server" };
        return match (sum.tail, sum.received) {
            (0, _) => None,
            (_, 0) => Some(format!(
                "nothing arrived of what {sender} sent: all of it is lost. Is UDP let through, and do datagrams of {} B fit \
                 the path?",
                plan.length
            )),
            _ => Some(format!(
                "nothing arrived of the last that {sender} sent, for a second or more: it counts as lost"
            )),
        };
    }
    let held = plan.rate? as f64 * plan.streams as f64;
    let reached = rate(sum.received, sum.received_time) >= 0.95 * held;
    reached.then(|| {
        format!(
            "it reached the {} that it was held to: the path may carry more, and results that are alike there prove \
             nothing",
            text::bits(held).trim()
        )
    })
}

#[cfg(test)]
mod tests;

//! A run as a trial of a result file.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    Load, Measured,
    command::Target,
    schedule::{Arrival, SECOND_NS},
    seconds::Second,
    tally::{Failure, Tally},
    timings::Timings,
    verdict::{self, Rates},
};
use crate::{
    load::{environment::hostname, split::Seen},
    measure::{Group, Site, tail::Tail},
    result::{Better, Histogram, Interval, Metric, Trial},
};

/// A run as a trial.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn trial(target: &Target, load: &Load, run: &Measured) -> Result<Trial> {
    let ends = run.split.as_ref().and_then(Seen::ends);
    let (from, to) = ends
        .map_or_else(|| (hostname(), target.name.clone()), |(near, far)| (place(near), place(far)));
    let nodes = ends.into_iter().flat_map(|(near, far)| {
        [("from_node".to_owned(), near.node.clone()), ("to_node".to_owned(), far.node.clone())]
    });
    Ok(Trial {
        test: target.test.into(),
        from,
        to,
        started_unix_ns: run.started_unix_ns,
        duration_ns: run.duration_ns,
        settings: settings(target, load).into_iter().chain(nodes).collect(),
        metrics: metrics(run),
        histograms: histograms(&run.total)?.into_iter().chain(segments(run)?).collect(),
        intervals: (0..).zip(&run.seconds).map(interval).collect::<Result<_>>()?,
        warnings: verdict::warnings(run, load.offer),
    })
}

/// A site as prices and floors know it.
fn place(Site { cloud, region, zone, .. }: &Site) -> String {
    let zone = if zone.is_empty() { String::new() } else { format!("/{zone}") };
    format!("{cloud}/{region}{zone}")
}

/// A distribution as standard tools read it.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn encode(timings: &Timings) -> Result<Histogram> {
    Ok(Histogram {
        censored: timings.censored,
        censored_from_ns: timings.lowest_bound_ns(),
        ..Histogram::encode(&timings.values.to_hdr())?
    })
}

/// The distributions of a second or a run, by the names they have in files.
#[must_use]
pub const fn named(second: &Second) -> [(&'static str, &Timings); 4] {
    [
        ("response", &second.response),
        ("service", &second.service),
        ("lateness", &second.lateness),
        ("generator_lateness", &second.generator),
    ]
}

fn settings(target: &Target, load: &Load) -> BTreeMap<String, String> {
    let time =
        |ns: u64| humantime::format_duration(std::time::Duration::from_nanos(ns)).to_string();
    let mut settings = BTreeMap::from([
        ("threads", load.threads.to_string()),
        ("connections", load.connections.to_string()),
        ("duration", time(load.limits.duration_ns)),
        ("timeout", time(load.limits.timeout_ns)),
        ("drain", time(load.limits.drain_ns)),
    ]);
    if let Some(offer) = load.offer {
        let arrival = match offer.arrival {
            Arrival::Constant => "constant",
            Arrival::Poisson { .. } => "poisson",
        };
        settings.extend([("rate", offer.rate.to_string()), ("arrival", arrival.into())]);
    }
    settings.extend(target.settings.iter().cloned());
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn metrics(run: &Measured) -> BTreeMap<String, Metric> {
    let tally = &run.total.tally;
    let rates = Rates::of(run);
    let per_second = |value, better| Metric::new(value, "{request}/s", better);
    let share = |count: u64| count as f64 / tally.scheduled.max(1) as f64;
    let mut metrics = BTreeMap::from([
        ("offered_rate".to_owned(), per_second(rates.offered, None)),
        ("sent_rate".to_owned(), per_second(rates.sent, None)),
        ("achieved_rate".to_owned(), per_second(rates.achieved, Some(Better::Higher))),
        ("failed_share".to_owned(), Metric::new(share(tally.failures()), "1", Some(Better::Lower))),
        (
            "cpu_per_request".to_owned(),
            Metric::new(run.cpu_ns as f64 / tally.done.max(1) as f64, "ns", Some(Better::Lower)),
        ),
    ]);
    if let Some(tail) = run.split.as_ref().and_then(Seen::tail) {
        metrics.extend(make_up(&tail));
    }
    let counts =
        counts(tally).map(|(name, count)| (name, Metric::new(count as f64, "{request}", None)));
    metrics.extend(counts);
    metrics
}

/// The exchanges that agents saw of the requests, whole and segment by segment.
fn segments(run: &Measured) -> Result<Vec<(String, Histogram)>> {
    let Some(seen) = &run.split else { return Ok(Vec::new()) };
    let all = seen.all();
    let parts =
        all.segments().map(|(segment, values)| (format!("segment/{}", segment.name()), values));
    let whole = Some(("exchange".to_owned(), all.total())).filter(|(_, values)| values.count() > 0);
    whole
        .into_iter()
        .chain(parts)
        .map(|(name, values)| Ok((name, Histogram::encode(&values.to_hdr())?)))
        .collect()
}

/// What the slowest hundredth of the requests is made of: parts and total, in nanoseconds, which add up.
fn make_up(tail: &Tail) -> impl Iterator<Item = (String, Metric)> {
    let group = |group| tail.group_ns(group);
    let parts = [
        ("total", i64::try_from(tail.total_ns).unwrap_or(i64::MAX)),
        ("cni", group(Group::Cni)),
        ("queue", group(Group::Queue)),
        ("wan", group(Group::Wan)),
        ("pod", group(Group::Pod)),
        ("unattributed", tail.unattributed_ns),
    ];
    parts
        .into_iter()
        .map(|(name, ns)| (format!("p99_make_up/{name}"), Metric::new(ns as f64, "ns", None)))
}

/// Every count of a tally by its name in files; the one of failures is the sum of its kinds. Statuses of gRPC say of
/// failures by status which they are.
fn counts(tally: &Tally) -> impl Iterator<Item = (String, u64)> {
    let ends = [
        ("scheduled", tally.scheduled),
        ("sent", tally.sent),
        ("done", tally.done),
        ("unfinished", tally.unfinished),
        ("reconnects", tally.reconnects),
    ];
    let failed = Failure::ALL.map(|kind| (format!("failed_{kind}"), tally.failed(kind)));
    let grpc = tally.refusals().map(|(status, count)| {
        let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
        (format!("grpc_status_{status}"), count)
    });
    ends.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(failed).chain(grpc)
}

fn interval((index, second): (u64, &Second)) -> Result<Interval> {
    Ok(Interval {
        start_ns: index * SECOND_NS,
        duration_ns: SECOND_NS,
        metrics: counts(&second.tally).map(|(name, count)| (name, count as f64)).collect(),
        histograms: histograms(second)?,
    })
}

fn histograms(second: &Second) -> Result<BTreeMap<String, Histogram>> {
    let used = named(second).into_iter().filter(|(_, timings)| timings.values.count() > 0);
    used.map(|(name, timings)| Ok((name.to_owned(), encode(timings)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Segment, split::Split};

    #[test]
    fn the_whole_exchange_is_none_of_its_segments() {
        let mut seen = Seen::default();
        let parts = [(Segment::Wan, 70), (Segment::FarPod, 30)];
        let cell = seen.paths.entry((Site::default(), Site::default())).or_default();
        cell.record(&Split::of(100, parts.into_iter()), 0);
        let run = Measured { split: Some(seen), ..Measured::of(0, Vec::new()) };
        let all = segments(&run).expect("encodable");
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["exchange", "segment/wan", "segment/far_pod"]);
    }
}

//! A run as a trial of a result file.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    event::Event,
    outage::{Flow, Found, Gap},
};
use crate::{
    cli::stamp::ConvergenceArgs,
    load::{
        environment::hostname,
        stamp::{command, prober::Plan, probes::Measured, record::encode, summary::distribution},
    },
    result::{Better, Metric, Trial},
};

/// A run as a trial.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn trial(
    args: &ConvergenceArgs,
    plan: &Plan,
    run: &Measured,
    event: &Event,
    found: &Found,
) -> Result<Trial> {
    let outages = distribution(found.hit().filter_map(Flow::longest).map(Gap::outage_ns));
    let (before, after) = (found.merged(|flow| &flow.before), found.merged(|flow| &flow.after));
    let mut settings = command::settings(&args.probe, plan);
    settings.extend([
        ("rate".into(), args.rate.to_string()),
        ("event".into(), args.event.clone()),
        ("before".into(), humantime::format_duration(args.before).to_string()),
        ("wait".into(), humantime::format_duration(args.wait).to_string()),
    ]);
    let mut metrics = whole(event, found);
    metrics.extend((0..).zip(&found.flows).flat_map(|(index, flow)| each(index, flow, event)));
    Ok(Trial {
        test: "convergence".into(),
        from: hostname(),
        to: args.to.clone(),
        started_unix_ns: u64::try_from(run.started_unix_ns).unwrap_or(0),
        duration_ns: run.duration_ns,
        settings,
        metrics,
        histograms: encode([
            ("outage", &outages),
            ("response_before", &before),
            ("response_after", &after),
        ])?,
        intervals: Vec::new(),
        warnings: warnings(event, found),
    })
}

/// What is doubtful about a run.
#[must_use]
pub fn warnings(event: &Event, found: &Found) -> Vec<String> {
    let mut warnings = Vec::new();
    if event.killed {
        warnings.push("the event's command had not ended and was killed".into());
    } else if event.code != 0 {
        warnings.push(format!("the event's command failed with {}", event.code));
    }
    let earlier = found.sum(|flow| flow.lost_earlier);
    if earlier > 0 {
        warnings
            .push(format!("{earlier} probes were lost before the event: the path is lossy anyway"));
    }
    let down = found.hit().filter(|flow| flow.gaps.iter().any(|gap| !gap.ended())).count();
    if down > 0 {
        warnings.push(format!(
            "{down} flows were still down at the end: their outage is at least as long as told"
        ));
    }
    warnings
}

/// A time of the run as one since the event began; below 0 for probes that were under way.
#[must_use]
pub const fn since_event(at_ns: u64, event: &Event) -> i64 {
    at_ns.cast_signed() - event.started_ns.cast_signed()
}

fn whole(event: &Event, found: &Found) -> BTreeMap<String, Metric> {
    let count = |count: u64| Metric::new(count as f64, "{packet}", None);
    let time = |ns: f64, better| Metric::new(ns, "ns", better);
    let lower = Some(Better::Lower);
    let mut metrics = vec![
        ("event_took", time(event.took_ns as f64, None)),
        ("event_code", Metric::new(event.code.into(), "1", None)),
        ("flows_hit", Metric::new(found.hit().count() as f64, "{flow}", lower)),
        ("outage", time(found.longest().map_or(0, Gap::outage_ns) as f64, lower)),
        ("outage_error", time(found.longest().map_or(0, Gap::error_ns) as f64, None)),
        ("sent", count(found.sum(|flow| flow.losses.sent))),
        ("lost", Metric::new(found.sum(Flow::lost) as f64, "{packet}", lower)),
        ("lost_earlier", count(found.sum(|flow| flow.lost_earlier))),
        ("late", count(found.sum(|flow| flow.losses.late))),
        ("duplicates", count(found.sum(duplicates))),
        ("reordered", count(found.sum(reordered))),
    ];
    if let Some((first, last)) = found.span() {
        metrics.push(("first_loss", time(since_event(first, event) as f64, None)));
        metrics.push(("last_loss", time(since_event(last, event) as f64, None)));
    }
    for (name, values) in [
        ("round_trip_before", found.merged(|flow| &flow.before)),
        ("round_trip_after", found.merged(|flow| &flow.after)),
    ] {
        if values.count() > 0 {
            metrics.push((name, time(values.quantile_ns(0.5) as f64, None)));
        }
    }
    metrics.into_iter().map(|(name, metric)| (name.to_owned(), metric)).collect()
}

fn each(index: u32, flow: &Flow, event: &Event) -> Vec<(String, Metric)> {
    let mut figures = vec![("lost", flow.lost() as f64, "{packet}")];
    if let (Some(longest), [first, ..], [.., last]) =
        (flow.longest(), &flow.gaps[..], &flow.gaps[..])
    {
        figures.extend([
            ("outage", longest.outage_ns() as f64, "ns"),
            ("first_loss", since_event(first.first_ns, event) as f64, "ns"),
            ("last_loss", since_event(last.last_ns, event) as f64, "ns"),
        ]);
    }
    let named =
        |(name, value, unit)| (format!("flow_{index:03}_{name}"), Metric::new(value, unit, None));
    figures.into_iter().map(named).collect()
}

/// Copies, either way.
#[must_use]
pub const fn duplicates(flow: &Flow) -> u64 {
    flow.losses.doubled_forward + flow.losses.doubled_backward
}

/// Packets out of order, either way.
#[must_use]
pub const fn reordered(flow: &Flow) -> u64 {
    flow.reordered.forward + flow.reordered.backward
}

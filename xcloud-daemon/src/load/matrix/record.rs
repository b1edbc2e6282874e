//! What is known of peers, as lines while it runs and as a result at its end.

use std::{collections::BTreeMap, fmt::Write as _, time::SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::{
    peers::Peer,
    probing::{Plan, Target},
    track::Minute,
};
use crate::{
    cli::Output,
    escape,
    load::stamp::{probes::Measured, record, summary::Summary},
    report::{
        json::json_line,
        style::{clean, time},
    },
    result::{Interval, Trial},
};

/// A minute of a peer, as JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    start_unix_ns: u64,
    duration_ns: u64,
    from: &'a str,
    to: &'a str,
    from_node: &'a str,
    to_node: &'a str,
    metrics: BTreeMap<String, f64>,
    /// Quantiles of round trips.
    response: BTreeMap<&'static str, u64>,
}

/// The columns of CSV.
pub const HEAD: &str = "start_unix_ns,from,to,from_node,to_node,sent,answered,late,lost_forward,lost_backward,\
                        lost_unplaced,p50_ns,p90_ns,p99_ns,max_ns\n";

fn quantiles(summary: &Summary) -> [(&'static str, u64); 4] {
    let of = |quantile| summary.response.quantile_ns(quantile);
    [
        ("p50_ns", of(0.5)),
        ("p90_ns", of(0.9)),
        ("p99_ns", of(0.99)),
        ("max_ns", summary.response.max_ns()),
    ]
}

fn values(summary: &Summary) -> BTreeMap<String, f64> {
    record::metrics(summary).into_iter().map(|(name, metric)| (name, metric.value)).collect()
}

/// A minute of a peer as a line.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn line(
    plan: &Plan,
    started_unix_ns: u64,
    peer: &Peer,
    minute: &Minute,
    output: Output,
) -> Result<String> {
    let start_unix_ns = started_unix_ns + minute.index * plan.minute_ns;
    Ok(match output {
        Output::Table => table(plan, start_unix_ns, peer, &minute.summary),
        Output::Csv => csv(plan, start_unix_ns, peer, &minute.summary),
        Output::Json => {
            let line = Line {
                start_unix_ns,
                duration_ns: plan.minute_ns,
                from: &plan.me.site,
                to: &peer.site,
                from_node: &plan.me.name,
                to_node: &peer.name,
                metrics: values(&minute.summary),
                response: quantiles(&minute.summary).into(),
            };
            json_line(&line)?
        }
    })
}

fn table(plan: &Plan, start_unix_ns: u64, peer: &Peer, summary: &Summary) -> String {
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(start_unix_ns);
    let losses = &summary.losses;
    let mut text = format!(
        "{} {} -> {} {}: {} sent, {} answered",
        humantime::format_rfc3339_seconds(at),
        plan.me.site,
        peer.site,
        clean(&peer.name),
        losses.sent,
        losses.answered
    );
    if losses.lost() > 0 {
        let (forward, backward) = (losses.forward, losses.backward);
        let somewhere = losses.unplaced;
        let _ = write!(
            text,
            " ({} late, lost {forward} out, {backward} back, {somewhere} somewhere)",
            losses.late
        );
    }
    if losses.answered > 0 {
        let [p50, _, p99, max] = quantiles(summary).map(|(_, ns)| time(ns));
        let _ = write!(text, "; p50 {p50}, p99 {p99}, max {max}");
    }
    text + "\n"
}

fn csv(plan: &Plan, start_unix_ns: u64, peer: &Peer, summary: &Summary) -> String {
    let losses = &summary.losses;
    // Names hold no spaces, but may hold commas.
    let quoted = |text: &str| format!("\"{}\"", escape::csv(text).replace('"', "\"\""));
    let ends = [&plan.me.site, &peer.site, &plan.me.name, &peer.name].map(|end| quoted(end));
    let counts = [
        losses.sent,
        losses.answered,
        losses.late,
        losses.forward,
        losses.backward,
        losses.unplaced,
    ];
    let figures = counts.into_iter().chain(quantiles(summary).map(|(_, ns)| ns));
    let figures: Vec<_> = figures.map(|figure| figure.to_string()).collect();
    format!("{start_unix_ns},{},{}\n", ends.join(","), figures.join(","))
}

/// What is known of a peer as a trial; none if no minute was told.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn trial(
    plan: &Plan,
    started_unix_ns: u64,
    duration_ns: u64,
    settings: &BTreeMap<String, String>,
    target: &Target,
) -> Result<Option<Trial>> {
    let Some(summary) = &target.track.total else {
        return Ok(None);
    };
    let started = i64::try_from(started_unix_ns).unwrap_or(i64::MAX);
    let run = Measured { duration_ns, ..Measured::new(1, plan.timeout_ns, started) };
    let nodes = [("from_node", &plan.me.name), ("to_node", &target.peer.name)];
    let nodes = nodes.map(|(name, node)| (name.to_owned(), node.clone()));
    let settings = settings.clone().into_iter().chain(nodes).collect();
    let mut trial = record::trial(&target.peer.site, settings, &run, summary)?;
    trial.test = "matrix".into();
    trial.from.clone_from(&plan.me.site);
    trial.intervals =
        target.track.minutes.iter().map(|minute| interval(plan, minute)).collect::<Result<_>>()?;
    if target.skipped > 0 {
        let skipped = target.skipped;
        trial.warnings.push(format!(
            "{skipped} probes were not sent: this program was kept from its processor"
        ));
    }
    Ok(Some(trial))
}

fn interval(plan: &Plan, minute: &Minute) -> Result<Interval> {
    Ok(Interval {
        start_ns: minute.index * plan.minute_ns,
        duration_ns: plan.minute_ns,
        metrics: values(&minute.summary),
        histograms: record::histograms(&minute.summary)?,
    })
}

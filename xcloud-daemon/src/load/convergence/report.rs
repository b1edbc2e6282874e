//! What people read about a run.

use std::fmt::Write as _;

use super::{
    event::Event,
    outage::{Flow, Found, Gap},
    record::{duplicates, reordered, since_event, warnings},
};
use crate::{
    cli::stamp::ConvergenceArgs,
    measure::histogram::Sparse,
    report::style::{clean, grouped, signed_time, time},
};

/// A run as text.
#[must_use]
pub fn table(args: &ConvergenceArgs, event: &Event, found: &Found) -> String {
    let mut text = format!(
        "convergence {}: {} flows, {}/s\n  event {:?}: after {}, took {}, ended with {}\n",
        clean(&args.to),
        args.flows,
        grouped(args.rate.into()),
        args.event,
        time(event.started_ns),
        time(event.took_ns),
        event.code,
    );
    let _ = writeln!(
        text,
        "  {:6}{:>12}{:>12}{:>24}{:>8}{:>6}{:>8}{:>10}{:>12}{:>12}",
        "flow",
        "first loss",
        "last loss",
        "outage",
        "lost",
        "gaps",
        "copies",
        "reordered",
        "RTT before",
        "RTT after"
    );
    for (index, flow) in found.flows.iter().enumerate() {
        let span = flow.gaps.first().zip(flow.gaps.last());
        let span = span.map(|(first, last)| (first.first_ns, last.last_ns));
        let counts = [flow.lost(), flow.gaps.len() as u64, duplicates(flow), reordered(flow)];
        let times = [&flow.before, &flow.after];
        text.push_str(&row(&index.to_string(), span, flow.longest(), event, counts, times));
    }
    let gaps = |flow: &Flow| flow.gaps.len() as u64;
    let counts =
        [found.sum(Flow::lost), found.sum(gaps), found.sum(duplicates), found.sum(reordered)];
    let (before, after) = (found.merged(|flow| &flow.before), found.merged(|flow| &flow.after));
    text.push_str(&row("all", found.span(), found.longest(), event, counts, [&before, &after]));
    for warning in warnings(event, found) {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}

fn row(
    name: &str,
    span: Option<(u64, u64)>,
    longest: Option<&Gap>,
    event: &Event,
    [lost, gaps, copies, reordered]: [u64; 4],
    times: [&Sparse; 2],
) -> String {
    let since = |at| signed_time(since_event(at, event));
    let (first, last) =
        span.map_or_else(|| ("-".into(), "-".into()), |(a, b)| (since(a), since(b)));
    let outage = longest.map_or_else(|| "-".into(), outage);
    let [before, after] = times
        .map(|values| if values.count() > 0 { time(values.quantile_ns(0.5)) } else { "-".into() });
    format!(
        "  {name:6}{first:>12}{last:>12}{outage:>24}{lost:>8}{gaps:>6}{copies:>8}{reordered:>10}{before:>12}{after:>12}\n"
    )
}

fn outage(gap: &Gap) -> String {
    if gap.ended() {
        format!("{} +- {}", time(gap.outage_ns()), time(gap.error_ns()))
    } else {
        format!(">= {}", time(gap.outage_ns()))
    }
}

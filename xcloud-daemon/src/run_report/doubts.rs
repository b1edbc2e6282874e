//! Figures that cannot be right: quicker than light, or more than an instance may send.

use super::{
    facts::{Path, Report, measured::Measured, way::Way},
    figure::figure,
};

/// Distributions and figures that hold at least one way there and back.
const ROUND_TRIPS: [&str; 11] = [
    "response",
    "response_before",
    "response_after",
    "service",
    "exchange",
    "rtt",
    "round_trip",
    "round_trip_before",
    "round_trip_after",
    "min_rtt",
    "connect",
];

/// All doubts, path by path.
#[must_use]
pub fn doubts(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    for path in &report.paths {
        for (at, (run, measured)) in report.runs.iter().zip(&path.measured).enumerate() {
            if let Some(measured) = measured {
                let name = format!("{}, {}", run.label, path.name());
                all.extend(quicker_than_light(path, measured).map(|why| format!("{name}: {why}")));
                let ways = path.ways().filter_map(|(way, _)| over_the_cap(way, at, measured));
                all.extend(ways.map(|why| format!("{name}: {why}")));
            }
        }
    }
    all
}

fn quicker_than_light(path: &Path, measured: &Measured) -> impl Iterator<Item = String> {
    let least = path.floor.map_or(0, |floor| floor.impossible_below_ns);
    let named = |name: &str| ROUND_TRIPS.contains(&name);
    let smallest = measured.distributions.iter().filter(move |(name, _)| named(name));
    let smallest = smallest.map(|(name, one)| (name, one.min_ns as f64));
    let wan = measured.segments.get_key_value("wan").map(|(name, one)| (name, one.min_ns as f64));
    let figures =
        measured.metrics.iter().filter(move |(name, one)| named(name) && one.unit == "ns");
    let figures = figures.map(|(name, one)| (name, one.low));
    smallest.chain(wan).chain(figures).filter(move |(_, ns)| *ns < least as f64).map(
        move |(name, ns)| {
            format!(
                "the smallest {name}, {}, is below the {} that light in fibre needs there and back: the measurement is \
                 wrong, or the ends are not where their names say",
                figure(ns, "ns"),
                figure(least as f64, "ns")
            )
        },
    )
}

fn over_the_cap(way: &Way, run: usize, measured: &Measured) -> Option<String> {
    let cap = way.caps.get(run)?.as_ref()?;
    let throughput = measured.metrics.get(way.figure).filter(|one| one.unit == "bit/s")?;
    (throughput.high > cap.bits_per_second).then(|| {
        format!(
            "{} of {} is more than the {} that {} may send there ({}: {})",
            way.figure,
            figure(throughput.high, "bit/s"),
            figure(cap.bits_per_second, "bit/s"),
            cap.instance,
            cap.status,
            cap.source
        )
    })
}

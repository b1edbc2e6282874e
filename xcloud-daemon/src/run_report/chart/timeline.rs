//! A figure second by second.

use super::{Axis, Curve, plot};
use crate::run_report::facts::Path;

/// One figure of a path over the time of a trial; `None` where no run has it.
#[must_use]
pub fn timeline(path: &Path, name: &str) -> Option<String> {
    let curves: Vec<Curve> = path
        .measured
        .iter()
        .enumerate()
        .filter_map(|(run, measured)| {
            let moments = measured.as_ref()?.series.get(name)?;
            let points = moments.iter().map(|one| [one.seconds, one.median, one.low, one.high]);
            Some(Curve { run, points: points.collect() })
        })
        .filter(|curve| curve.points.len() > 1)
        .collect();
    let mut figures =
        path.measured.iter().flatten().filter_map(|measured| measured.metrics.get(name));
    // What is counted is named above the picture already.
    let unit = figures.next().filter(|one| !one.counts()).map_or("", |one| &*one.unit);
    let times = curves.iter().flat_map(|curve| &curve.points).map(|[x, ..]| *x);
    let values =
        curves.iter().flat_map(|curve| curve.points.iter().flat_map(|[_, rest @ ..]| *rest));
    let across = Axis::over("seconds since the trial began", "1", times, false);
    let up = Axis::over("", unit, values, false);
    let title = format!("{name} over the time of a trial");
    (!curves.is_empty()).then(|| plot(&title, &across, &up, &curves))
}

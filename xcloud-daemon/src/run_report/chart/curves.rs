//! Percentile curves: how long the slowest tenth, hundredth, thousandth took.

use super::{Axis, Curve, plot};
use crate::run_report::facts::Path;

/// The curves of one distribution of a path; `None` where no run has it.
#[must_use]
pub fn curves(path: &Path, name: &str) -> Option<String> {
    let curves: Vec<Curve> = path
        .measured
        .iter()
        .enumerate()
        .filter_map(|(run, measured)| {
            let distribution = measured.as_ref()?.distributions.get(name)?;
            let points = distribution.curve.iter().map(|one| {
                [rarity(one.quantile), one.ns as f64, one.low_ns as f64, one.high_ns as f64]
            });
            Some(Curve { run, points: points.collect() })
        })
        .filter(|curve| curve.points.len() > 1)
        .collect();
    let rarest =
        curves.iter().flat_map(|curve| &curve.points).map(|[x, ..]| *x).fold(0.0, f64::max);
    let up = Axis::over("", "ns", values(&curves), true);
    let title = format!("{name}: time not exceeded by a share of all values");
    (!curves.is_empty()).then(|| plot(&title, &across(rarest), &up, &curves))
}

/// Ten times fewer values beyond is one more.
fn rarity(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn across(rarest: f64) -> Axis {
    let shares = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
    let words = ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
    let ticks = shares.into_iter().zip(words).map(|(share, word)| (rarity(share), word.into()));
    let ticks = ticks.filter(|(x, _)| *x <= rarest + 1e-9).collect();
    Axis::fixed("percent of values at or below", 0.0, rarest, ticks)
}

fn values(curves: &[Curve]) -> impl Iterator<Item = f64> + Clone {
    curves
        .iter()
        .flat_map(|curve| curve.points.iter().flat_map(|[_, y, low, high]| [*y, *low, *high]))
}

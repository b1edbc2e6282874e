//! What people read about a run.

use std::fmt::Write as _;

use super::{probes::Measured, summary::Summary};
use crate::{
    measure::histogram::Sparse,
    report::style::{clean, grouped, signed_time, time},
};

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A run as text.
#[must_use]
pub fn table(to: &str, run: &Measured, summary: &Summary) -> String {
    let mut text = format!("stamp {}: {} flows, {}\n", clean(to), run.flows, time(run.duration_ns));
    let losses = &summary.losses;
    let _ = writeln!(
        text,
        "  {} sent = {} answered + {} late + {} lost on the way out + {} lost on the way back + {} lost somewhere",
        grouped(losses.sent),
        grouped(losses.answered),
        grouped(losses.late),
        grouped(losses.forward),
        grouped(losses.backward),
        grouped(losses.unplaced),
    );
    let _ = writeln!(
        text,
        "  duplicates {} out, {} back; reordered {} out, {} back",
        grouped(losses.doubled_forward),
        grouped(losses.doubled_backward),
        grouped(summary.reordered.forward),
        grouped(summary.reordered.backward),
    );
    text.push_str(&quantiles(&[
        ("round trip", &summary.response),
        ("one way out", &summary.forward),
        ("one way back", &summary.backward),
        ("at the reflector", &summary.residence),
        ("prober's lateness", &summary.lateness),
    ]));
    text.push_str(&clocks(summary));
    for warning in &summary.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}

/// Distributions as rows.
#[must_use]
pub fn quantiles(rows: &[(&str, &Sparse)]) -> String {
    let mut text = format!("  {:20}{:>12}", "", "min");
    for (name, _) in QUANTILES {
        let _ = write!(text, "{name:>12}");
    }
    let _ = writeln!(text, "{:>12}", "max");
    for (name, values) in rows.iter().filter(|(_, values)| values.count() > 0) {
        let _ = write!(text, "  {name:20}{:>12}", time(values.quantile_ns(0.0)));
        for (_, quantile) in QUANTILES {
            let _ = write!(text, "{:>12}", time(values.quantile_ns(quantile)));
        }
        let _ = writeln!(text, "{:>12}", time(values.max_ns()));
    }
    text
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn clocks(summary: &Summary) -> String {
    let Some(last) = summary.clocks.clocks.last() else {
        return String::new();
    };
    format!(
        "  one-way times are right within {}: a path that is longer one way than the other cannot be told from a clock\n  \
         the reflector's clock: {} ahead of this one, {:.1} ppm fast\n",
        time(summary.clocks.error_ns() as u64),
        signed_time(last.offset_ns as i64),
        last.ppm,
    )
}

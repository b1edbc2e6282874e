//! The split of a path: one stacked bar a run, of mean times, which unlike percentiles add up.

use std::fmt::Write as _;

use super::{WIDTH, open, text};
use crate::run_report::{
    facts::{Path, measured::Measured},
    figure::figure,
};

/// In the order of travel.
const ORDER: [&str; 9] = [
    "near_cni_egress",
    "near_queue",
    "wan",
    "beyond_uplink",
    "far_cni_ingress",
    "far_pod",
    "far_cni_egress",
    "far_queue",
    "near_cni_ingress",
];

/// A part of this share of the whole hides the others, which then get a bar of their own.
const HIDING: f64 = 0.8;

const BAR: f64 = 22.0;
const ROW: f64 = 46.0;

/// A part of a bar: colour, name, nanoseconds.
pub type Part<'a> = (usize, &'a str, f64);

/// The parts of a run's mean, in the order of travel; those with other names follow.
#[must_use]
pub fn parts(measured: &Measured) -> Vec<Part<'_>> {
    let place = |name: &str| ORDER.iter().position(|one| *one == name).unwrap_or(ORDER.len());
    let mut parts: Vec<Part<'_>> =
        measured.segments.iter().map(|(name, one)| (place(name), &**name, one.mean_ns)).collect();
    parts.sort_by_key(|(place, name, _)| (*place, *name));
    parts
}

/// A part's name as people write it.
#[must_use]
pub fn words(name: &str) -> String {
    name.replace('_', " ").replace("cni", "CNI").replace("wan", "WAN")
}

/// The bars of a path; `None` where no run was split.
#[must_use]
pub fn bars(path: &Path, labels: &[&str]) -> Option<String> {
    let mut rows: Vec<(String, Vec<Part<'_>>)> = Vec::new();
    for (measured, label) in path.measured.iter().zip(labels) {
        let parts = measured.as_ref().map(parts).unwrap_or_default();
        let whole: f64 = parts.iter().map(|(.., ns)| ns).sum();
        if whole <= 0.0 {
            continue;
        }
        let hiding = parts.iter().find(|(.., ns)| *ns > whole * HIDING).copied();
        rows.push(((*label).into(), parts.clone()));
        if let Some(hiding) = hiding.filter(|_| parts.len() > 1) {
            let others = parts.into_iter().filter(|part| *part != hiding).collect();
            rows.push((format!("{label} without {}", words(hiding.1)), others));
        }
    }
    (!rows.is_empty()).then(|| draw(&rows))
}

fn draw(rows: &[(String, Vec<Part<'_>>)]) -> String {
    let mut svg = open("mean time by part of the path", ROW * rows.len() as f64);
    for (row, (label, parts)) in rows.iter().enumerate() {
        let top = ROW * row as f64;
        let whole: f64 = parts.iter().map(|(.., ns)| ns).sum();
        text(&mut svg, 0.0, top + 14.0, "start", &short(label));
        text(&mut svg, WIDTH, top + 14.0, "end", &figure(whole, "ns"));
        let mut x = 0.0;
        for (place, name, ns) in parts {
            let width = if whole > 0.0 { ns / whole * WIDTH } else { 0.0 };
            let said = super::escape(&format!("{}: {}", words(name), figure(*ns, "ns")));
            let _ = writeln!(
                svg,
                "<rect class=\"s{place}\" x=\"{x:.2}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{BAR}\"><title>{said}</title></rect>",
                top + 20.0
            );
            x += width;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// As much as fits beside the sum.
fn short(label: &str) -> String {
    const FITS: usize = 44;
    if label.chars().count() <= FITS {
        return label.into();
    }
    label.chars().take(FITS - 1).chain(['…']).collect()
}

//! For spreadsheets: one row for the total of each path and kind, and one for each of its segments.

use anyhow::{Context as _, Result};

use super::{Path, Report, Site, Times, style::clean};

const HEADER: [&str; 20] = [
    "near_cloud",
    "near_region",
    "near_zone",
    "near_node",
    "far_cloud",
    "far_region",
    "far_zone",
    "far_node",
    "kind",
    "exchanges",
    "joined",
    "segment",
    "count",
    "p50_ns",
    "p90_ns",
    "p99_ns",
    "p999_ns",
    "max_ns",
    "mean_ns",
    "tail_mean_ns",
];

/// The report as comma-separated values with a header.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(report: &Report) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for path in &report.paths {
        let tail = path.tail.as_ref();
        let total = tail.map(|tail| tail.total_ns.to_string());
        writer.write_record(row(path, "total", &path.total, total))?;
        for (name, times) in &path.segments {
            let share = tail.and_then(|tail| tail.segments.iter().find(|(one, _)| one == name));
            writer.write_record(row(path, name, times, share.map(|(_, ns)| ns.to_string())))?;
        }
    }
    let bytes = writer.into_inner().context("writing to memory")?;
    Ok(String::from_utf8(bytes)?)
}

fn row(path: &Path, segment: &str, times: &Times, tail_ns: Option<String>) -> Vec<String> {
    let far = path.far.clone().unwrap_or_default();
    let labels = |Site { cloud, region, zone, node, .. }: Site| {
        [cloud, region, zone, node].map(|label| clean(&label))
    };
    let mut row = [labels(path.near.clone()), labels(far)].concat();
    row.extend([path.kind.into(), path.exchanges.to_string(), path.joined.to_string()]);
    row.push(segment.into());
    let Times { count, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, mean_ns } = *times;
    let figures = [count, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, mean_ns];
    row.extend(figures.map(|figure| figure.to_string()));
    row.push(tail_ns.unwrap_or_default());
    row
}

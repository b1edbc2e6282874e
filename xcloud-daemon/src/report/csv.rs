//! For spreadsheets: one row for the total of each path and kind, and one for each of its segments.

use anyhow::{Context as _, Result};

use super::{Path, Report, Site, Times};
use crate::escape;

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

/// Columns that are there only if some path has what goes into them, so that sheets without names stay as they were.
struct Extra {
    clusters: bool,
    workloads: bool,
    destinations: bool,
}

impl Extra {
    fn of(report: &Report) -> Self {
        let any = |has: fn(&Path) -> bool| report.paths.iter().any(has);
        Self {
            clusters: any(|path| {
                let far = path.far.as_ref();
                !path.near.cluster.is_empty() || far.is_some_and(|far| !far.cluster.is_empty())
            }),
            workloads: any(|path| path.near_workload.is_some()),
            destinations: any(|path| path.destination_site.is_some()),
        }
    }

    /// The columns of a path with their names.
    fn cells(&self, path: &Path) -> Vec<(String, String)> {
        let mut cells = Vec::new();
        let far = path.far.clone().unwrap_or_default();
        if self.clusters {
            cells.push(("near_cluster".into(), clean(&path.near.cluster)));
            cells.push(("far_cluster".into(), clean(&far.cluster)));
        }
        if self.workloads {
            for (side, workload) in [("near", &path.near_workload), ("far", &path.far_workload)] {
                let workload = workload.clone().unwrap_or_default();
                let named = |(name, text): (_, &String)| (format!("{side}_{name}"), clean(text));
                cells.extend(workload.fields().map(named));
            }
        }
        if self.destinations {
            let Site { cloud, region, zone, node, .. } =
                path.destination_site.clone().unwrap_or_default();
            let named = [("cloud", cloud), ("region", region), ("zone", zone), ("node", node)];
            let named = named.map(|(name, text)| (format!("destination_{name}"), clean(&text)));
            cells.extend(named);
        }
        cells
    }
}

/// The report as comma-separated values with a header.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(report: &Report) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let extra = Extra::of(report);
    let more = report.paths.first().map(|path| extra.cells(path)).unwrap_or_default();
    let names = more.into_iter().map(|(name, _)| name);
    writer.write_record(HEADER.into_iter().map(str::to_owned).chain(names))?;
    for path in &report.paths {
        let tail = path.tail.as_ref();
        let more: Vec<_> = extra.cells(path).into_iter().map(|(_, text)| text).collect();
        let total = tail.map(|tail| tail.total_ns.to_string());
        writer.write_record([row(path, "total", &path.total, total), more.clone()].concat())?;
        for (name, times) in &path.segments {
            let share = tail.and_then(|tail| tail.segments.iter().find(|(one, _)| one == name));
            let share = share.map(|(_, ns)| ns.to_string());
            writer.write_record([row(path, name, times, share), more.clone()].concat())?;
        }
    }
    let bytes = writer.into_inner().context("writing to memory")?;
    Ok(String::from_utf8(bytes)?)
}

fn row(path: &Path, segment: &str, times: &Times, tail_ns: Option<String>) -> Vec<String> {
    let far = path.far.clone().unwrap_or_default();
    let labels = |Site { cloud, region, zone, node, .. }: Site| {
        [cloud, region, zone, node].map(|label| escape::csv(&label))
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

//! What CNI segments are made of, node by node and pod by pod.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;
use xcloud_proto::{
    common::v1::{Direction, PodStages, Stage, StageSum},
    observer::v1::NodeStages as WireNode,
};

use super::{
    Site,
    style::{bold, clean, dim, grouped, place, signed_time, time},
};
use crate::{escape, measure::stages::percentile_below_ns};

/// One node's stage profile, since its agent's start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The node.
    pub node: Site,
    /// One entry a pod and direction.
    pub pods: Vec<Pod>,
    /// Functions of the kernel that were to be probed and are not, and why.
    pub missing: Vec<Missing>,
    /// What an empty probe adds to a call of its function; null when it could not be measured.
    pub entry_probe_ns: Option<u64>,
    /// The same at the function's return.
    pub return_probe_ns: Option<u64>,
    /// What each program took on top, in the last second measured.
    pub programs: Vec<Program>,
}

/// One pod's packets with data in one direction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pod {
    /// Interface of the pod on the node.
    pub interface: String,
    /// `egress` or `ingress`.
    pub direction: &'static str,
    /// Packets of which all is known.
    pub packets: u64,
    /// Packets that no probe saw; in none of the figures.
    pub unknown_packets: u64,
    /// Mean CNI segment, its queue left out.
    pub cni_mean_ns: u64,
    /// Its parts; a stage that no packet passed is left out.
    pub stages: Vec<Part>,
    /// What of the CNI segment no stage accounts for, per packet.
    pub rest_mean_ns: i64,
}

/// One stage's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Which.
    pub stage: &'static str,
    /// Packets that passed it.
    pub packets: u64,
    /// Mean over all packets, so that parts add up.
    pub mean_ns: u64,
    /// Half of the packets that passed it took less than this power of two.
    pub p50_below_ns: u64,
    /// Likewise 99 %.
    pub p99_below_ns: u64,
}

/// A function that is not probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The stage it belongs to.
    pub stage: &'static str,
    /// Why.
    pub reason: String,
}

/// What a program of the profile takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Runs in that second.
    pub runs: u64,
    /// Mean of a run.
    pub mean_ns: u64,
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified => "unspecified",
        Stage::Routing => "routing",
        Stage::Netfilter => "netfilter",
        Stage::Conntrack => "conntrack",
        Stage::Encapsulation => "encapsulation",
        Stage::Encryption => "encryption",
        Stage::AfterUplink => "after_uplink",
    }
}

impl From<WireNode> for Node {
    fn from(node: WireNode) -> Self {
        let profile = node.profile.unwrap_or_default();
        let cost = profile.cost.unwrap_or_default();
        let missing = profile.probes.iter().filter(|probe| !probe.missing.is_empty());
        Self {
            node: node.site.unwrap_or_default().into(),
            missing: missing
                .map(|probe| Missing {
                    stage: stage_name(probe.stage()),
                    reason: probe.missing.clone(),
                })
                .collect(),
            pods: profile.pods.into_iter().map(Pod::from).collect(),
            entry_probe_ns: (cost.entry_probe_ns > 0).then_some(cost.entry_probe_ns),
            return_probe_ns: (cost.return_probe_ns > 0).then_some(cost.return_probe_ns),
            programs: cost
                .programs
                .into_iter()
                .map(|one| Program { name: one.program, runs: one.runs, mean_ns: one.mean_ns })
                .collect(),
        }
    }
}

impl From<PodStages> for Pod {
    fn from(pod: PodStages) -> Self {
        let direction = match pod.direction() {
            Direction::Ingress => "ingress",
            _ => "egress",
        };
        let packets = pod.packets.max(1);
        let inside = pod.stages.iter().filter(|sum| sum.stage() != Stage::AfterUplink);
        let told: u64 = inside.map(|sum| sum.total_ns).fold(0, u64::saturating_add);
        let rest = (i128::from(pod.cni_ns) - i128::from(told)) / i128::from(packets);
        let part = |sum: &StageSum| Part {
            stage: stage_name(sum.stage()),
            packets: sum.packets,
            mean_ns: sum.total_ns / packets,
            p50_below_ns: percentile_below_ns(&sum.packets_by_log2_ns, 50),
            p99_below_ns: percentile_below_ns(&sum.packets_by_log2_ns, 99),
        };
        Self {
            direction,
            packets: pod.packets,
            unknown_packets: pod.unknown_packets,
            cni_mean_ns: pod.cni_ns / packets,
            stages: pod.stages.iter().map(part).collect(),
            rest_mean_ns: i64::try_from(rest).unwrap_or(0),
            interface: if pod.pod_interface.is_empty() {
                format!("index {}", pod.pod_interface_index)
            } else {
                pod.pod_interface
            },
        }
    }
}

/// For people.
#[must_use]
pub fn table(nodes: &[Node], color: bool) -> String {
    let mut text = String::new();
    for node in nodes {
        let heading = format!("stages at {}, since its agent's start", place(&node.node));
        let _ = writeln!(text, "{}", bold(&heading, color));
        for pod in &node.pods {
            if pod.packets == 0 {
                let (name, unknown) = (clean(&pod.interface), grouped(pod.unknown_packets));
                let _ = writeln!(
                    text,
                    "  {name} {}: not told: no probe saw any of {unknown} packets",
                    pod.direction
                );
                continue;
            }
            let _ = writeln!(
                text,
                "  {} {}: {} packets, CNI mean {}",
                clean(&pod.interface),
                pod.direction,
                grouped(pod.packets),
                time(pod.cni_mean_ns)
            );
            for part in &pod.stages {
                let (p50, p99) = (time(part.p50_below_ns), time(part.p99_below_ns));
                let name = part.stage.replace('_', " ");
                let mean = time(part.mean_ns);
                let _ = writeln!(text, "    {name:<14}{mean:>9}  p50 < {p50:>8}  p99 < {p99:>8}");
            }
            let _ = writeln!(text, "    {:<14}{:>9}", "rest", signed_time(pod.rest_mean_ns));
        }
        for line in notes(node) {
            let _ = writeln!(text, "  {}", dim(&clean(&line), color));
        }
        text.push('\n');
    }
    if nodes.is_empty() {
        text.push_str("no stages: no agent that matches runs with --stages\n\n");
    }
    text
}

fn notes(node: &Node) -> Vec<String> {
    let mut notes: Vec<String> =
        node.missing.iter().map(|one| format!("not told: {}: {}", one.stage, one.reason)).collect();
    if let (Some(entry), Some(exit)) = (node.entry_probe_ns, node.return_probe_ns) {
        notes.push(format!(
            "cost: {} a probe at entry, {} at return, before what its program takes",
            time(entry),
            time(exit)
        ));
    }
    notes.extend(
        node.programs.iter().map(|one| {
            format!("cost: {} {} a run, {} runs/s", one.name, time(one.mean_ns), one.runs)
        }),
    );
    notes
}

/// For spreadsheets.
///
/// # Errors
/// None that is known; the writer could in theory fail.
pub fn csv(nodes: &[Node]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "cloud",
        "region",
        "zone",
        "node",
        "interface",
        "direction",
        "stage",
        "packets",
        "mean_ns",
        "p50_below_ns",
        "p99_below_ns",
    ])?;
    for node in nodes {
        for pod in &node.pods {
            let mut row = |stage: &str, figures: [String; 4]| {
                let site = &node.node;
                let labels = [&site.cloud, &site.region, &site.zone, &site.node, &pod.interface];
                let mut row: Vec<String> =
                    labels.into_iter().map(|label| escape::csv(label)).collect();
                row.extend([pod.direction.to_owned(), stage.to_owned()]);
                row.extend(figures);
                writer.write_record(row)
            };
            let plain =
                |mean: String| [pod.packets.to_string(), mean, String::new(), String::new()];
            row("cni", plain(pod.cni_mean_ns.to_string()))?;
            for part in &pod.stages {
                let figures = [part.packets, part.mean_ns, part.p50_below_ns, part.p99_below_ns];
                row(part.stage, figures.map(|figure| figure.to_string()))?;
            }
            row("rest", plain(pod.rest_mean_ns.to_string()))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

#[cfg(test)]
#[path = "stages_tests.rs"]
mod tests;

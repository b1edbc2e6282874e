//! The agents an aggregator knows: where they run, what they see and what they lost.

use anyhow::{Context as _, Result};
use serde::Serialize;
use xcloud_proto::{common::v1::PodView, observer::v1::NodeStatus};

use super::{
    Loss, Place, Site,
    columns::columns,
    convert::{place_of, rfc3339},
    json::json,
    style::{grouped, percent, place},
};
use crate::{cli::Output, escape};

/// One agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Its name.
    pub agent: String,
    /// Where it runs.
    pub site: Site,
    /// Whether its stream is open.
    pub connected: bool,
    /// When its last batch was merged, RFC 3339; null before the first.
    pub last_batch: Option<String>,
    /// Its version.
    pub version: String,
    /// Its node's kernel release.
    pub kernel: String,
    /// Share of exchanges that it selects.
    pub sampled_ratio: f64,
    /// Where its observations went.
    pub loss: Loss,
    /// Hooks in force, as `hook=back_end`.
    pub hooks: Vec<String>,
    /// Pods seen elsewhere than at their interface on the node, or not in full.
    pub pods: Vec<View>,
}

/// A pod that is not seen at its interface on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// That interface.
    pub interface: String,
    /// Where it is seen instead.
    pub place: Place,
    /// Why.
    pub why: String,
}

impl From<NodeStatus> for Node {
    fn from(node: NodeStatus) -> Self {
        Self {
            agent: node.agent_id,
            site: node.site.unwrap_or_default().into(),
            connected: node.connected,
            last_batch: node.last_batch.as_ref().map(rfc3339),
            version: node.version,
            kernel: node.kernel_release,
            sampled_ratio: 0.5f64.powi(i32::try_from(node.sampling_shift).unwrap_or(i32::MAX)),
            loss: node.loss.unwrap_or_default().into(),
            hooks: node.hooks,
            pods: node.pods.into_iter().map(View::from).collect(),
        }
    }
}

impl From<PodView> for View {
    fn from(view: PodView) -> Self {
        let place = place_of(&view);
        Self { interface: view.interface, place, why: view.why }
    }
}

/// All agents in one format.
///
/// # Errors
/// None that is known; the writers could in theory fail.
pub fn show(nodes: &[Node], output: Output) -> Result<String> {
    match output {
        Output::Table if nodes.is_empty() => {
            Ok("no agent has come yet: start some with `xcloud agent`\n".into())
        }
        Output::Table => Ok(table(nodes)),
        Output::Json => json(nodes),
        Output::Csv => csv(nodes),
    }
}

fn table(nodes: &[Node]) -> String {
    let head =
        ["node", "agent", "stream", "sampled", "emitted", "lost", "version", "kernel", "hooks"];
    let rows: Vec<[String; 9]> = nodes
        .iter()
        .map(|node| {
            [
                place(&node.site),
                node.agent.clone(),
                if node.connected { "open".into() } else { "closed".into() },
                percent(node.sampled_ratio),
                grouped(node.loss.emitted),
                grouped(node.loss.lost.sum()),
                node.version.clone(),
                node.kernel.clone(),
                node.hooks.join(" "),
            ]
        })
        .collect();
    columns(&head, rows.iter().map(|row| row.each_ref().map(String::as_str)))
}

fn csv(nodes: &[Node]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "cloud",
        "region",
        "zone",
        "node",
        "cluster",
        "agent",
        "connected",
        "last_batch",
        "sampled_ratio",
        "emitted",
        "lost",
        "version",
        "kernel",
        "hooks",
    ])?;
    for node in nodes {
        let Site { cloud, region, zone, node: name, cluster } = &node.site;
        let hooks = node.hooks.join(" ");
        let [cloud, region, zone, name, cluster, agent, version, kernel, hooks] =
            [cloud, region, zone, name, cluster, &node.agent, &node.version, &node.kernel, &hooks]
                .map(|text| escape::csv(text));
        let last = node.last_batch.clone().unwrap_or_default();
        let figures = [node.loss.emitted, node.loss.lost.sum()].map(|count| count.to_string());
        let [emitted, lost] = figures;
        let (connected, sampled) = (node.connected.to_string(), node.sampled_ratio.to_string());
        let row =
            [cloud, region, zone, name, cluster, agent, connected, last, sampled, emitted, lost];
        writer.write_record(row.into_iter().chain([version, kernel, hooks]))?;
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

#[cfg(test)]
mod tests {
    use xcloud_proto::{
        common::v1::{Loss, PodPlace, Site},
        observer::v1::LossReport,
    };

    use super::*;

    fn node() -> Node {
        Node::from(NodeStatus {
            agent_id: "aws-\x1b[31ma".into(),
            site: Some(Site { cloud: "aws".into(), node: "=a".into(), ..Site::default() }),
            version: "0.1.0".into(),
            kernel_release: "6.18.0".into(),
            hooks: vec!["uplink_out=tp_btf".into(), "pod_out=tcx".into()],
            connected: true,
            last_batch: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            sampling_shift: 2,
            loss: Some(LossReport {
                emitted: 12_345,
                lost: Some(Loss { ring: 5, join: 6, ..Loss::default() }),
                ..LossReport::default()
            }),
            pods: vec![PodView {
                interface: "veth1".into(),
                place: PodPlace::Inside.into(),
                why: "answers went past it".into(),
            }],
            ..NodeStatus::default()
        })
    }

    #[test]
    fn agents_are_shown_in_every_format() {
        let show = |output| show(&[node()], output).expect("shown");
        insta::assert_snapshot!(show(Output::Table) + &show(Output::Csv) + &show(Output::Json));
        assert!(super::show(&[], Output::Table).expect("shown").contains("no agent"));
    }
}

//! What agents have counted at their uplinks, by workload and destination, and what it costs. Nothing is guessed: what
//! goes to a place that is not known, or has no price, is shown with its bytes and without a price.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use xcloud_proto::{
    common::v1::{EgressKind, EgressRow, Site},
    observer::v1::NodeEgress,
};

use super::{
    price::{Bill, MONTH_HOURS},
    route::Route,
    tariff::Tariffs,
    volume::MOST_BYTES,
    workloads::{Month, Terms, Usage, month},
};
use crate::{place::Place, sites::Sites, wire::answer::address};

/// What was counted and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// The nodes that counted.
    pub nodes: Vec<NodeCount>,
    /// Whether figures are those of a month at the rate that was counted.
    pub per_month: bool,
    /// What has a price.
    #[serde(flatten)]
    pub month: Month,
    /// What has none.
    pub unpriced: Vec<Unpriced>,
}

/// What one node counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeCount {
    /// Its site and name.
    pub node: String,
    /// For how long, in seconds.
    pub counted_for_s: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

/// What a workload sent at no known price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpriced {
    /// Its name.
    pub workload: String,
    /// Where it leaves.
    pub from_site: String,
    /// Where to.
    pub to_site: String,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes of these that are payload, where known.
    pub payload_bytes: Option<u64>,
    /// Why there is no price.
    pub why: String,
}

/// Whose bytes, from where, to where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    workload: String,
    from: Option<Place>,
    to: Option<Place>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    bytes: u64,
    packets: u64,
    payload_bytes: Option<u64>,
}

/// What nodes have counted, by workload and destination.
#[derive(Clone, Debug)]
pub struct Counted {
    nodes: Vec<NodeCount>,
    flows: BTreeMap<Flow, Sent>,
    per_month: bool,
}

/// How an unknown place is called.
const UNKNOWN: &str = "unknown";

impl Counted {
    /// From an aggregator's answer; `sites` says where addresses are that it does not know.
    #[must_use]
    pub fn of(nodes: &[NodeEgress], sites: &Sites, per_month: bool) -> Self {
        let mut counted = Self { nodes: Vec::new(), flows: BTreeMap::new(), per_month };
        for node in nodes {
            counted.add(node, sites);
        }
        counted
    }

    fn add(&mut self, node: &NodeEgress, sites: &Sites) {
        let site = node.site.clone().unwrap_or_default();
        let mut all = NodeCount {
            node: format!("{}/{}/{}", site.cloud, site.region, site.node),
            counted_for_s: node.counted_for_ns / 1_000_000_000,
            bytes: 0,
            packets: 0,
        };
        for path in &node.paths {
            let Some(row) = &path.row else { continue };
            let sums = row.sums.unwrap_or_default();
            all.bytes = all.bytes.saturating_add(sums.wire_bytes);
            all.packets = all.packets.saturating_add(sums.packets);
            let known = path.destination_site.as_ref().and_then(place);
            let looked_up = || sites.of(address(&row.destination)?).cloned();
            let flow = Flow {
                workload: workload(&site, row),
                from: place(&site),
                to: known.or_else(looked_up),
            };
            let rate =
                |count| if self.per_month { of_month(count, node.counted_for_ns) } else { count };
            let seen = !matches!(row.kind(), EgressKind::Encrypted | EgressKind::Rest);
            let sent = Sent {
                bytes: rate(sums.wire_bytes),
                packets: rate(sums.packets),
                payload_bytes: seen.then(|| rate(sums.payload_bytes)),
            };
            self.flows.entry(flow).and_modify(|all| all.add(sent)).or_insert(sent);
        }
        self.nodes.push(all);
    }

    /// For how many hours ports are paid beside these bytes: a month, or as long as was counted, in whole hours.
    #[must_use]
    pub fn hours(&self) -> u32 {
        if self.per_month {
            return MONTH_HOURS;
        }
        let longest = self.nodes.iter().map(|node| node.counted_for_s).max().unwrap_or(0);
        u32::try_from(longest.div_ceil(3600)).unwrap_or(u32::MAX)
    }

    /// What it costs.
    ///
    /// # Errors
    /// None that is known: what has no price is told apart before.
    pub fn priced(&self, terms: Terms<'_>, tariffs: &Tariffs) -> Result<Measured> {
        let (mut priced, mut unpriced) = (Vec::new(), Vec::new());
        for (flow, sent) in &self.flows {
            match flow.usage(*sent, terms, tariffs) {
                Ok(usage) => priced.push(usage),
                Err(why) => unpriced.push(flow.unpriced(*sent, why)),
            }
        }
        unpriced.sort_by_key(|row| std::cmp::Reverse(row.bytes));
        let month = if priced.is_empty() {
            Month { rows: Vec::new(), bill: Bill::default() }
        } else {
            month(&priced, terms, tariffs)?
        };
        Ok(Measured { nodes: self.nodes.clone(), per_month: self.per_month, month, unpriced })
    }
}

impl Sent {
    fn add(&mut self, more: Self) {
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.packets = self.packets.saturating_add(more.packets);
        let both = self.payload_bytes.zip(more.payload_bytes);
        self.payload_bytes = both.map(|(a, b)| a.saturating_add(b));
    }
}

impl Flow {
    /// A row that has a price, or why it has none.
    fn usage(&self, sent: Sent, terms: Terms<'_>, tariffs: &Tariffs) -> Result<Usage, String> {
        let from =
            self.from.clone().ok_or("the sending node's agent was given no --cloud or --region")?;
        let to = self.to.clone().ok_or(
            "no exchange shows where the destination is; name its network in a file for --sites",
        )?;
        if sent.bytes > MOST_BYTES {
            return Err(format!("more than {MOST_BYTES} bytes"));
        }
        let usage = Usage {
            workload: self.workload.clone(),
            from,
            to,
            bytes: sent.bytes,
            packets: Some(sent.packets),
            payload_bytes: sent.payload_bytes,
        };
        let route = Route::new(usage.from.clone(), usage.to.clone(), terms.path, terms.via);
        let route = route.map_err(|why| format!("{why:#}"))?;
        route.charges(tariffs).map_err(|why| format!("{why:#}"))?;
        Ok(usage)
    }

    fn unpriced(&self, sent: Sent, why: String) -> Unpriced {
        let name =
            |place: &Option<Place>| place.as_ref().map_or_else(|| UNKNOWN.into(), Place::to_string);
        Unpriced {
            workload: self.workload.clone(),
            from_site: name(&self.from),
            to_site: name(&self.to),
            bytes: sent.bytes,
            packets: sent.packets,
            payload_bytes: sent.payload_bytes,
            why,
        }
    }
}

/// A site as prices know it; none without cloud or region.
fn place(site: &Site) -> Option<Place> {
    format!("{}/{}/{}", site.cloud, site.region, site.zone).parse().ok()
}

/// Who sent it, as far as the node can tell: the pod's interface on the node, else the address.
fn workload(site: &Site, row: &EgressRow) -> String {
    let sender = match row.kind() {
        EgressKind::Encrypted => "encrypted".into(),
        EgressKind::NoIp => "no IP".into(),
        EgressKind::Rest | EgressKind::Unspecified => "not told apart".into(),
        _ if row.from_pod => row.interface.clone(),
        _ => address(&row.source).map_or_else(|| UNKNOWN.into(), |address| address.to_string()),
    };
    format!("{}/{sender}", site.node)
}

/// What a count would be in a month at this rate.
fn of_month(count: u64, counted_for_ns: u64) -> u64 {
    const MONTH_NS: u128 = MONTH_HOURS as u128 * 3_600_000_000_000;
    let rate = (u128::from(count) * MONTH_NS).checked_div(counted_for_ns.into());
    rate.and_then(|count| u64::try_from(count).ok()).unwrap_or(count)
}

#[cfg(test)]
pub(crate) mod tests;

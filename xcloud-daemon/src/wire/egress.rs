//! What left the nodes, as their agents tell it: the latest sums of each row count, and those of ended lives are added up.

pub mod sums;

use std::collections::{BTreeMap, HashMap, HashSet};

use xcloud_common::slot::address as words;
use xcloud_proto::{
    common::v1::{EgressKind, EgressRow, EgressSums},
    ingest::v1::Egress as Message,
    observer::v1::{EgressPath, NodeEgress},
};

use super::{answer, outbox::egress::MOST_ROWS};
use crate::{
    escape::is_harmful,
    measure::{AgentId, Site, ledger::BootId, state::State, store::SiteId},
};

/// Most rows of all nodes, in this life of their agents and in earlier ones: some 300 MiB.
const ALL_ROWS: usize = 1 << 20;
/// Most addresses of a node's uplinks.
const MOST_ADDRESSES: usize = 256;
/// Longest name of an interface in bytes, and more.
const LONGEST_NAME: usize = 64;

/// Checks what an agent sent.
///
/// # Errors
/// Says what no agent would send.
pub fn check(message: &Message) -> Result<(), String> {
    if message.rows.len() > MOST_ROWS || message.addresses.len() > MOST_ADDRESSES {
        return Err("egress has more rows or addresses than a node can have".into());
    }
    let fits = |length: usize| length == 4 || length == 16;
    if !message.addresses.iter().all(|address| fits(address.len())) {
        return Err("egress.addresses: an address has 4 or 16 bytes".into());
    }
    for row in &message.rows {
        let named = |name: &str| name.len() <= LONGEST_NAME && !name.chars().any(is_harmful);
        if !named(&row.uplink) || !named(&row.interface) {
            return Err("egress.rows: an interface has a name that none can have".into());
        }
        let mut addresses = [&row.source, &row.destination].into_iter();
        if !addresses.all(|address| address.is_empty() || fits(address.len())) {
            return Err("egress.rows: an address has 4 or 16 bytes".into());
        }
        if row.sums.is_none() || matches!(row.kind(), EgressKind::Unspecified | EgressKind::Rest) {
            return Err("egress.rows: a row has no sums or no kind".into());
        }
    }
    Ok(())
}

/// What left each node that keeps account.
#[derive(Debug, Default)]
pub struct Accounts {
    nodes: BTreeMap<AgentId, Node>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Node {
    boot: BootId,
    /// Of this life of the agent.
    now: Part,
    /// Of lives before.
    earlier: Part,
    addresses: Vec<[u32; 4]>,
    /// How much of all lives was summed by place.
    summed: EgressSums,
}

#[derive(Debug, Default)]
struct Part {
    counted_for_ns: u64,
    totals: EgressSums,
    /// By all of a row but its sums.
    rows: HashMap<EgressRow, Kept>,
    /// A row found no room. What comes later finds none either, or it would count in the rest and as a row.
    full: bool,
}

/// A row's sums.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    sums: EgressSums,
    /// How much of them was summed by place.
    summed: EgressSums,
}

impl Accounts {
    /// Takes in what an agent told, which was checked. A row for which there is no room is still in the totals. Those
    /// come with the last rows of several messages, so that none of them seems to be beside the rows.
    pub fn keep(&mut self, agent: AgentId, boot: BootId, message: Message) {
        let node = self.nodes.entry(agent).or_insert_with(|| Node { boot, ..Node::default() });
        if node.boot != boot {
            self.rows -= node.end_life();
            node.boot = boot;
        }
        node.addresses = message.addresses.iter().filter_map(|bytes| mapped(bytes)).collect();
        node.now.counted_for_ns = message.counted_for_ns;
        node.now.totals = message.totals.unwrap_or(node.now.totals);
        for mut row in message.rows {
            let sums = row.sums.take().unwrap_or_default();
            if let Some(known) = node.now.rows.get_mut(&row) {
                known.sums = sums;
                continue;
            }
            node.now.full |= node.now.rows.len() >= MOST_ROWS || self.rows >= ALL_ROWS;
            if !node.now.full {
                node.now.rows.insert(row, Kept { sums, ..Kept::default() });
                self.rows += 1;
            }
        }
    }

    /// Forgets an agent, so that others have its room.
    pub fn forget(&mut self, agent: AgentId) {
        if let Some(Node { now, earlier, .. }) = self.nodes.remove(&agent) {
            self.rows -= now.rows.len() + earlier.rows.len();
        }
    }

    /// How many nodes have room here.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What left the nodes of the sites wanted, and where it went as far as that is known.
    pub fn answer(&self, state: &State, wanted: impl Fn(&Site) -> bool) -> Vec<NodeEgress> {
        let places = Places::new(state, &self.nodes);
        let place = |agent, row: &EgressRow| {
            places.of(agent, row).map(|id| answer::site(state.store().site(id)))
        };
        let nodes = self.nodes.iter().filter_map(|(agent, node)| {
            let site = state.store().site(state.agent(*agent)?.identity.site);
            let told = NodeEgress {
                site: Some(answer::site(site)),
                counted_for_ns: node.now.counted_for_ns.saturating_add(node.earlier.counted_for_ns),
                paths: node.paths(|row| place(*agent, row)),
            };
            wanted(site).then_some(told)
        });
        nodes.collect()
    }
}

impl Node {
    /// Adds this life to those before; returns how many rows fewer there are.
    fn end_life(&mut self) -> usize {
        let Part { counted_for_ns, totals, rows, .. } = std::mem::take(&mut self.now);
        // It may have ended before the totals of its last rows came.
        let mut told = EgressSums::default();
        rows.values().for_each(|kept| add(&mut told, &kept.sums));
        let totals = more(&totals, &told);
        let before = rows.len() + self.earlier.rows.len();
        let earlier = &mut self.earlier;
        earlier.counted_for_ns = earlier.counted_for_ns.saturating_add(counted_for_ns);
        add(&mut earlier.totals, &totals);
        for (row, kept) in rows {
            if let Some(known) = earlier.rows.get_mut(&row) {
                add(&mut known.sums, &kept.sums);
                add(&mut known.summed, &kept.summed);
            } else if earlier.rows.len() < MOST_ROWS {
                earlier.rows.insert(row, kept);
            }
        }
        before - earlier.rows.len()
    }

    fn paths(
        &self,
        place: impl Fn(&EgressRow) -> Option<xcloud_proto::common::v1::Site>,
    ) -> Vec<EgressPath> {
        let mut merged: HashMap<&EgressRow, EgressSums> = HashMap::new();
        let mut rest = EgressSums::default();
        for part in [&self.now, &self.earlier] {
            let mut told = EgressSums::default();
            for (row, Kept { sums, .. }) in &part.rows {
                add(merged.entry(row).or_default(), sums);
                add(&mut told, sums);
            }
            add(&mut rest, &less(&part.totals, &told));
        }
        let mut paths: Vec<_> = merged
            .into_iter()
            .map(|(row, sums)| EgressPath {
                destination_site: place(row),
                row: Some(EgressRow { sums: Some(sums), ..row.clone() }),
            })
            .collect();
        if rest.packets > 0 {
            let kind = EgressKind::Rest.into();
            let row = EgressRow { kind, sums: Some(rest), ..EgressRow::default() };
            paths.push(EgressPath { row: Some(row), destination_site: None });
        }
        let bytes =
            |path: &EgressPath| path.row.as_ref().and_then(|row| row.sums).unwrap_or_default();
        paths.sort_by_key(|path| std::cmp::Reverse(bytes(path).wire_bytes));
        paths
    }
}

/// Where addresses are. The same address can be several hosts, each in a network of its own, so what is known of an
/// address holds for one sending node only.
struct Places<'a> {
    state: &'a State,
    /// A node and an uplink's address of another that exchanges with it were joined with; none where several have it.
    tunnels: HashMap<(AgentId, [u32; 4]), Option<AgentId>>,
}

impl<'a> Places<'a> {
    fn new(state: &'a State, nodes: &BTreeMap<AgentId, Node>) -> Self {
        let pairs: HashSet<_> = state.peers().map(|(near, _, far)| (near, far)).collect();
        let mut tunnels = HashMap::new();
        for (near, far) in pairs {
            for address in nodes.get(&far).into_iter().flat_map(|node| &node.addresses) {
                let known = tunnels.entry((near, *address)).or_insert(Some(far));
                *known = known.filter(|known| *known == far);
            }
        }
        Self { state, tunnels }
    }

    fn of(&self, near: AgentId, row: &EgressRow) -> Option<SiteId> {
        let key = (near, mapped(&row.destination)?);
        let far = match row.kind() {
            EgressKind::Plain => self.state.peer(key),
            EgressKind::Carried | EgressKind::Encrypted => *self.tunnels.get(&key)?,
            _ => None,
        };
        Some(self.state.agent(far?)?.identity.site)
    }
}

/// An address in its IPv6-mapped form.
pub(super) fn mapped(bytes: &[u8]) -> Option<[u32; 4]> {
    let octets = match answer::address(bytes)? {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    Some(words(octets))
}

const fn add(sum: &mut EgressSums, more: &EgressSums) {
    sum.wire_bytes = sum.wire_bytes.saturating_add(more.wire_bytes);
    sum.packets = sum.packets.saturating_add(more.packets);
    sum.payload_bytes = sum.payload_bytes.saturating_add(more.payload_bytes);
}

fn more(one: &EgressSums, other: &EgressSums) -> EgressSums {
    EgressSums {
        wire_bytes: one.wire_bytes.max(other.wire_bytes),
        packets: one.packets.max(other.packets),
        payload_bytes: one.payload_bytes.max(other.payload_bytes),
    }
}

const fn less(all: &EgressSums, part: &EgressSums) -> EgressSums {
    EgressSums {
        wire_bytes: all.wire_bytes.saturating_sub(part.wire_bytes),
        packets: all.packets.saturating_sub(part.packets),
        payload_bytes: all.payload_bytes.saturating_sub(part.payload_bytes),
    }
}

#[cfg(test)]
mod tests;

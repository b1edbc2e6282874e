//! What left the nodes, summed by place: counters that only grow.
//!
//! Where an address is may be learnt after bytes went there. What was summed before stays where it was, so that no
//! counter ever falls: each row remembers how much of it was summed.

use std::collections::HashMap;

use xcloud_proto::common::v1::{EgressKind, EgressSums};

use super::{Accounts, Places, add, less};
use crate::measure::{
    ends::{self, EndId, Ends},
    state::State,
    store::SiteId,
    tier::{SITE_LABELS, Tier},
    workload::Workload,
};

/// From where to where, and how.
type Key = (EndId, EndId, EgressKind);

/// Sums by place.
#[derive(Debug)]
pub struct Sums {
    ends: Ends,
    /// Most that are kept apart.
    most: usize,
    lines: HashMap<Key, EgressSums>,
    /// In the order they came.
    order: Vec<Key>,
    /// Those for which there was no room.
    other: HashMap<EgressKind, EgressSums>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Source and destination, and how it went.
    pub labels: Vec<String>,
    /// How much.
    pub sums: EgressSums,
}

impl Sums {
    /// Nothing yet.
    #[must_use]
    pub fn new(tier: Tier, most: usize) -> Self {
        Self {
            // Agents do not account for bytes by pod.
            ends: Ends::new(tier.shown().sites()),
            most,
            lines: HashMap::new(),
            order: Vec::new(),
            other: HashMap::new(),
        }
    }

    fn place(&mut self, key: Key) -> &mut EgressSums {
        if !self.lines.contains_key(&key) {
            let is_other = (key.0, key.1) == (ends::OTHER, ends::OTHER);
            if is_other || self.lines.len() >= self.most {
                return self.other.entry(key.2).or_default();
            }
            self.order.push(key);
        }
        self.lines.entry(key).or_default()
    }

    fn add(
        &mut self,
        state: &State,
        (from, to, kind): (SiteId, Option<SiteId>, EgressKind),
        more: &EgressSums,
    ) {
        let shown = self.ends.shown();
        let mut end = |id| self.ends.id(shown.labels(state.store().site(id), &Workload::default()));
        let key = (end(from), to.map_or(ends::UNKNOWN, end), kind);
        add(self.place(key), more);
    }

    /// All of them.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |from: EndId, to: EndId, kind: EgressKind, sums: &EgressSums| {
            let [from, to] = [from, to].map(|end| self.ends.labels(end));
            let ends = from[..SITE_LABELS].iter().chain(&to[..SITE_LABELS]).cloned();
            Line { labels: ends.chain([name(kind).into()]).collect(), sums: *sums }
        };
        let own = self.order.iter().filter_map(|key| Some((key, self.lines.get(key)?)));
        let own = own.map(|((from, to, kind), sums)| line(*from, *to, *kind, sums));
        let mut other: Vec<_> = self.other.iter().collect();
        other.sort_by_key(|(kind, _)| **kind);
        let other =
            other.into_iter().map(|(kind, sums)| line(ends::OTHER, ends::OTHER, *kind, sums));
        own.chain(other).collect()
    }
}

/// Its name as a label.
const fn name(kind: EgressKind) -> &'static str {
    match kind {
        EgressKind::Plain => "plain",
        EgressKind::Carried => "carried",
        EgressKind::Encrypted => "encrypted",
        EgressKind::NoIp => "no_ip",
        EgressKind::Rest | EgressKind::Unspecified => "rest",
    }
}

impl Accounts {
    /// Adds to the sums what came since the last time.
    pub fn sum(&mut self, state: &State, sums: &mut Sums) {
        let places = Places::new(state, &self.nodes);
        for (agent, node) in &mut self.nodes {
            let Some(known) = state.agent(*agent) else { continue };
            let from = known.identity.site;
            for part in [&mut node.now, &mut node.earlier] {
                for (row, kept) in &mut part.rows {
                    let more = less(&kept.sums, &kept.summed);
                    if more == EgressSums::default() {
                        continue;
                    }
                    kept.summed = kept.sums;
                    add(&mut node.summed, &more);
                    sums.add(state, (from, places.of(*agent, row), row.kind()), &more);
                }
            }
            let mut all = node.now.totals;
            add(&mut all, &node.earlier.totals);
            let rest = less(&all, &node.summed);
            if rest.packets > 0 {
                add(&mut node.summed, &rest);
                sums.add(state, (from, None, EgressKind::Rest), &rest);
            }
        }
    }
}

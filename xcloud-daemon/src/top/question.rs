//! What the aggregator is asked, and which of its answers belong to it. No I/O.

use std::time::Duration;

use clap::ValueEnum as _;
use xcloud_proto::{
    common::v1::ExchangeKind,
    observer::v1::{ExchangeFilter, QuerySplitRequest, SiteFilter},
};

use super::rows::Row;
use crate::{
    cli::GroupArg,
    query,
    report::{Path, Site, convert::kind_name},
    wire::answer::timestamp,
};

/// What is asked for again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which exchanges.
    pub filter: ExchangeFilter,
    /// How paths are told apart.
    pub group: GroupArg,
    /// The path that was gone into, if one was.
    pub within: Option<Within>,
}

/// A path that is looked into.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    /// How it was told apart from others.
    pub group: GroupArg,
    /// Where the data was sent.
    pub near: Site,
    /// Where it was answered.
    pub far: Option<Site>,
    /// Kind of exchange.
    pub kind: &'static str,
}

impl Question {
    /// The same about the parts of a path, if paths can be told apart any finer.
    #[must_use]
    pub fn into_path(&self, path: &Path) -> Option<Self> {
        let group = finer(self.group)?;
        let kinds = ExchangeKind::Handshake as i32..=ExchangeKind::Response as i32;
        let is_kind = |number: &i32| {
            ExchangeKind::try_from(*number).is_ok_and(|kind| kind_name(kind) == path.kind)
        };
        let mut filter = self.filter.clone();
        filter.kinds = kinds.filter(is_kind).collect();
        narrow(&mut filter.near, &path.near);
        if let Some(far) = &path.far {
            narrow(&mut filter.far, far);
        }
        let (near, far) = (path.near.clone(), path.far.clone());
        let within = Some(Within { group: self.group, near, far, kind: path.kind });
        Some(Self { filter, group, within })
    }

    /// For the wire: what lies between a time by the aggregator's clock and now; everything without one.
    #[must_use]
    pub fn request(&self, start_ns: Option<u64>) -> QuerySplitRequest {
        QuerySplitRequest {
            filter: Some(self.filter.clone()),
            start: start_ns.map(timestamp),
            end: None,
            group_by: query::group(self.group).into(),
            tail_quantile: 0.99,
            include_histograms: false,
            include_stages: false,
        }
    }

    /// Leaves out what is no part of the path gone into: a filter cannot ask for an empty label, nor for no far node.
    pub fn keep(&self, rows: &mut Vec<Row>) {
        if let Some(within) = &self.within {
            rows.retain(|row| within.holds(&row.path));
        }
    }
}

impl Within {
    fn holds(&self, path: &Path) -> bool {
        let coarse = |site: &Site| coarse(site, self.group);
        coarse(&path.near) == coarse(&self.near)
            && path.far.as_ref().map(coarse) == self.far.as_ref().map(coarse)
    }
}

/// Lets only sites with these labels through; one that is not known stays as it was asked for.
fn narrow(filter: &mut Option<SiteFilter>, site: &Site) {
    let filter = filter.get_or_insert_default();
    let labels = [
        (&mut filter.cloud, &site.cloud),
        (&mut filter.region, &site.region),
        (&mut filter.zone, &site.zone),
        (&mut filter.node, &site.node),
        (&mut filter.cluster, &site.cluster),
    ];
    for (wanted, label) in labels.into_iter().filter(|(_, label)| !label.is_empty()) {
        wanted.clone_from(label);
    }
}

/// Into what paths told apart this way fall apart.
#[must_use]
pub const fn finer(group: GroupArg) -> Option<GroupArg> {
    match group {
        GroupArg::Cloud => Some(GroupArg::Region),
        GroupArg::Region | GroupArg::Zone => Some(GroupArg::Node),
        GroupArg::Node => None,
    }
}

/// A group's name.
#[must_use]
pub fn group_name(group: GroupArg) -> String {
    group.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The labels by which sites are told apart.
fn coarse(site: &Site, group: GroupArg) -> Site {
    let mut site = site.clone();
    if group != GroupArg::Node {
        site.node.clear();
    }
    if matches!(group, GroupArg::Region | GroupArg::Cloud) {
        site.zone.clear();
    }
    if group == GroupArg::Cloud {
        site.region.clear();
    }
    site
}

/// The start of a window that ends now, by the aggregator's clock: its time at the last answer, and how long ago that was.
#[must_use]
pub fn start_ns(answered_end_ns: u64, since: Duration, window: Duration) -> u64 {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    answered_end_ns.saturating_add(nanoseconds(since)).saturating_sub(nanoseconds(window))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::sample::{path, site};

    fn question(group: GroupArg) -> Question {
        Question { filter: ExchangeFilter::default(), group, within: None }
    }

    #[test]
    fn going_into_a_path_asks_for_its_parts() {
        let region = Site { node: String::new(), ..site("aws", "") };
        let of_regions = Path { near: region, ..path("aws", "gcp", 1) };
        let inner = question(GroupArg::Region).into_path(&of_regions).expect("finer");
        assert_eq!(inner.group, GroupArg::Node);
        let filter = &inner.filter;
        assert_eq!(filter.near.as_ref().map(|near| &near.cloud[..]), Some("aws"));
        assert_eq!(filter.kinds, [ExchangeKind::Ack as i32]);
        let mut rows: Vec<_> = [path("aws", "gcp", 1), path("aws", "azure", 1)]
            .into_iter()
            .chain([Path { far: None, ..path("aws", "gcp", 1) }])
            .map(Row::new)
            .collect();
        inner.keep(&mut rows);
        assert_eq!(rows.len(), 1, "another cloud and what has no far node are no part of it");
    }

    #[test]
    fn a_window_ends_now_by_the_aggregators_clock() {
        let seconds = Duration::from_secs;
        assert_eq!(start_ns(100_000_000_000, seconds(5), seconds(60)), 45_000_000_000);
        assert_eq!(start_ns(1, seconds(0), seconds(60)), 0);
    }
}

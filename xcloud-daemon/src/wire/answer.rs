//! What was measured, as the observer wire says it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use prost_types::Timestamp;
use xcloud_proto::{
    common::v1::{
        ExchangeKind, Loss, PodPlace as WirePodPlace, PodView as WirePodView,
        Segment as WireSegment, Site as WireSite, Workload as WireWorkload,
    },
    observer::v1::{
        Distribution, Exchange, ExchangeSegment, JoinLoss, LossReport, NodePod, NodeStatus,
        PathSplit, SegmentDistribution, SegmentShare, Tail as WireTail, Unjoined,
    },
};

use super::{convert::endpoint, filter::PathGroup};
use crate::measure::{
    Group, Kind, Segment, Site,
    account::Account,
    books::Joined,
    cell::Cell,
    histogram::Sparse,
    join::{Counts, DRIFT_PPM},
    ledger::{Agent, PodPlace, PodView},
    tail::Tail,
    workload::Workload,
};

/// What a query wants to see of each path.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Quantile whose make-up is wanted.
    pub tail_quantile: f64,
    /// Whether encoded histograms are.
    pub histograms: bool,
}

/// Nanoseconds since 1970 as the wire says them.
#[must_use]
pub fn timestamp(ns: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ns % 1_000_000_000).unwrap_or(0),
    }
}

/// The reverse, clamped to what 64 bits of nanoseconds can say.
#[must_use]
pub fn nanoseconds(timestamp: &Timestamp) -> u64 {
    let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
    let nanos = u64::try_from(timestamp.nanos).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Labels of a site.
#[must_use]
pub fn site(site: &Site) -> WireSite {
    WireSite {
        cloud: site.cloud.clone(),
        region: site.region.clone(),
        zone: site.zone.clone(),
        node: site.node.clone(),
        cluster: site.cluster.clone(),
    }
}

/// An address from its 4 or 16 bytes; IPv4 in IPv6 is IPv4.
#[must_use]
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    match *bytes {
        [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).into()),
        _ => {
            let octets = <[u8; 16]>::try_from(bytes).ok()?;
            Some(Ipv6Addr::from(octets).to_canonical())
        }
    }
}

/// A kind.
#[must_use]
pub const fn kind(kind: Kind) -> ExchangeKind {
    match kind {
        Kind::Handshake => ExchangeKind::Handshake,
        Kind::Ack => ExchangeKind::Ack,
        Kind::Response => ExchangeKind::Response,
    }
}

/// A segment.
#[must_use]
pub const fn segment(segment: Segment) -> WireSegment {
    match segment {
        Segment::NearCniEgress => WireSegment::NearCniEgress,
        Segment::NearQueue => WireSegment::NearQueue,
        Segment::Wan => WireSegment::Wan,
        Segment::FarCniIngress => WireSegment::FarCniIngress,
        Segment::FarPod => WireSegment::FarPod,
        Segment::FarCniEgress => WireSegment::FarCniEgress,
        Segment::FarQueue => WireSegment::FarQueue,
        Segment::NearCniIngress => WireSegment::NearCniIngress,
        Segment::BeyondUplink => WireSegment::BeyondUplink,
    }
}

/// Names of a workload.
#[must_use]
pub fn workload(Workload { namespace, kind, name, pod }: &Workload) -> WireWorkload {
    WireWorkload {
        namespace: namespace.clone(),
        kind: kind.clone(),
        name: name.clone(),
        pod: pod.clone(),
    }
}

/// One path and kind.
#[must_use]
pub fn path(group: &PathGroup, cell: &Cell, detail: Detail) -> PathSplit {
    let PathGroup { near, far, toward, kind: of, workloads } = group;
    let far = far.as_ref();
    let counts = &cell.counts;
    let joined = if far.is_some() { counts.recorded } else { 0 };
    let tail = cell.tail(detail.tail_quantile);
    PathSplit {
        near: Some(site(near)),
        far: far.map(site),
        kind: kind(*of).into(),
        exchanges: counts.near(),
        joined,
        sampled_ratio: ratio(counts.recorded, counts.stands_for),
        joined_ratio: if far.is_some() { ratio(joined, counts.at_both()) } else { 0.0 },
        total: Some(distribution(cell.total(), detail)),
        segments: cell
            .segments()
            .map(|(one, values)| SegmentDistribution {
                segment: segment(one).into(),
                distribution: Some(distribution(values, detail)),
            })
            .collect(),
        clock_error_ns: far.and(tail.as_ref()).map_or(0, clock_error_ns),
        tail: tail.map(|tail| wire_tail(&tail, detail.tail_quantile)),
        negative_wan: counts.negative_wan,
        unjoined: Some(Unjoined {
            near_alone: counts.near_alone,
            thinned: counts.thinned,
            far_alone: counts.far_alone,
            other_answer: counts.other_answer,
        }),
        near_workload: workloads.as_ref().map(|(near, _)| workload(near)),
        far_workload: workloads.as_ref().map(|(_, far)| workload(far)),
        destination_site: toward.as_ref().map(site),
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn distribution(values: &Sparse, detail: Detail) -> Distribution {
    Distribution {
        count: values.count(),
        p50_ns: values.quantile_ns(0.5),
        p90_ns: values.quantile_ns(0.9),
        p99_ns: values.quantile_ns(0.99),
        p999_ns: values.quantile_ns(0.999),
        max_ns: values.max_ns(),
        mean_ns: values.mean_ns(),
        hdr_v2: if detail.histograms { values.to_hdr_v2() } else { Vec::new() },
    }
}

/// The WAN is what the near clock says less what the far clock says; only the latter's rate puts an error into it,
/// in proportion to how long the far node held the exchange.
fn clock_error_ns(tail: &Tail) -> u64 {
    use Segment::{FarCniEgress, FarCniIngress, FarPod, FarQueue};
    let far = [FarCniIngress, FarPod, FarCniEgress, FarQueue];
    let held: i64 =
        tail.segments().filter(|(segment, _)| far.contains(segment)).map(|(_, ns)| ns).sum::<i64>()
            + tail.unattributed_ns;
    (u64::try_from(held).unwrap_or(0) * DRIFT_PPM).div_ceil(1_000_000)
}

fn wire_tail(tail: &Tail, quantile: f64) -> WireTail {
    // Only the WAN can be below zero, so no other group is.
    let group = |group| u64::try_from(tail.group_ns(group)).unwrap_or(0);
    WireTail {
        quantile,
        total_ns: tail.total_ns,
        cni_ns: group(Group::Cni),
        queue_ns: group(Group::Queue),
        wan_ns: tail.group_ns(Group::Wan),
        pod_ns: group(Group::Pod),
        beyond_uplink_ns: group(Group::BeyondUplink),
        exchanges: tail.exchanges,
        segments: tail
            .segments()
            .map(|(one, ns)| SegmentShare { segment: segment(one).into(), mean_ns: ns })
            .collect(),
        unattributed_ns: tail.unattributed_ns,
    }
}

/// Where observations went.
#[must_use]
pub fn loss(account: &Account) -> LossReport {
    LossReport {
        emitted: account.emitted,
        delivered: account.delivered,
        lost: Some(Loss {
            ring: account.ring,
            slot: account.slot,
            retransmit: account.retransmit,
            queue: account.queue,
            join: account.join,
            agent: account.agent,
            store: account.store,
            hidden: account.hidden,
        }),
        pending: account.pending,
        earlier: account.earlier,
    }
}

/// What the join dropped.
#[must_use]
pub const fn join_loss(counts: &Counts) -> JoinLoss {
    JoinLoss {
        near_alone: counts.near_alone,
        far_alone: counts.far_alone,
        other_answer: counts.other_answer,
        table_full: counts.table_full,
        ambiguous: counts.ambiguous,
    }
}

/// One agent, at its site.
#[must_use]
pub fn node(agent: &Agent, at: &Site) -> NodeStatus {
    NodeStatus {
        agent_id: agent.name.clone(),
        site: Some(site(at)),
        version: agent.identity.version.clone(),
        kernel_release: agent.identity.kernel_release.clone(),
        hooks: agent.identity.hooks.clone(),
        connected: agent.connected,
        last_batch: agent.last_batch_ns.map(timestamp),
        sampling_shift: agent.shift.into(),
        loss: Some(loss(&agent.account())),
        opened: agent.opened(),
        batches: agent.batches,
        duplicate_batches: agent.duplicates,
        pods: agent.identity.pods.iter().map(pod).collect(),
    }
}

/// An agent's pods that are not seen at their interface on the node.
pub fn node_pods(agent: &Agent, at: &Site) -> impl Iterator<Item = NodePod> {
    let one = |view| NodePod { site: Some(site(at)), view: Some(pod(view)) };
    agent.identity.pods.iter().map(one)
}

fn pod(PodView { interface, place, why }: &PodView) -> WirePodView {
    let place = match place {
        PodPlace::Inside => WirePodPlace::Inside,
        PodPlace::Sockets => WirePodPlace::Sockets,
        PodPlace::Hidden => WirePodPlace::Hidden,
    };
    WirePodView { interface: interface.clone(), place: place.into(), why: why.clone() }
}

/// A joined exchange, to be sent to any number of readers.
#[must_use]
pub fn exchange(joined: &Joined<'_>) -> Arc<Exchange> {
    let sample = &joined.near.sample;
    let known = |one: &Workload| (*one != Workload::default()).then(|| workload(one));
    Arc::new(Exchange {
        ended: Some(timestamp(joined.near.ended_ns)),
        near: Some(site(joined.near_site)),
        far: Some(site(joined.far_site)),
        source: Some(endpoint(sample.tuple.local, sample.tuple.local_port)),
        destination: Some(endpoint(sample.tuple.remote, sample.tuple.remote_port)),
        kind: kind(joined.near.kind).into(),
        total_ns: joined.split.total_ns,
        segments: joined
            .split
            .measured()
            .map(|(one, duration_ns)| ExchangeSegment { segment: segment(one).into(), duration_ns })
            .collect(),
        end_sequence: sample.end_seq,
        timestamp_value: sample.tsval,
        near_workload: known(joined.near_workload),
        far_workload: known(joined.far_workload),
    })
}

//! From what the aggregator answers to what is shown.

use xcloud_proto::{
    common::v1::{
        ExchangeKind, Loss as WireLoss, PodPlace, PodView, Segment, Site as WireSite,
        Workload as WireWorkload,
    },
    observer::v1::{
        Distribution, LossReport, NodePod, PathSplit, QuerySplitResponse, SegmentDistribution,
        Tail as WireTail, Unjoined as WireUnjoined,
    },
};

use super::{Loss, Lost, Path, Place, Pod, Report, Site, Tail, Times, Unjoined, Workload};
use crate::wire::answer::nanoseconds;

impl From<QuerySplitResponse> for Report {
    fn from(answer: QuerySplitResponse) -> Self {
        Self {
            paths: answer.paths.into_iter().map(Path::from).collect(),
            pods: answer.pods.into_iter().map(Pod::from).collect(),
            loss: answer.loss.unwrap_or_default().into(),
            start: answer.start.as_ref().map(rfc3339),
            end: answer.end.as_ref().map(rfc3339),
            oldest_available: answer.oldest_available.as_ref().map(rfc3339),
            stages: None,
        }
    }
}

/// A time as RFC 3339 says it, to the millisecond.
#[must_use]
pub fn rfc3339(time: &prost_types::Timestamp) -> String {
    let since_1970 = std::time::Duration::from_nanos(nanoseconds(time));
    humantime::format_rfc3339_millis(std::time::SystemTime::UNIX_EPOCH + since_1970).to_string()
}

impl From<WireSite> for Site {
    fn from(WireSite { cloud, region, zone, node, cluster }: WireSite) -> Self {
        Self { cloud, region, zone, node, cluster }
    }
}

impl From<WireWorkload> for Workload {
    fn from(WireWorkload { namespace, kind, name, pod }: WireWorkload) -> Self {
        Self { namespace, kind, name, pod }
    }
}

/// Where a pod is seen.
#[must_use]
pub fn place_of(view: &PodView) -> Place {
    match view.place() {
        PodPlace::Inside => Place::Inside,
        PodPlace::Sockets => Place::Sockets,
        PodPlace::Hidden | PodPlace::Unspecified => Place::Hidden,
    }
}

impl From<NodePod> for Pod {
    fn from(pod: NodePod) -> Self {
        let view = pod.view.unwrap_or_default();
        let place = place_of(&view);
        let site = pod.site.unwrap_or_default().into();
        Self { site, interface: view.interface, place, why: view.why }
    }
}

impl From<PathSplit> for Path {
    fn from(path: PathSplit) -> Self {
        let kind = kind_name(path.kind());
        let named = |one: SegmentDistribution| {
            (segment_name(one.segment()), Times::from(one.distribution.unwrap_or_default()))
        };
        Self {
            near: path.near.unwrap_or_default().into(),
            far: path.far.map(Site::from),
            near_workload: path.near_workload.map(Workload::from),
            far_workload: path.far_workload.map(Workload::from),
            destination_site: path.destination_site.map(Site::from),
            kind,
            exchanges: path.exchanges,
            joined: path.joined,
            sampled_ratio: path.sampled_ratio,
            joined_ratio: path.joined_ratio,
            unjoined: path.unjoined.unwrap_or_default().into(),
            total: path.total.unwrap_or_default().into(),
            segments: path.segments.into_iter().map(named).collect(),
            tail: path.tail.map(Tail::from),
            clock_error_ns: path.clock_error_ns,
            negative_wan: path.negative_wan,
        }
    }
}

impl From<WireUnjoined> for Unjoined {
    fn from(WireUnjoined { near_alone, thinned, far_alone, other_answer }: WireUnjoined) -> Self {
        Self { near_alone, thinned, far_alone, other_answer }
    }
}

/// A kind's name.
#[must_use]
pub const fn kind_name(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Unspecified => "unknown",
        ExchangeKind::Handshake => "handshake",
        ExchangeKind::Ack => "ack",
        ExchangeKind::Response => "response",
    }
}

/// A segment's name.
#[must_use]
pub const fn segment_name(segment: Segment) -> &'static str {
    match segment {
        Segment::Unspecified => "unknown",
        Segment::NearCniEgress => "near_cni_egress",
        Segment::NearQueue => "near_queue",
        Segment::Wan => "wan",
        Segment::FarCniIngress => "far_cni_ingress",
        Segment::FarPod => "far_pod",
        Segment::FarCniEgress => "far_cni_egress",
        Segment::FarQueue => "far_queue",
        Segment::NearCniIngress => "near_cni_ingress",
        Segment::BeyondUplink => "beyond_uplink",
    }
}

impl From<Distribution> for Times {
    fn from(distribution: Distribution) -> Self {
        Self {
            count: distribution.count,
            p50_ns: distribution.p50_ns,
            p90_ns: distribution.p90_ns,
            p99_ns: distribution.p99_ns,
            p999_ns: distribution.p999_ns,
            max_ns: distribution.max_ns,
            mean_ns: distribution.mean_ns,
        }
    }
}

impl From<WireTail> for Tail {
    fn from(tail: WireTail) -> Self {
        Self {
            quantile: tail.quantile,
            total_ns: tail.total_ns,
            cni_ns: tail.cni_ns,
            queue_ns: tail.queue_ns,
            wan_ns: tail.wan_ns,
            pod_ns: tail.pod_ns,
            beyond_uplink_ns: tail.beyond_uplink_ns,
            unattributed_ns: tail.unattributed_ns,
            exchanges: tail.exchanges,
            segments: tail
                .segments
                .iter()
                .map(|share| (segment_name(share.segment()), share.mean_ns))
                .collect(),
        }
    }
}

impl From<LossReport> for Loss {
    fn from(report: LossReport) -> Self {
        let WireLoss { ring, slot, retransmit, queue, join, agent, store, hidden } =
            report.lost.unwrap_or_default();
        Self {
            emitted: report.emitted,
            delivered: report.delivered,
            lost: Lost { ring, slot, retransmit, queue, join, agent, store, hidden },
            pending: report.pending,
            earlier: report.earlier,
        }
    }
}

use std::collections::{BTreeMap, HashSet};

use tokio_util::sync::CancellationToken;
use xcloud_common::{
    sample::{Sample as Seen, flag, kind},
    slot::Tuple,
};
use xcloud_proto::{
    common::v1::{EgressKind, EgressRow, EgressSums},
    ingest::v1::Egress,
};

use super::*;
use crate::{
    measure::{
        Site,
        account::Totals,
        cumulative, join,
        state::{self, Batch, Limits, Opening, Stream},
        store,
        tier::Tier,
        workload::Keep,
    },
    metrics::{
        family::{AGGREGATOR, PATHS, PROCESS},
        text::{Dialect, Text},
    },
};

const SECOND: u64 = 1_000_000_000;
const SENT: u64 = 5_000 * SECOND;

fn aggregator(tier: Tier, most: usize) -> Aggregator {
    let limits = Limits {
        join: join::Limits { window_ns: 10 * SECOND, capacity: 100 },
        store: store::Limits {
            interval_ns: SECOND,
            retention_ns: 100 * SECOND,
            max_paths: 100,
            max_bytes: usize::MAX,
            keep: Keep::Nothing,
        },
        max_agents: 100,
    };
    let hub = Hub::new(limits, CancellationToken::new());
    hub.keep_cumulative(cumulative::Limits { tier, most, idle_ns: 100 * SECOND });
    Aggregator { hub, exports: Arc::default() }
}

fn agent(hub: &Hub, cloud: &str, node: &str) -> Stream {
    let opening = Opening {
        name: format!("{cloud}:{node}"),
        boot: [1; 16],
        site: Site { cloud: cloud.into(), node: node.into(), ..Site::default() },
        version: String::new(),
        kernel_release: String::new(),
        hooks: Vec::new(),
        first_sequence: 1,
        predecessor: None,
    };
    hub.open(opening, None).expect("room").0
}

/// One end of an exchange of 10 ms, of which 2 ms were spent at the far node.
fn end(flags: u8, end_seq: u32) -> Seen {
    let back = if flags == 0 { [10, 9, 1, 0] } else { [7, 6, 6, 5] };
    let [first_ns, second_ns, third_ns, last_ns] = back.map(|ms| SENT - ms * 1_000_000);
    Seen {
        first_ns,
        second_ns,
        third_ns,
        last_ns,
        queue_ns: 0,
        end_seq,
        tsval: 2,
        answer: 3,
        pod_ifindex: 4,
        uplink_ifindex: 5,
        tuple: Tuple::default(),
        kinds: kind::ACK,
        flags,
        shift: 1,
    }
}

fn take(hub: &Hub, stream: &Stream, samples: Vec<Seen>) {
    let emitted = samples.len() as u64;
    let totals = Totals { emitted: emitted + 3, ring: 3, slot: 2, ..Totals::default() };
    let batch = Batch {
        sequence: 1,
        sent_monotonic_ns: SENT,
        sent_before: 0,
        totals,
        samples,
        names: state::Names::default(),
    };
    hub.take(stream, &batch).expect("an honest batch");
}

/// Ten exchanges from a node in aws to one in gcp, and what left the former.
fn measured(tier: Tier, most: usize) -> Aggregator {
    let aggregator = aggregator(tier, most);
    let hub = &aggregator.hub;
    let (near, far) = (agent(hub, "aws", "a"), agent(hub, "gcp", "b"));
    take(hub, &near, (0..10).map(|seq| end(0, seq)).collect());
    take(hub, &far, (0..10).map(|seq| end(flag::FAR, seq)).collect());
    let row =
        EgressRow { kind: EgressKind::Plain.into(), sums: Some(sums(100)), ..EgressRow::default() };
    let told = Egress { rows: vec![row], totals: Some(sums(150)), ..Egress::default() };
    hub.keep_egress(&near, [1; 16], told);
    aggregator
}

fn sums(bytes: u64) -> EgressSums {
    EgressSums { wire_bytes: bytes, packets: bytes / 10, payload_bytes: bytes / 2 }
}

/// Values by name and labels.
fn told(source: &Aggregator) -> BTreeMap<String, f64> {
    let mut text = Text::new(Dialect::Prometheus);
    source.tell(&mut text);
    let text = text.finish();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').expect("a name and a value"));
    pairs.map(|(name, value)| (name.into(), value.parse().expect("a number"))).collect()
}

#[test]
fn a_path_is_told_segment_by_segment_and_its_parts_add_up() {
    let told = told(&measured(Tier::Node, 10));
    let path = r#"near_cloud="aws",near_region="unknown",near_zone="unknown",near_cluster="unknown",near_node="a",far_cloud="gcp",far_region="unknown",far_zone="unknown",far_cluster="unknown",far_node="b",kind="ack""#;
    let value = |name: &str, more: &str| told[&format!("{name}{{{path}{more}}}")];
    assert_eq!(value("xcloud_exchange_latency_seconds_count", ""), 10.0);
    let total = value("xcloud_exchange_latency_seconds_sum", "");
    let segments = [
        "near_cni_egress",
        "wan",
        "far_cni_ingress",
        "far_pod",
        "far_cni_egress",
        "near_cni_ingress",
    ];
    let parts = segments.map(|segment| {
        value("xcloud_datapath_latency_seconds_sum", &format!(",segment=\"{segment}\""))
    });
    assert!((parts.iter().sum::<f64>() - total).abs() < 1e-9, "{parts:?} make {total}");
    assert!((parts[1] - 0.06).abs() < 1e-9, "8 ms less 2 ms, ten times: {}", parts[1]);
    assert_eq!(value("xcloud_path_exchanges_total", ",outcome=\"recorded\""), 10.0);
    assert_eq!(value("xcloud_path_represented_exchanges_total", ""), 20.0, "one in two");
    assert_eq!(value("xcloud_exchange_latency_seconds_bucket", ",le=\"0.0078125\""), 0.0);
    assert_eq!(value("xcloud_exchange_latency_seconds_bucket", ",le=\"0.015625\""), 10.0);
}

#[test]
fn losses_agents_and_bytes_are_told() {
    let told = told(&measured(Tier::Node, 10));
    assert_eq!(told[r#"xcloud_observations_lost_total{hop="kernel",reason="ring"}"#], 6.0);
    assert_eq!(told["xcloud_observations_emitted_total"], 30.0);
    assert_eq!(told["xcloud_observations_delivered_total"], 20.0);
    assert_eq!(told[r#"xcloud_join_observations_total{outcome="joined"}"#], 20.0);
    assert_eq!(told[r#"xcloud_agents{state="connected"}"#], 2.0);
    let agent = r#"{cloud="aws",region="unknown",zone="unknown",cluster="unknown",node="a"}"#;
    assert_eq!(told[&format!("xcloud_agent_connected{agent}")], 1.0);
    assert_eq!(told[&format!("xcloud_agent_sampled_ratio{agent}")], 0.5);
    assert_eq!(told[&format!("xcloud_agent_lost_total{agent}")], 5.0);
    let unknown = r#"destination_cloud="unknown",destination_region="unknown",destination_zone="unknown",destination_cluster="unknown",destination_node="unknown""#;
    let source = r#"source_cloud="aws",source_region="unknown",source_zone="unknown",source_cluster="unknown",source_node="a""#;
    let bytes = |kind: &str| {
        told[&format!("xcloud_egress_bytes_total{{{source},{unknown},carriage=\"{kind}\"}}")]
    };
    assert_eq!((bytes("plain"), bytes("rest")), (100.0, 50.0));
}

#[test]
fn what_is_over_the_cap_is_summed_and_counted() {
    let aggregator = measured(Tier::Node, 1);
    let (near, far) = (agent(&aggregator.hub, "aws", "c"), agent(&aggregator.hub, "aws", "d"));
    take(&aggregator.hub, &near, vec![end(0, 99)]);
    take(&aggregator.hub, &far, vec![end(flag::FAR, 99)]);
    let told = told(&aggregator);
    assert_eq!(told["xcloud_metrics_series_cut"], 1.0);
    assert_eq!(told["xcloud_metrics_series"], 1.0);
    let counts =
        told.iter().filter(|(name, _)| name.starts_with("xcloud_exchange_latency_seconds_count"));
    let counts: Vec<_> =
        counts.map(|(name, count)| (name.contains(r#"near_node="other""#), *count)).collect();
    assert_eq!(counts, [(false, 10.0), (true, 1.0)]);
    assert_eq!(told.keys().filter(|name| name.starts_with("xcloud_agent_connected")).count(), 2);
}

#[test]
fn a_coarse_tier_has_no_label_that_is_finer() {
    let told = told(&measured(Tier::Cloud, 10));
    let count =
        r#"xcloud_exchange_latency_seconds_count{near_cloud="aws",far_cloud="gcp",kind="ack"}"#;
    assert_eq!(told[count], 10.0);
}

#[test]
fn every_metric_documented_is_told_and_no_other() {
    let aggregator = measured(Tier::Node, 10);
    let mut names = Names::default();
    aggregator.tell(&mut names);
    let documented: HashSet<_> =
        [PATHS, AGGREGATOR, PROCESS].into_iter().flatten().map(|family| family.name).collect();
    assert_eq!(names.0, documented);
}

/// Families that have samples, with as many labels as they should.
#[derive(Debug, Default)]
struct Names(HashSet<&'static str>, Option<&'static family::Family>);

impl Sink for Names {
    fn family(&mut self, family: &'static family::Family) {
        self.1 = Some(family);
    }

    fn sample(&mut self, sample: super::super::Sample<'_>) {
        let family = self.1.expect("a family comes before its samples");
        assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
        self.0.insert(family.name);
    }
}

mod egress {
    use super::*;

    fn told_later(hub: &Hub, stream: &Stream, boot: u8, rows: &[(u8, u64)], all: u64) {
        let row = |(peer, bytes): &(u8, u64)| EgressRow {
            kind: EgressKind::Plain.into(),
            destination: vec![10, 0, 0, *peer],
            sums: Some(sums(*bytes)),
            ..EgressRow::default()
        };
        let rows = rows.iter().map(row).collect();
        let message = Egress { rows, totals: Some(sums(all)), ..Egress::default() };
        hub.keep_egress(stream, [boot; 16], message);
    }

    fn bytes(aggregator: &Aggregator) -> f64 {
        let told = told(aggregator);
        let all = told.iter().filter(|(name, _)| name.starts_with("xcloud_egress_bytes_total"));
        all.map(|(_, bytes)| bytes).sum()
    }

    /// A life of the agent, the sums it told last by row, and all bytes it told.
    type Step = (u8, &'static [(u8, u64)], u64);

    #[test]
    fn no_byte_is_counted_twice_or_lost_however_often_somebody_looks() {
        let aggregator = aggregator(Tier::Node, 10);
        let stream = agent(&aggregator.hub, "aws", "a");
        let steps: [Step; 4] = [
            (1, &[(1, 100)], 120),
            (1, &[(1, 300), (2, 50)], 400),
            (2, &[(1, 10)], 10),
            (2, &[(2, 70)], 100),
        ];
        let mut seen = Vec::new();
        for (boot, rows, all) in steps {
            told_later(&aggregator.hub, &stream, boot, rows, all);
            seen.push([bytes(&aggregator), bytes(&aggregator)]);
        }
        assert_eq!(seen, [[120.0; 2], [400.0; 2], [410.0; 2], [500.0; 2]]);
    }
}

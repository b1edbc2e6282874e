//! How answers look, in every format.

use xcloud::cli::Output;
use xcloud::report::{
    Report,
    csv::csv,
    exchange::{Exchange, Lines},
    json::json,
    table::table,
};
use xcloud_proto::{
    common::v1::{Endpoint, ExchangeKind, Loss, PodPlace, PodView, Segment, Site},
    observer::v1::{
        Distribution, Exchange as WireExchange, ExchangeSegment, LossReport, NodePod, PathSplit,
        QuerySplitResponse, SegmentDistribution, SegmentShare, Tail, Unjoined,
    },
};

fn site(cloud: &str, node: &str) -> Site {
    Site { cloud: cloud.into(), node: node.into(), ..Site::default() }
}

fn pod(interface: &str, place: PodPlace) -> NodePod {
    let why = format!("9 of 9 answers went past {interface}");
    let view = PodView { interface: interface.into(), place: place.into(), why };
    NodePod { site: Some(site("aws", "node-a")), view: Some(view) }
}

fn times(base: u64) -> Distribution {
    Distribution {
        count: 12_345,
        p50_ns: base,
        p90_ns: base * 11 / 10,
        p99_ns: base * 12 / 10,
        p999_ns: base * 15 / 10,
        max_ns: base * 20 / 10,
        mean_ns: base + 7,
        hdr_v2: Vec::new(),
    }
}

fn segments(parts: &[(Segment, u64)]) -> Vec<SegmentDistribution> {
    let named = |(segment, base): &(Segment, u64)| SegmentDistribution {
        segment: (*segment).into(),
        distribution: Some(times(*base)),
    };
    parts.iter().map(named).collect()
}

/// A path with all that can be odd: sampled, not all joined, hooks missing, a WAN below zero, a hostile label.
fn joined() -> PathSplit {
    PathSplit {
        near: Some(site("aws", "node-a")),
        far: Some(site("gcp", "no\u{1b}[31mde")),
        kind: ExchangeKind::Response.into(),
        exchanges: 12_400,
        joined: 12_345,
        sampled_ratio: 0.0625,
        joined_ratio: 0.99556,
        total: Some(times(40_150_000)),
        segments: segments(&[
            (Segment::NearCniEgress, 210_000),
            (Segment::Wan, 39_000_000),
            (Segment::FarPod, 850),
        ]),
        tail: Some(Tail {
            quantile: 0.999,
            total_ns: 48_180_004,
            cni_ns: 310_003,
            wan_ns: -1_000,
            pod_ns: 47_771_000,
            exchanges: 1_234,
            segments: vec![
                SegmentShare { segment: Segment::NearCniEgress.into(), mean_ns: 310_003 },
                SegmentShare { segment: Segment::Wan.into(), mean_ns: -1_000 },
                SegmentShare { segment: Segment::FarPod.into(), mean_ns: 47_771_000 },
            ],
            unattributed_ns: 100_001,
            ..Tail::default()
        }),
        clock_error_ns: 4_790,
        negative_wan: 3,
        unjoined: Some(Unjoined { near_alone: 40, thinned: 0, far_alone: 9, other_answer: 15 }),
        ..PathSplit::default()
    }
}

fn beyond() -> PathSplit {
    PathSplit {
        near: Some(site("aws", "node-a")),
        far: None,
        kind: ExchangeKind::Ack.into(),
        exchanges: 7,
        sampled_ratio: 1.0,
        total: Some(times(500)),
        segments: segments(&[(Segment::BeyondUplink, 400)]),
        tail: Some(Tail {
            quantile: 0.99,
            total_ns: 600,
            cni_ns: 100,
            beyond_uplink_ns: 500,
            exchanges: 1,
            ..Tail::default()
        }),
        ..PathSplit::default()
    }
}

fn report() -> Report {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    QuerySplitResponse {
        stages: vec![],
        paths: vec![joined(), beyond()],
        pods: vec![pod("veth1", PodPlace::Inside), pod("veth2", PodPlace::Hidden)],
        loss: Some(LossReport {
            emitted: 25_000,
            delivered: 24_690,
            lost: Some(Loss { ring: 10, join: 200, ..Loss::default() }),
            pending: 40,
            earlier: 60,
        }),
        oldest_available: time(1_700_000_000),
        start: time(1_700_000_000),
        end: time(1_700_003_600),
    }
    .into()
}

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!(table(&report(), false), @r"
    aws node-a -> gcp no\x1b[31mde: response, 12 400 exchanges, 99.5 % joined, 6.2 % of the traffic sampled
                             p50      p90      p99    p99.9      max     mean
      total              40.1 ms  44.2 ms  48.2 ms  60.2 ms  80.3 ms  40.2 ms
      near CNI egress     210 us   231 us   252 us   315 us   420 us   210 us
      WAN                39.0 ms  42.9 ms  46.8 ms  58.5 ms  78.0 ms  39.0 ms
      far pod             850 ns   935 ns  1.02 us  1.27 us  1.70 us   857 ns
      p99.9 = 48.180004 ms = 0.310003 CNI + -0.001000 WAN + 47.771000 pod + 0.100001 unknown (1 234 exchanges)
      clocks put at most 4.79 us into the WAN; 3 exchanges below zero counted as zero
      not joined: 40 seen by the near end alone, 9 seen by the far end alone, 15 whose first answer was lost

    aws node-a -> beyond the uplink: ack, 7 exchanges, no far node seen
                             p50      p90      p99    p99.9      max     mean
      total               500 ns   550 ns   600 ns   750 ns  1.00 us   507 ns
      beyond uplink       400 ns   440 ns   480 ns   600 ns   800 ns   407 ns
      p99 = 0.600 us = 0.100 CNI + 0.500 beyond uplink (1 exchange)

    aws node-a, veth1: hooked inside the pod: 9 of 9 answers went past veth1
    aws node-a, veth2: the pod side is not visible, so nothing of this pod is shown: 9 of 9 answers went past veth2
    observations: 25 000 emitted = 24 690 delivered + 210 lost (10 ring, 200 join) + 40 under way + 60 delivered elsewhere
    from 2023-11-14T22:13:20.000Z to 2023-11-14T23:13:20.000Z; data goes back to 2023-11-14T22:13:20.000Z
    ");
}

#[test]
fn colour_only_when_asked_for() {
    assert!(!table(&report(), false).contains('\u{1b}'));
    assert!(table(&report(), true).contains("\u{1b}[1m"));
}

#[test]
fn json_for_programs() {
    let text = json(&report()).expect("serialisable");
    insta::assert_snapshot!(text, @r#"
    {
      "paths": [
        {
          "near": {
            "cloud": "aws",
            "region": "",
            "zone": "",
            "node": "node-a"
          },
          "far": {
            "cloud": "gcp",
            "region": "",
            "zone": "",
            "node": "no\u001b[31mde"
          },
          "kind": "response",
          "exchanges": 12400,
          "joined": 12345,
          "sampled_ratio": 0.0625,
          "joined_ratio": 0.99556,
          "unjoined": {
            "near_alone": 40,
            "thinned": 0,
            "far_alone": 9,
            "other_answer": 15
          },
          "total": {
            "count": 12345,
            "p50_ns": 40150000,
            "p90_ns": 44165000,
            "p99_ns": 48180000,
            "p999_ns": 60225000,
            "max_ns": 80300000,
            "mean_ns": 40150007
          },
          "segments": {
            "near_cni_egress": {
              "count": 12345,
              "p50_ns": 210000,
              "p90_ns": 231000,
              "p99_ns": 252000,
              "p999_ns": 315000,
              "max_ns": 420000,
              "mean_ns": 210007
            },
            "wan": {
              "count": 12345,
              "p50_ns": 39000000,
              "p90_ns": 42900000,
              "p99_ns": 46800000,
              "p999_ns": 58500000,
              "max_ns": 78000000,
              "mean_ns": 39000007
            },
            "far_pod": {
              "count": 12345,
              "p50_ns": 850,
              "p90_ns": 935,
              "p99_ns": 1020,
              "p999_ns": 1275,
              "max_ns": 1700,
              "mean_ns": 857
            }
          },
          "tail": {
            "quantile": 0.999,
            "total_ns": 48180004,
            "cni_ns": 310003,
            "queue_ns": 0,
            "wan_ns": -1000,
            "pod_ns": 47771000,
            "beyond_uplink_ns": 0,
            "unattributed_ns": 100001,
            "exchanges": 1234,
            "segments": {
              "near_cni_egress": 310003,
              "wan": -1000,
              "far_pod": 47771000
            }
          },
          "clock_error_ns": 4790,
          "negative_wan": 3
        },
        {
          "near": {
            "cloud": "aws",
            "region": "",
            "zone": "",
            "node": "node-a"
          },
          "far": null,
          "kind": "ack",
          "exchanges": 7,
          "joined": 0,
          "sampled_ratio": 1.0,
          "joined_ratio": 0.0,
          "unjoined": {
            "near_alone": 0,
            "thinned": 0,
            "far_alone": 0,
            "other_answer": 0
          },
          "total": {
            "count": 12345,
            "p50_ns": 500,
            "p90_ns": 550,
            "p99_ns": 600,
            "p999_ns": 750,
            "max_ns": 1000,
            "mean_ns": 507
          },
          "segments": {
            "beyond_uplink": {
              "count": 12345,
              "p50_ns": 400,
              "p90_ns": 440,
              "p99_ns": 480,
              "p999_ns": 600,
              "max_ns": 800,
              "mean_ns": 407
            }
          },
          "tail": {
            "quantile": 0.99,
            "total_ns": 600,
            "cni_ns": 100,
            "queue_ns": 0,
            "wan_ns": 0,
            "pod_ns": 0,
            "beyond_uplink_ns": 500,
            "unattributed_ns": 0,
            "exchanges": 1,
            "segments": {}
          },
          "clock_error_ns": 0,
          "negative_wan": 0
        }
      ],
      "pods": [
        {
          "site": {
            "cloud": "aws",
            "region": "",
            "zone": "",
            "node": "node-a"
          },
          "interface": "veth1",
          "place": "inside",
          "why": "9 of 9 answers went past veth1"
        },
        {
          "site": {
            "cloud": "aws",
            "region": "",
            "zone": "",
            "node": "node-a"
          },
          "interface": "veth2",
          "place": "hidden",
          "why": "9 of 9 answers went past veth2"
        }
      ],
      "loss": {
        "emitted": 25000,
        "delivered": 24690,
        "lost": {
          "ring": 10,
          "slot": 0,
          "retransmit": 0,
          "queue": 0,
          "join": 200,
          "agent": 0,
          "store": 0,
          "hidden": 0
        },
        "pending": 40,
        "earlier": 60
      },
      "start": "2023-11-14T22:13:20.000Z",
      "end": "2023-11-14T23:13:20.000Z",
      "oldest_available": "2023-11-14T22:13:20.000Z"
    }
    "#);
}

#[test]
fn csv_for_spreadsheets() {
    insta::assert_snapshot!(csv(&report()).expect("writable"), @r"
    near_cloud,near_region,near_zone,near_node,far_cloud,far_region,far_zone,far_node,kind,exchanges,joined,segment,count,p50_ns,p90_ns,p99_ns,p999_ns,max_ns,mean_ns,tail_mean_ns
    aws,,,node-a,gcp,,,no\x1b[31mde,response,12400,12345,total,12345,40150000,44165000,48180000,60225000,80300000,40150007,48180004
    aws,,,node-a,gcp,,,no\x1b[31mde,response,12400,12345,near_cni_egress,12345,210000,231000,252000,315000,420000,210007,310003
    aws,,,node-a,gcp,,,no\x1b[31mde,response,12400,12345,wan,12345,39000000,42900000,46800000,58500000,78000000,39000007,-1000
    aws,,,node-a,gcp,,,no\x1b[31mde,response,12400,12345,far_pod,12345,850,935,1020,1275,1700,857,47771000
    aws,,,node-a,,,,,ack,7,0,total,12345,500,550,600,750,1000,507,600
    aws,,,node-a,,,,,ack,7,0,beyond_uplink,12345,400,440,480,600,800,407,
    ");
}

#[test]
fn an_exchange_is_one_line() {
    let end = |last, port| Some(Endpoint { address: vec![10, 0, 0, last], port });
    let exchange = Exchange::from(WireExchange {
        ended: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1_000_000 }),
        near: Some(site("aws", "node-a")),
        far: Some(site("gcp", "node-b")),
        source: end(1, 40_000),
        destination: Some(Endpoint { address: [0xfd; 16].into(), port: 80 }),
        kind: ExchangeKind::Ack.into(),
        total_ns: 40_400,
        segments: vec![
            ExchangeSegment { segment: Segment::NearCniEgress.into(), duration_ns: 300 },
            ExchangeSegment { segment: Segment::Wan.into(), duration_ns: -7 },
        ],
        end_sequence: 5,
        timestamp_value: 6,
        ..WireExchange::default()
    });
    let lines: Vec<_> = [Output::Table, Output::Json, Output::Csv]
        .into_iter()
        .flat_map(|output| [Lines(output).header(), Lines(output).exchange(&exchange)])
        .map(|line| line.expect("writable"))
        .collect();
    insta::assert_snapshot!(lines.concat(), @r#"
    2023-11-14T22:13:20.001Z aws node-a 10.0.0.1:40000 -> gcp node-b [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:80 ack 40.4 us = 300 ns near_cni_egress + -7 ns wan
    {"ended":"2023-11-14T22:13:20.001Z","near":{"cloud":"aws","region":"","zone":"","node":"node-a"},"far":{"cloud":"gcp","region":"","zone":"","node":"node-b"},"source":"10.0.0.1:40000","destination":"[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:80","kind":"ack","total_ns":40400,"segments":{"near_cni_egress":300,"wan":-7},"end_sequence":5,"timestamp_value":6}
    ended,near_cloud,near_region,near_zone,near_node,far_cloud,far_region,far_zone,far_node,source,destination,kind,total_ns,near_cni_egress_ns,near_queue_ns,wan_ns,far_cni_ingress_ns,far_pod_ns,far_cni_egress_ns,far_queue_ns,near_cni_ingress_ns,beyond_uplink_ns
    2023-11-14T22:13:20.001Z,aws,,,node-a,gcp,,,node-b,10.0.0.1:40000,[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:80,ack,40400,300,,-7,,,,,,
    "#);
}

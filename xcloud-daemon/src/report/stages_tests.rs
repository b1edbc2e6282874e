use insta::assert_snapshot;
use xcloud_proto::common::v1::{
    Site as WireSite, StageCost, StageProbe, StageProfile, StageProgramCost,
};

use super::*;

/// A stage that each of `packets` packets spent `each_ns` in.
fn sum(stage: Stage, packets: u64, each_ns: u64) -> StageSum {
    let mut by_log2 = vec![0; 32];
    by_log2[each_ns.ilog2() as usize] = packets;
    StageSum {
        stage: stage.into(),
        packets,
        total_ns: packets * each_ns,
        packets_by_log2_ns: by_log2,
    }
}

/// Ten packets of 50 us each in the CNI; one of them was encrypted.
fn pod() -> PodStages {
    PodStages {
        pod_interface: "vethpod1".into(),
        direction: Direction::Egress.into(),
        packets: 10,
        unknown_packets: 2,
        cni_ns: 500_000,
        stages: vec![
            sum(Stage::Routing, 10, 15_000),
            sum(Stage::Encryption, 1, 100_000),
            sum(Stage::AfterUplink, 10, 70_000),
        ],
        ..PodStages::default()
    }
}

fn node() -> WireNode {
    let probe = |stage: Stage, missing: &str| StageProbe {
        stage: stage.into(),
        missing: missing.into(),
        ..StageProbe::default()
    };
    WireNode {
        site: Some(WireSite { cloud: "aws".into(), node: "node-1".into(), ..WireSite::default() }),
        profile: Some(StageProfile {
            pods: vec![
                pod(),
                PodStages {
                    pod_interface: "veth\u{1b}[31m".into(),
                    direction: Direction::Ingress.into(),
                    unknown_packets: 1_234,
                    ..PodStages::default()
                },
            ],
            probes: vec![
                probe(Stage::Routing, ""),
                probe(Stage::Encapsulation, "vxlan_xmit: module vxlan is not loaded"),
            ],
            cost: Some(StageCost {
                entry_probe_ns: 90,
                return_probe_ns: 160,
                programs: vec![StageProgramCost {
                    program: "stage_routing".into(),
                    runs: 1_000,
                    mean_ns: 120,
                }],
            }),
        }),
    }
}

#[test]
fn stages_and_rest_add_up_to_the_segment_and_what_comes_after_the_uplink_is_no_part_of_it() {
    let shown = Pod::from(pod());
    let inside = shown.stages.iter().filter(|part| part.stage != "after_uplink");
    let parts: u64 = inside.map(|part| part.mean_ns).sum();
    assert_eq!((shown.cni_mean_ns, parts, shown.rest_mean_ns), (50_000, 25_000, 25_000));
}

#[test]
fn stages_longer_than_the_segment_leave_a_rest_below_zero() {
    assert_eq!(Pod::from(PodStages { cni_ns: 100_000, ..pod() }).rest_mean_ns, -15_000);
}

#[test]
fn hostile_sums_neither_wrap_nor_divide_by_zero() {
    let by_log2 = vec![u64::MAX; 100];
    let huge =
        StageSum { total_ns: u64::MAX, packets_by_log2_ns: by_log2, ..sum(Stage::Routing, 1, 1) };
    let stages = vec![huge.clone(), huge];
    let shown = Pod::from(PodStages { packets: 0, cni_ns: u64::MAX, stages, ..pod() });
    assert_eq!((shown.packets, shown.rest_mean_ns), (0, 0));
}

#[test]
fn table_of_a_node_with_a_profile() {
    assert_snapshot!(table(&[node().into()], false));
}

#[test]
fn csv_of_a_node_with_a_profile() {
    assert_snapshot!(csv(&[node().into()]).expect("written to memory"));
}

#[test]
fn json_of_a_node_with_a_profile() {
    assert_snapshot!(serde_json::to_string_pretty(&[Node::from(node())]).expect("renders"));
}

#[test]
fn no_profile_is_said_not_left_empty() {
    assert_snapshot!(table(&[], false), @"no stages: no agent that matches runs with --stages");
}

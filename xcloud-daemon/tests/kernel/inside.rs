//! Pods whose packets go past their interface: hooks inside the pod, and what shows that they are needed.

use std::{fs, os::unix::fs::MetadataExt as _};

use xcloud::{
    agent::clock::monotonic_ns,
    kernel::unfinished::{Missing, Tables},
};

use crate::{
    craft::{DATA, Segment},
    harness::{self, Kernel},
};

const MINUTE_NS: u64 = 60_000_000_000;

#[test]
fn a_hook_inside_a_pod_names_the_pods_namespace() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let answer = DATA.answered();
    for (program, packet) in [
        ("pod_out_inside", DATA),
        ("uplink_out", DATA),
        ("uplink_in", answer),
        ("pod_in_inside", answer),
        ("uplink_in", DATA),
        ("pod_in_inside", DATA),
        ("pod_out_inside", answer),
        ("uplink_out", answer),
    ] {
        kernel.run(program, &packet.frame());
    }
    let here = fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
    let pods: Vec<_> = kernel.samples().iter().map(|one| u64::from(one.pod_ifindex)).collect();
    assert_eq!(pods, [here, here], "near and far");
}

/// What is missing of the only pod.
fn missing(tables: &Tables, youngest: u64) -> Missing {
    let now_ns = monotonic_ns().expect("a clock");
    let pods = tables.missing(now_ns, youngest, MINUTE_NS);
    assert!(pods.len() <= 1, "{pods:?}");
    pods.into_values().next().unwrap_or_default()
}

#[test]
fn an_answer_that_went_past_the_pods_interface_is_missing() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let tables = Tables::of(&kernel.ebpf).expect("the tables");
    let answer = DATA.answered().frame();
    kernel.run("pod_out", &DATA.frame());
    kernel.run("uplink_out", &DATA.frame());
    assert_eq!(missing(&tables, 0), Missing::default(), "nothing came yet");
    kernel.run("uplink_in", &answer);
    assert_eq!(missing(&tables, 0).into_pod, 1);
    assert_eq!(missing(&tables, MINUTE_NS / 2), Missing::default(), "it may still come");
    kernel.run("pod_in", &answer);
    assert_eq!(missing(&tables, 0), Missing::default());
}

#[test]
fn data_that_nothing_answers_is_missing_its_answer() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let tables = Tables::of(&kernel.ebpf).expect("the tables");
    kernel.run("uplink_in", &DATA.frame());
    assert_eq!(missing(&tables, 0), Missing::default(), "perhaps not to a pod");
    kernel.run("pod_in", &DATA.frame());
    assert_eq!(missing(&tables, 0).out_of_pod, 1);
    kernel.run("pod_out", &Segment { payload: 40, ..DATA.answered() }.frame());
    assert_eq!(missing(&tables, 0), Missing::default());
}

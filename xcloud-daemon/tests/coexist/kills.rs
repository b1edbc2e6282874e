//! kill -9, a hundred times, and what it leaves.

use std::{process::Command, thread, time::Duration};

use crate::{
    account::Aggregator,
    harness,
    impostor::{Impostor, leave_inside},
    load::Requests,
    node::{Backend, Node, POD, UPLINK, until},
    node_or_return,
};

/// For each back end.
const KILLS: u64 = 50;
/// Of which so many wait until the hooks are on.
const WITH_HOOKS: u64 = 10;

#[test]
fn fifty_kills_at_tcx_leave_one_program_a_hook_and_break_nothing() {
    let node = node_or_return!();
    survive(&node, Backend::Tcx);
}

#[test]
fn fifty_kills_at_clsact_leave_one_program_a_hook_and_break_nothing() {
    let node = node_or_return!();
    survive(&node, Backend::Clsact);
}

#[test]
fn what_a_killed_agent_left_inside_a_pod_is_removed_and_nothing_else() {
    let node = node_or_return!();
    // A process of the pod leads to its namespace.
    let mut process = Command::new("sleep");
    node.pod.host(process.arg("600"));
    let mut process = process.spawn().expect("a process");
    for (name, handle) in [("cni", 1), ("pod_in_inside", 0xc0fe)] {
        leave_inside(&node, name, handle);
    }
    let filters = || node.pod.sh("tc filter show dev eth0 ingress");
    assert!(filters().contains("pod_in_inside"), "{}", filters());
    let mut agent = node.agent(Backend::Clsact, &[]);
    let (left, log) = (filters(), agent.log());
    agent.terminate();
    process.kill().and_then(|()| process.wait()).expect("its end");
    assert!(left.contains("cni") && !left.contains("pod_in_inside"), "{left}");
    assert!(log.contains("pod_in_inside@eth0, inside a pod"), "{log}");
}

#[test]
fn final_figures_wait_through_further_kills_until_an_aggregator_took_them() {
    let node = node_or_return!();
    node.agent(Backend::Tcx, &[]).kill();
    let known = node.pins();
    assert_eq!(known.len(), 1, "of the first life");
    for _ in 0..2 {
        node.agent(Backend::Tcx, &[]).kill();
        let pins = node.pins();
        assert!(pins.len() == 2 && pins.is_superset(&known), "the first life's and its own");
    }
    let aggregator = Aggregator::start(&node);
    let mut agent = node.agent(Backend::Tcx, &["--aggregator", &aggregator.address]);
    until("the first life's figures are told", || {
        node.pins().len() == 1 && node.pins().is_disjoint(&known)
    });
    agent.terminate();
    assert!(node.pins().is_empty(), "an agent that ends leaves none");
}

fn survive(node: &Node, backend: Backend) {
    let impostor = Impostor::attach(node, "cni", 1, backend);
    let requests = Requests::start(node);
    for number in 0..KILLS {
        kill_once(node, backend, number);
        if number == KILLS / 2 {
            // As when a host mounts /sys/fs/bpf again over what is pinned there.
            node.mount_bpffs();
        }
    }
    let left = node.chain(backend, POD, "ingress");
    match backend {
        Backend::Tcx => assert_eq!(left, ["cni"], "TCX links go with the process"),
        Backend::Clsact => assert_eq!(left, ["pod_out", "cni"], "a filter stays"),
    }
    let before = requests.answered();
    let mut agent = node.agent(backend, &[]);
    assert_eq!(node.chain(backend, POD, "ingress"), ["pod_out", "cni"]);
    assert_eq!(node.chain(backend, POD, "egress"), ["pod_in"]);
    assert_eq!(node.chain(backend, UPLINK, "ingress"), ["uplink_in"]);
    assert_eq!(node.chain(backend, UPLINK, "egress"), ["uplink_queue"]);
    assert!(requests.answered() > before, "requests are still answered");
    requests.finish();
    agent.terminate();
    assert_eq!(node.chain(backend, POD, "ingress"), ["cni"]);
    assert_eq!(node.chain(backend, UPLINK, "egress"), [""; 0]);
    drop(impostor);
}

/// Kills when the hooks are on, or at another moment of the start each time. The last one has its hooks on.
fn kill_once(node: &Node, backend: Backend, number: u64) {
    if (number + 1).is_multiple_of(KILLS / WITH_HOOKS) {
        node.agent(backend, &[]).kill();
        return;
    }
    let agent = node.start_agent(backend, &[]);
    thread::sleep(Duration::from_millis(number * 37 % 600));
    agent.kill();
}

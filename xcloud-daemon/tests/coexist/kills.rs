//! kill -9, a hundred times.

use std::{thread, time::Duration};

use crate::{
    harness,
    impostor::Impostor,
    load::Requests,
    node::{Backend, Node, POD, UPLINK},
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

//! The agent next to other agents' programs, through kills, drops and the kill switch: on a node of its own with one
//! pod, in network namespaces. Needs root; skips loudly without, fails in CI.

mod account;
#[path = "../kernel/harness.rs"]
mod harness;
mod impostor;
mod kills;
mod load;
mod namespace;
mod node;
mod privileges;
mod reload;

use std::{fs, time::Duration};

use impostor::Impostor;
use node::{Backend, Node, POD, UPLINK, until};

/// Both ways of attaching.
const BACKENDS: [Backend; 2] = [Backend::Tcx, Backend::Clsact];

macro_rules! node_or_return {
    () => {
        if harness::available() {
            Node::new()
        } else {
            return;
        }
    };
}
use node_or_return;

#[test]
fn whoever_comes_first_the_agent_is_first_afterwards_and_they_stay() {
    for backend in BACKENDS {
        let node = node_or_return!();
        let early = Impostor::attach(&node, "early", 1, backend);
        let mut agent = node.agent(backend, &[]);
        assert_eq!(node.chain(backend, POD, "ingress"), ["pod_out", "early"]);
        let late = Impostor::attach(&node, "late", 2, backend);
        node.await_chain(backend, POD, "ingress", &["pod_out", "late", "early"]);
        for (device, direction, program) in [
            (POD, "egress", "pod_in"),
            (UPLINK, "ingress", "uplink_in"),
            (UPLINK, "egress", "uplink_queue"),
        ] {
            assert_eq!(node.chain(backend, device, direction), [program], "{backend:?} {device}");
        }
        agent.terminate();
        assert_eq!(node.chain(backend, POD, "ingress"), ["late", "early"]);
        drop((early, late));
    }
}

#[test]
fn filters_come_back_after_another_agent_removed_the_qdisc() {
    let node = node_or_return!();
    let _agent = node.agent(Backend::Clsact, &[]);
    node.inside("tc qdisc del dev pod0 clsact");
    node.await_chain(Backend::Clsact, POD, "ingress", &["pod_out"]);
    node.await_chain(Backend::Clsact, POD, "egress", &["pod_in"]);
    let impostor = Impostor::attach(&node, "cni", 1, Backend::Clsact);
    node.await_chain(Backend::Clsact, POD, "ingress", &["pod_out", "cni"]);
    node.inside("tc filter del dev pod0 ingress");
    node.await_chain(Backend::Clsact, POD, "ingress", &["pod_out"]);
    drop(impostor);
}

#[test]
fn an_interface_where_another_agent_insists_is_left_to_it() {
    let node = node_or_return!();
    let agent = node.agent(Backend::Clsact, &[]);
    let mut impostors = vec![];
    for handle in 1..=6 {
        until("the agent is first", || node.chain(Backend::Clsact, POD, "ingress")[0] == "pod_out");
        impostors.push(Impostor::attach(&node, "pushy", handle, Backend::Clsact));
    }
    agent.await_log("another agent keeps displacing");
    assert_eq!(node.chain(Backend::Clsact, POD, "ingress"), ["pushy"; 6]);
    assert_eq!(node.chain(Backend::Clsact, POD, "egress"), [""; 0]);
    assert_eq!(node.chain(Backend::Clsact, UPLINK, "ingress"), ["uplink_in"]);
}

#[test]
fn the_kill_switch_takes_everything_off_and_its_removal_puts_it_on_again() {
    let node = node_or_return!();
    let switch = node.path("off");
    let agent = node.agent(Backend::Tcx, &["--kill-switch", switch.to_str().expect("UTF-8")]);
    assert_eq!(node.chain(Backend::Tcx, POD, "ingress"), ["pod_out"]);
    fs::write(&switch, "").expect("writing the kill switch");
    agent.await_log("all hooks are off");
    for (device, direction) in
        [(POD, "ingress"), (POD, "egress"), (UPLINK, "ingress"), (UPLINK, "egress")]
    {
        assert_eq!(node.chain(Backend::Tcx, device, direction), [""; 0], "{device} {direction}");
    }
    assert_eq!(agent.tracepoints(), 0, "the tracepoint is off, too");
    fs::remove_file(&switch).expect("removing the kill switch");
    node.await_chain(Backend::Tcx, POD, "ingress", &["pod_out"]);
    node.await_chain(Backend::Tcx, UPLINK, "egress", &["uplink_queue"]);
    agent.await_log("the hooks are on again");
    assert_eq!(agent.tracepoints(), 1);
}

#[test]
fn a_pod_whose_drops_rise_is_left_alone_and_only_that() {
    let node = node_or_return!();
    let agent = node.agent(Backend::Tcx, &[]);
    // The pod takes no packet larger than this, which the node does not know.
    node.pod.sh("ip link set eth0 mtu 500");
    let _flood = load::Flood::start(&node, 1_000, Duration::from_millis(5));
    node.await_chain(Backend::Tcx, POD, "egress", &[]);
    agent.await_log("since the programs are on, it dropped");
    assert_eq!(node.chain(Backend::Tcx, UPLINK, "ingress"), ["uplink_in"]);
    // Down and up again is the same interface.
    node.inside("ip link set pod0 down; sleep 1; ip link set pod0 up");
    agent.await_log("still left alone");
    assert_eq!(node.chain(Backend::Tcx, POD, "ingress"), [""; 0]);
}

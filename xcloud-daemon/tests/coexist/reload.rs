//! A configuration that changes while the agent measures.

use std::fs;

use crate::{
    harness,
    load::Requests,
    node::{Backend, Node, POD, UPLINK, until},
    node_or_return,
};

/// Of how many exchanges one was selected, from first to last.
fn selected(log: &str) -> Vec<u32> {
    let told = log.split("one exchange in ").skip(1);
    told.filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}

#[test]
fn another_rate_changes_the_sampling_a_wrong_file_nothing_and_nothing_is_lost() {
    let node = node_or_return!();
    let file = node.path("xcloud.yaml");
    let write = |text: &str| fs::write(&file, format!("agent:\n{text}")).expect("writable");
    write("  rate: 1000000\n");
    let mut agent = node.agent(Backend::Tcx, &["--config", file.to_str().expect("UTF-8")]);
    let requests = Requests::start(&node);
    until("some requests are answered", || requests.answered() > 100);
    // Some thousand exchanges per second, so one in several.
    write("  rate: 100\n  log-level: debug\n");
    agent.await_log("rate is 100 from now on, it was 1000000");
    agent.await_log("one exchange in ");
    write("  rate: many\n  cloud: gcp\n");
    agent.await_log("the configuration stays as it was: ");
    agent.await_log("xcloud.yaml:2:9: agent.rate: \"many\"");
    write("  rate: 1000000\n  log-level: debug\n  cloud: gcp\n");
    agent.await_log("cloud stays unknown until a restart; the file says gcp");
    until("more is selected again", || {
        let selected = selected(&agent.log());
        selected.last() < selected.iter().max()
    });
    requests.finish();
    agent.terminate();
    agent.await_log("lost: ring 0, queue 0;");
}

#[test]
fn interfaces_that_are_wanted_no_more_are_left_and_others_taken() {
    let node = node_or_return!();
    let file = node.path("xcloud.yaml");
    let write = |text: &str| fs::write(&file, format!("agent:\n{text}")).expect("writable");
    write("  rate: 1000\n");
    let agent = node.agent(Backend::Tcx, &["--config", file.to_str().expect("UTF-8")]);
    assert_eq!(node.chain(Backend::Tcx, POD, "ingress"), ["pod_out"]);
    write("  pod-interface: [other0]\n");
    node.await_chain(Backend::Tcx, POD, "ingress", &[]);
    assert_eq!(node.chain(Backend::Tcx, UPLINK, "ingress"), ["uplink_in"], "not touched");
    write("  pod-interface: ['pod*']\n");
    node.await_chain(Backend::Tcx, POD, "ingress", &["pod_out"]);
    agent.await_log("pod-interface is [\"pod*\"] from now on, it was [other0]");
}

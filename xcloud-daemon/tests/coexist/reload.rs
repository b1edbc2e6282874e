//! A configuration that changes while the agent measures.

use std::fs;

use xcloud::config::Section;

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

/// The keys that can change, and the tests here that see what they do.
const HOT: [&str; 5] = ["log-level", "pod-interface", "queue", "rate", "uplink"];

#[test]
fn every_key_that_can_change_is_tried() {
    assert_eq!(HOT, Section::Agent.hot());
}

#[test]
fn another_uplink_is_hooked_instead() {
    let node = node_or_return!();
    node.inside("ip link add other0 type veth peer name other1; ip link set other0 up; ip link set other1 up");
    let file = node.path("xcloud.yaml");
    let write = |uplink: &str| {
        // Otherwise what is no uplink any more would be taken for a pod's.
        let text = format!("agent:\n  uplink: [{uplink}]\n  pod-interface: [{POD}]\n");
        fs::write(&file, text).expect("writable");
    };
    write(UPLINK);
    let config = ["--config", file.to_str().expect("UTF-8")];
    let agent = node.start_agent_at(Backend::Tcx, &config);
    node.await_chain(Backend::Tcx, UPLINK, "ingress", &["uplink_in"]);
    write("other0");
    agent.await_log("uplink is [other0] from now on, it was [up0]");
    node.await_chain(Backend::Tcx, "other0", "ingress", &["uplink_in"]);
    node.await_chain(Backend::Tcx, UPLINK, "ingress", &[]);
}

#[test]
fn a_smaller_queue_keeps_less() {
    let node = node_or_return!();
    let file = node.path("xcloud.yaml");
    let write = |queue: u32| {
        let text = format!("agent:\n  rate: 1000000\n  queue: {queue}\n");
        fs::write(&file, text).expect("writable");
    };
    write(500_000);
    let mut agent = node.agent(Backend::Tcx, &["--config", file.to_str().expect("UTF-8")]);
    let requests = Requests::start(&node);
    // Each is an observation or more, and no aggregator takes any.
    until("more are waiting than will be kept", || requests.answered() > 5_000);
    write(4_096);
    agent.await_log("queue is 4096 from now on, it was 500000");
    let before = requests.answered();
    until("some more come", || requests.answered() > before + 500);
    requests.finish();
    agent.terminate();
    let log = agent.log();
    assert!(!log.contains("queue 0; exchanges lost"), "{log}");
}

/// Another value for each key that cannot change and that no flag of these tests gives.
const COLD: [(&str, &str); 22] = [
    ("account", "true"),
    ("bpf-stats", "true"),
    ("cloud", "gcp"),
    ("cluster", "a"),
    ("flush", "1s"),
    ("health-listen", "127.0.0.1:1"),
    ("kill-switch", "/a"),
    ("kubeconfig", "/a"),
    ("load-address", "10.0.0.1"),
    ("load-tests", "true"),
    ("log-format", "json"),
    ("metrics-listen", "127.0.0.1:1"),
    ("pod-namespaces", "false"),
    ("pod-sockets", "false"),
    ("queue-hook", "false"),
    ("region", "a"),
    ("stages", "true"),
    ("tls-ca", "/a"),
    ("tls-cert", "/a"),
    ("tls-key", "/a"),
    ("tls-server-name", "a"),
    ("zone", "a"),
];

#[test]
fn each_key_that_cannot_change_says_so() {
    let node = node_or_return!();
    let file = node.path("xcloud.yaml");
    fs::write(&file, "agent:\n  rate: 1000\n").expect("writable");
    let agent = node.agent(Backend::Tcx, &["--config", file.to_str().expect("UTF-8")]);
    let lines = COLD.map(|(key, value)| format!("  {key}: {value}\n"));
    fs::write(&file, format!("agent:\n  rate: 1000\n{}", lines.concat())).expect("writable");
    agent.await_log("zone stays ");
    let log = agent.log();
    for (key, value) in COLD {
        let (stays, says) = (format!(": {key} stays "), format!("the file says {value}"));
        let said = |line: &str| line.contains(&stays) && line.ends_with(&says);
        assert!(log.lines().any(said), "{key}\n{log}");
    }
    assert_eq!(node.chain(Backend::Tcx, UPLINK, "egress"), ["uplink_queue"], "as it was");
}

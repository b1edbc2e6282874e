//! The account of what leaves, from a pod's packets to a price.

use std::{
    net::UdpSocket,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    harness,
    node::{Backend, Node, POD, until},
    node_or_return,
};

/// Bytes of a datagram, and of its headers.
const PAYLOAD: u64 = DATAGRAM.len() as u64;
const DATAGRAM: [u8; 1_000] = [0; 1_000];
const HEADERS: u64 = 14 + 20 + 8;

/// An aggregator; dropping it kills it.
pub(crate) struct Aggregator {
    child: Child,
    pub(crate) address: String,
}

impl Aggregator {
    pub(crate) fn start(node: &Node) -> Self {
        let socket = node.path("aggregator.sock");
        let address = format!("unix:{}", socket.display());
        let child = Command::new(env!("CARGO_BIN_EXE_xcloud"))
            .args(["aggregator", "--listen", &address])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let aggregator = Self { child: child.expect("starting an aggregator"), address };
        until("the aggregator listens", || socket.exists());
        aggregator
    }

    /// What `xcloud cost` makes of what it knows; nothing before an agent told something.
    fn cost(&self, node: &Node) -> Value {
        let sites = node.path("sites.csv");
        std::fs::write(&sites, "cidr,site\n100.64.0.0/24,gcp/us-central1\n").expect("writable");
        let output = Command::new(env!("CARGO_BIN_EXE_xcloud"))
            .args(["cost", "--aggregator", &self.address, "-o", "json", "--sites"])
            .arg(sites)
            .output();
        serde_json::from_slice(&output.expect("asking").stdout).unwrap_or_default()
    }

    /// The pod's row there.
    fn row(&self, node: &Node) -> Value {
        let name = format!("coexist/{POD}");
        let cost = self.cost(node);
        let mut rows = cost["rows"].as_array().into_iter().flatten();
        rows.find(|row| row["workload"] == name).cloned().unwrap_or_default()
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(node: &Node, datagrams: u64) {
    let socket = node.pod.run(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    for _ in 0..datagrams {
        // The far host answers that nobody listens, which is an error here.
        let _ = socket.send_to(&DATAGRAM, "100.64.0.2:9");
    }
}

#[test]
fn a_pods_bytes_are_priced_by_where_they_go_through_all_lives_of_the_agent() {
    let node = node_or_return!();
    let aggregator = Aggregator::start(&node);
    let more = ["--account", "--aggregator", &aggregator.address, "--cloud", "aws"];
    let more = [&more[..], &["--region", "us-east-1"]].concat();
    let mut sent = 0;
    for datagrams in [200, 300] {
        let mut agent = node.agent(Backend::Tcx, &more);
        // Each refusal by the far host is one packet to the pod, and none to the uplink.
        send(&node, datagrams);
        sent += datagrams;
        until("the aggregator knows all of it", || {
            aggregator.row(&node)["packets"].as_u64() == Some(sent)
        });
        agent.terminate();
    }
    let row = aggregator.row(&node);
    assert_eq!(row["bytes"], sent * (PAYLOAD + HEADERS));
    assert_eq!(row["payload_bytes"], sent * PAYLOAD);
    assert_eq!((&row["to_site"], &row["path"]), (&"gcp/us-central1".into(), &"internet".into()));
    assert_eq!(row["from_site"], "aws/us-east-1");
}

#[test]
fn the_last_datagram_before_the_end_is_told() {
    let node = node_or_return!();
    let aggregator = Aggregator::start(&node);
    let more = ["--account", "--aggregator", &aggregator.address, "--cloud", "aws"];
    let mut agent = node.agent(Backend::Tcx, &[&more[..], &["--region", "us-east-1"]].concat());
    send(&node, 1);
    agent.terminate();
    assert_eq!(aggregator.row(&node)["packets"], 1);
}

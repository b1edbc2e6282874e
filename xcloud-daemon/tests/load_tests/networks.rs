//! A test runs in the networks of its endpoints, wherever the aggregator is. Needs root; skips loudly without, fails in CI.

use xcloud_proto::loadtest::v1::{LoadTestSpec, LoadTestState};

use crate::{
    harness::{Aggregator, LEAVE, Process, spec, stamp, throughput, xcloud},
    kernel,
    namespace::Namespace,
    node::{Backend, Node},
};

fn may_make_namespaces() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "network namespaces need root");
        eprintln!("SKIPPED: network namespaces need root");
    }
    root
}

fn received(namespace: &Namespace) -> u64 {
    let line = namespace.sh("sed -n 's/ *eth0: *\\([0-9]*\\).*/\\1/p' /proc/net/dev");
    line.trim().parse().unwrap_or_else(|_| panic!("{line:?} is no number"))
}

#[tokio::test]
async fn load_goes_from_namespace_to_namespace() {
    if !may_make_namespaces() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let socket = format!("unix:{}", dir.path().join("socket").display());
    let aggregator = Aggregator::start_at(&socket, LEAVE);
    let (one, other) = (Namespace::new(), Namespace::new());
    one.sh(&format!("ip link add eth0 type veth peer name eth0 netns {}", other.path()));
    one.sh("ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up");
    other.sh("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up");
    // Neither has any way to the aggregator but the socket's file.
    let _ends = [
        endpoint(&aggregator, "a", "10.9.0.1", &one),
        endpoint(&aggregator, "b", "10.9.0.2", &other),
    ];
    aggregator.await_endpoints(&["a", "b"]).await;
    let before = received(&other);
    aggregator.make(spec(throughput(), 2)).await;
    // 20 Mbit/s for 2 s, of which a busy machine may miss some.
    assert!(received(&other) - before > 3_000_000, "the load went another way");
}

#[tokio::test]
async fn an_agent_takes_part_only_when_told() {
    if !kernel::available() {
        return;
    }
    let node = Node::new();
    let socket = format!("unix:{}", node.path("socket").display());
    let aggregator = Aggregator::start_at(&socket, LEAVE);
    let _b = endpoint(&aggregator, "b", "100.64.0.2", &node.far);
    let flags = ["--aggregator", &socket, "--cloud", "aws"];
    let mut silent = node.agent(Backend::Tcx, &flags);
    silent.await_log("connected");
    aggregator.await_endpoints(&["b"]).await;
    let listed = String::from_utf8(aggregator.ask("endpoints -o csv").stdout).expect("text");
    assert_eq!(listed.lines().count(), 2, "a head and b: {listed}");
    silent.terminate();

    let told = [&flags[..], &["--load-tests", "--load-address", "100.64.0.1"]].concat();
    let mut agent = node.agent(Backend::Tcx, &told);
    aggregator.await_endpoints(&["aws::coexist", "b"]).await;
    let wish = LoadTestSpec { from: "aws::coexist".into(), ..spec(throughput(), 1) };
    let test = aggregator.make(wish.clone()).await;
    let run = aggregator.export(&[&test.id]).await.expect("a result");
    assert_eq!(&*run.trials[0].settings["from_network"], "host");

    let long = LoadTestSpec { duration: spec(stamp(), 60).duration, ..wish };
    let test = aggregator.create(long).await.expect("allowed");
    aggregator.await_running(&test.id).await;
    agent.terminate();
    assert_eq!(aggregator.end_of(&test.id).await.state(), LoadTestState::Failed);
}

fn endpoint(aggregator: &Aggregator, name: &str, address: &str, namespace: &Namespace) -> Process {
    let mut command = xcloud(&format!(
        "load endpoint --aggregator {} --name {name} --address {address} --cloud {name}",
        aggregator.address
    ));
    namespace.host(&mut command);
    Process::start(&mut command)
}

//! What the agent's threads may do once it runs, and that it says whether it is well.

use caps::{Capability, CapsHashSet};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use xcloud::access::privileges::TO_ATTACH;

use crate::{
    harness,
    node::{Backend, Node, POD, until},
    node_or_return,
};

/// A set as a number of the kernel's.
fn set(bits: u64) -> CapsHashSet {
    caps::all().into_iter().filter(|one| bits & one.bitmask() != 0).collect()
}

#[test]
fn only_the_thread_that_attaches_keeps_rights_and_it_still_attaches() {
    let node = node_or_return!();
    let mut agent = node.agent(Backend::Clsact, &["--account"]);
    let threads = agent.threads();
    let names: Vec<_> = threads.iter().map(|one| &one.name[..]).collect();
    for wanted in ["attach", "drain", "account", "xcloud"] {
        assert!(names.contains(&wanted), "there is no thread {wanted}: {names:?}");
    }
    for thread in &threads {
        assert!(thread.no_new_privileges, "{thread:?} may gain privileges");
        let rights = set(thread.permitted | thread.effective);
        if thread.name == "attach" {
            assert!(rights.contains(&Capability::CAP_NET_ADMIN), "{rights:?}");
            assert!(rights.iter().all(|one| TO_ATTACH.contains(one)), "{rights:?}");
        } else {
            assert!(rights.is_empty(), "{thread:?} still has {rights:?}");
        }
    }
    // A pod that comes later is hooked all the same, and filters that others removed come back.
    let pod = node.pod.path();
    node.inside(&format!("ip link add pod1 type veth peer name later netns {pod}"));
    node.pod.sh("ip link set later up");
    node.inside("ip link set pod1 up");
    node.await_chain(Backend::Clsact, "pod1", "ingress", &["pod_out"]);
    node.inside(&format!("tc filter del dev {POD} ingress"));
    node.await_chain(Backend::Clsact, POD, "ingress", &["pod_out"]);
    agent.terminate();
    assert_eq!(node.chain(Backend::Clsact, POD, "ingress"), [""; 0]);
}

/// What is said of a service at an address in the node's namespace; nothing if nobody answers.
fn health(node: &Node, service: &str) -> Option<ServingStatus> {
    node.node.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let channel = Endpoint::from_static("http://127.0.0.1:7180").connect().await.ok()?;
            let mut client = HealthClient::new(channel);
            let request = HealthCheckRequest { service: service.into() };
            Some(client.check(request).await.ok()?.into_inner().status())
        })
    })
}

#[test]
fn an_agent_is_ready_once_its_hooks_are_on_and_somebody_takes_what_they_see() {
    let node = node_or_return!();
    let socket = node.path("aggregator.sock");
    let address = format!("unix:{}", socket.display());
    let flags = ["--health-listen", "127.0.0.1:7180", "--aggregator", &address];
    let _agent = node.agent(Backend::Tcx, &flags);
    until("it answers", || health(&node, "liveness") == Some(ServingStatus::Serving));
    assert_eq!(
        health(&node, "readiness"),
        Some(ServingStatus::NotServing),
        "nobody takes anything"
    );
    let _aggregator = crate::account::Aggregator::start(&node);
    until("it is ready", || health(&node, "readiness") == Some(ServingStatus::Serving));
}

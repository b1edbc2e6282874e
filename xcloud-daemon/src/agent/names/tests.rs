//! Names from one source and from the other: the API and the runtime as they are asked, on loopback.

use std::{net::Ipv4Addr, path::Path, time::Instant};

use clap::Parser as _;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use xcloud_common::{sample::kind, slot::Tuple};

use super::{
    cri::tests::{Sandboxes, sandbox},
    kubernetes::tests::{Server, client_of, pod, rollout},
    *,
};
use crate::{
    cli::{Cli, Command, names::NamesArgs},
    kernel::ifaces::{Interface, LinkLayer, Role},
};

/// How long a test waits for what has to come.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// How long the API may not answer here.
const PATIENCE: Duration = Duration::from_millis(100);
const BY_API: &str = "shop/Rollout/cart/cart-5f6d8c-a";
const BY_LABELS: &str = "shop/Deployment/cart/cart-5f6d8c-a";
const LABELS: [(&str, &str); 1] = [("pod-template-hash", "5f6d8c")];

/// None known yet, on a node whose pods have these interfaces.
pub(super) fn with_interfaces(indexes: &[u32]) -> Arc<Names> {
    let names = Names::new(Pretend::new(0, 0.0, 0)).expect("a clock");
    for index in indexes {
        names.heed(&ifaces::Event::Added(Interface {
            index: *index,
            name: format!("veth{index}"),
            role: Role::Pod,
            link_layer: LinkLayer::Ethernet,
            kind: "veth".into(),
            leaves_by: vec![*index],
        }));
    }
    names.heed(&ifaces::Event::Changed);
    names
}

/// What a packet of now is named.
fn name(names: &Names, index: u32, ip: &str) -> Option<String> {
    let first_ns = clock::monotonic_ns().expect("a clock");
    let local: book::Address = mapped(ip.parse().expect(ip));
    let sample = Sample {
        first_ns,
        second_ns: 0,
        third_ns: 0,
        last_ns: first_ns,
        queue_ns: 0,
        end_seq: 1,
        tsval: 1,
        answer: 1,
        pod_ifindex: index,
        uplink_ifindex: 2,
        tuple: Tuple { local, ..Tuple::default() },
        kinds: kind::ACK,
        flags: 0,
        shift: 0,
    };
    let named = names.name(&mut vec![sample]);
    let workload = named[0].workload.as_ref()?;
    Some(format!("{}/{}/{}/{}", workload.namespace, workload.kind, workload.name, workload.pod))
}

/// Waits until a packet of now is named so; returns what else it was named until then.
pub(super) async fn named(
    names: &Names,
    index: u32,
    ip: &str,
    wanted: Option<&str>,
) -> Vec<String> {
    let mut before = Vec::new();
    let waited = async {
        loop {
            let named = name(names, index, ip);
            if named.as_deref() == wanted {
                return;
            }
            before.extend(named);
            sleep(Duration::from_millis(5)).await;
        }
    };
    let came = timeout(SOON, waited).await;
    assert!(came.is_ok(), "{ip} is named {:?}, not {wanted:?}", name(names, index, ip));
    before
}

/// A node with the pod `cart-5f6d8c-a` at 10.0.0.1 behind interface 7, its runtime, and the API's port.
struct Node {
    names: Arc<Names>,
    listener: TcpListener,
    sandboxes: Sandboxes,
    api: Server,
    _runtime: AbortOnDropHandle<()>,
    _following: AbortOnDropHandle<()>,
    _directory: TempDir,
}

async fn node() -> Node {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("cri.sock");
    let sandboxes = Sandboxes::default();
    sandboxes.all().push((sandbox("1", "cart-5f6d8c-a", &LABELS), "10.0.0.1".into()));
    let runtime = sandboxes.serve(&socket);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let client = client_of(listener.local_addr().expect("bound"));
    let names = with_interfaces(&[7, 8]);
    let (of, args) = (Arc::clone(&names), args(&socket));
    let following = async move { sources::both(&of, client, &args, "n1", PATIENCE).await };
    Node {
        names,
        listener,
        sandboxes,
        api: Server::new(vec![pod("cart-5f6d8c-a", "10.0.0.1")], Some(rollout())),
        _runtime: runtime,
        _following: AbortOnDropHandle::new(tokio::spawn(following)),
        _directory: directory,
    }
}

fn args(socket: &Path) -> NamesArgs {
    let socket = socket.to_str().expect("a path");
    let line = ["xcloud", "agent", "--cri-socket", socket];
    let Command::Agent(args) = Cli::try_parse_from(line).expect("a command").command else {
        panic!("not the agent");
    };
    args.names
}

fn serve(api: &Server, listener: TcpListener) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(api.clone().serve(listener)))
}

#[tokio::test]
async fn while_the_api_does_not_answer_the_runtime_names_pods_and_then_the_api_does() {
    let node = node().await;
    // The port takes connections, and nobody answers.
    named(&node.names, 7, "10.0.0.1", Some(BY_LABELS)).await;
    let _api = serve(&node.api, node.listener);
    let before = named(&node.names, 7, "10.0.0.1", Some(BY_API)).await;
    assert!(before.iter().all(|name| name == BY_LABELS), "{before:?}");
    // What the runtime tells does not count any more.
    node.sandboxes.all()[0].1 = "10.0.0.9".into();
    node.sandboxes.all()[0].0.id = "2".into();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(name(&node.names, 7, "10.0.0.1").as_deref(), Some(BY_API));
}

#[tokio::test]
async fn when_the_api_is_lost_what_it_told_is_kept_and_the_runtime_tells_new_pods() {
    let node = node().await;
    let address = node.listener.local_addr().expect("bound");
    let api = serve(&node.api, node.listener);
    named(&node.names, 7, "10.0.0.1", Some(BY_API)).await;
    drop(api);
    let new = sandbox("2", "cart-5f6d8c-b", &LABELS);
    node.sandboxes.all().push((new, "10.0.0.2".into()));
    named(&node.names, 8, "10.0.0.2", Some("shop/Deployment/cart/cart-5f6d8c-b")).await;
    assert_eq!(name(&node.names, 7, "10.0.0.1").as_deref(), Some(BY_API));
    // The first pod's address went to the second while only the runtime told it.
    *node.sandboxes.all() = vec![(sandbox("3", "cart-5f6d8c-b", &LABELS), "10.0.0.1".into())];
    named(&node.names, 7, "10.0.0.1", Some("shop/Deployment/cart/cart-5f6d8c-b")).await;
    *node.api.pods.lock().expect("sound") = vec![pod("cart-5f6d8c-b", "10.0.0.1")];
    let listener = TcpListener::bind(address).await.expect("the port again");
    let _api = serve(&node.api, listener);
    let before = named(&node.names, 7, "10.0.0.1", Some("shop/Rollout/cart/cart-5f6d8c-b")).await;
    assert!(before.iter().all(|name| name.ends_with("cart-5f6d8c-b")), "{before:?}");
}

#[test]
fn a_pod_older_than_the_agent_is_named_by_the_runtime_from_the_first_look_on() {
    let names = with_interfaces(&[7]);
    let asked = Instant::now();
    names.learn(
        Source::Runtime,
        Learnt::Pod {
            uid: "1".into(),
            created: 1,
            addresses: vec!["10.0.0.1".parse().expect("one")],
            ending: false,
            ran_ago: Some(asked.elapsed()),
            workload: Arc::new(Workload { pod: "a".into(), ..Workload::default() }),
        },
    );
    assert_eq!(name(&names, 7, "10.0.0.1"), None, "it has not told all of them yet");
    assert!(names.rely_on(Source::Runtime));
    assert_eq!(name(&names, 7, "10.0.0.1").as_deref(), Some("///a"));
}

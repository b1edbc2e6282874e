//! A test runs in the networks of its endpoints, wherever the aggregator is. Needs root; skips loudly without, fails in CI.

use xcloud_proto::loadtest::v1::{
    CreateLoadTestRequest, ListEndpointsRequest, LoadTestState, WatchLoadTestRequest,
    load_test_service_client::LoadTestServiceClient, watch_load_test_response::News,
};

use crate::{
    harness::{LEAVE, Process, spec, throughput, until, xcloud},
    namespace::Namespace,
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
    let socket = dir.path().join("socket");
    let aggregator = format!("unix:{}", socket.display());
    let process = Process::start(&mut xcloud(&format!("aggregator --listen {aggregator} {LEAVE}")));
    process.await_word("listening on");
    let (one, other) = (Namespace::new(), Namespace::new());
    one.sh(&format!("ip link add eth0 type veth peer name eth0 netns {}", other.path()));
    one.sh("ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up");
    other.sh("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up");
    // Neither has any way to the aggregator but the socket's file.
    let endpoint = |name: &str, address: &str, namespace: &Namespace| {
        let mut command = xcloud(&format!(
            "load endpoint --aggregator {aggregator} --name {name} --address {address} --cloud {name}"
        ));
        namespace.host(&mut command);
        Process::start(&mut command)
    };
    let _ends = [endpoint("a", "10.9.0.1", &one), endpoint("b", "10.9.0.2", &other)];
    let path = socket.clone();
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    let transport = tonic::transport::Endpoint::from_static("http://localhost");
    let channel = transport.connect_with_connector(connector).await.expect("it answers");
    let mut client = LoadTestServiceClient::new(channel);
    loop {
        let all = client.list_endpoints(ListEndpointsRequest {}).await.expect("allowed");
        if all.into_inner().endpoints.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let before = received(&other);
    let request = CreateLoadTestRequest { spec: Some(spec(throughput(), 2)), validate_only: false };
    let test = client.create_load_test(request).await.expect("allowed").into_inner().test;
    let id = test.expect("a test").id;
    let news = client.watch_load_test(WatchLoadTestRequest { id }).await.expect("a known test");
    let mut news = news.into_inner();
    let mut last = None;
    while let Some(told) = news.message().await.expect("news") {
        if let Some(News::Test(test)) = told.news {
            last = Some(test);
        }
    }
    let last = last.expect("an end");
    assert_eq!((last.state(), &*last.error), (LoadTestState::Done, ""), "{last:?}");
    // 20 Mbit/s for 2 s, of which a busy machine may miss some.
    until("the load's bytes", || received(&other) - before > 3_000_000);
}

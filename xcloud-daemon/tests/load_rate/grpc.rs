//! Calls: of our responder, of tonic's server, and tonic's calls of our responder.

use std::{net::SocketAddr, sync::mpsc, thread};

use tokio::runtime::Builder;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{Responder, count, load, quantile_ms};

/// By how much a busy machine may delay an answer beyond the delay that was injected.
const MOST_LATE_MS: u64 = 80;

#[test]
fn a_call_says_what_the_responder_does() {
    let responder = Responder::start();
    let address = responder.address;
    for words in ["-c 20", "-c 2 -s 10 -r 10,100000", "-c 1 -s 100 -r 100000,10"] {
        let trial = load(&format!("grpc http://{address} {words} --delay 20ms -R 200 -d 1s"));
        assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (200, 200), "{words}");
        let fastest = quantile_ms(&trial, "service", 0.0);
        assert!((20..20 + MOST_LATE_MS).contains(&fastest), "{words}: {fastest} ms");
    }
    let trial = load(&format!("grpc http://{address} --status 14 -R 200 -c 5 -s 4 -d 1s"));
    assert_eq!((count(&trial, "failed_status"), count(&trial, "grpc_status_14")), (200, 200));
    let trial = load(&format!("grpc http://{address}/no.Such/Method -R 50 -d 1s"));
    assert_eq!(count(&trial, "grpc_status_12"), 50);
}

#[test]
fn a_page_is_asked_for_over_http2_too() {
    let responder = Responder::start();
    let url = responder.url("size=100000&delay=20ms");
    let trial = load(&format!("http {url} --http2 -R 200 -c 2 -s 10 -d 1s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (200, 200));
    let url = responder.url("status=503");
    let trial = load(&format!("http {url} --http2 -R 200 -c 5 -d 1s"));
    assert_eq!((count(&trial, "failed_status"), count(&trial, "done")), (200, 0));
}

#[test]
fn calls_that_share_connections_do_not_wait_for_each_other() {
    let responder = Responder::start();
    let address = responder.address;
    // Fifty calls are always under way: as many as two connections carry.
    let trial = load(&format!("grpc http://{address} --delay 100ms -R 500 -c 2 -s 100 -d 2s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (1_000, 1_000));
    let p50 = quantile_ms(&trial, "response", 0.5);
    assert!((100..100 + MOST_LATE_MS).contains(&p50), "{p50} ms");
    // One connection with one call at a time carries ten in a second.
    let trial = load(&format!("grpc http://{address} --delay 100ms -c 1 -s 1 -d 1s"));
    assert!((1..=10).contains(&count(&trial, "done")), "{:?}", trial.metrics);
    let trial = load(&format!("grpc http://{address} --delay 100ms -c 1 -s 20 -d 1s"));
    assert!((20..=200).contains(&count(&trial, "done")), "{:?}", trial.metrics);
}

/// A health service by tonic, as long as the test lives.
fn tonic_server() -> SocketAddr {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            send.send(listener.local_addr().expect("bound")).expect("awaited");
            let (_health, service) = tonic_health::server::health_reporter();
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await
        })
    });
    receive.recv().expect("it listens")
}

#[test]
fn tonics_server_is_understood() {
    let address = tonic_server();
    for words in ["-c 4", "-c 2 -s 20"] {
        let trial = load(&format!("grpc http://{address} -R 500 {words} -d 1s"));
        assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (500, 500), "{words}");
    }
    let trial = load(&format!("grpc http://{address}/grpc.health.v1.Health/Check -c 2 -s 5 -d 1s"));
    assert_eq!(count(&trial, "done"), count(&trial, "scheduled"));
    let trial = load(&format!("grpc http://{address}/no.Such/Method -R 100 -d 1s"));
    assert_eq!((count(&trial, "failed_status"), count(&trial, "grpc_status_12")), (100, 100));
}

#[test]
fn a_message_from_a_file_arrives() {
    let address = tonic_server();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("message");
    // Field 1, a service that the server has not heard of.
    std::fs::write(&path, b"\x0a\x03a.B").expect("writable");
    let trial = load(&format!("grpc http://{address} --message @{} -R 50 -d 1s", path.display()));
    assert_eq!(count(&trial, "grpc_status_5"), 50, "{:?}", trial.metrics);
    std::fs::write(&path, b"\x0a\xff").expect("writable");
    let trial = load(&format!("grpc http://{address} --message @{} -R 50 -d 1s", path.display()));
    assert_eq!(count(&trial, "failed_status"), 50, "{:?}", trial.metrics);
}

#[test]
fn tonics_client_understands_our_responder() {
    let responder = Responder::start();
    let address = responder.address;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let mut client = HealthClient::new(endpoint.connect().await.expect("there"));
        for _ in 0..20 {
            let request = Request::new(HealthCheckRequest { service: "a".repeat(1_000) });
            let answer = client.check(request).await.expect("served");
            assert_eq!(answer.into_inner().status, 1);
        }
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.metadata_mut().insert("xcloud-status", "7".parse().expect("a value"));
        let refused = client.check(request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::PermissionDenied);
    });
}

//! The port where an aggregator says whether it is well, and what it gave up.

use std::{fs, net::TcpListener};

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use xcloud::cli::access::TlsArgs;

use crate::harness::{Aggregator, ask, caller, connect, secured};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn health_is_answered_in_plaintext_and_nothing_else() {
    let port = free_port();
    let (_authority, _aggregator) = secured(&format!("--health-listen 127.0.0.1:{port}"));
    let at = ([127, 0, 0, 1], port).into();
    let channel = connect(&caller(&TlsArgs::default()), at).await.expect("it listens");
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "liveness", "readiness"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await;
        assert_eq!(answer.expect("an answer").into_inner().status(), ServingStatus::Serving);
    }
    let status = ask(channel).await.expect_err("there is nothing else");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[test]
fn an_aggregator_that_listens_has_no_rights_left() {
    let aggregator = Aggregator::start("");
    let tasks = fs::read_dir(format!("/proc/{}/task", aggregator.id())).expect("its threads");
    for task in tasks {
        let status = fs::read_to_string(task.expect("a thread").path().join("status"));
        let status = status.expect("its status");
        for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set));
            assert_eq!(line.map(str::trim), Some("0000000000000000"), "{set} {status}");
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
}

//! Agents that are bound to their nodes by the names in their certificates, and streams that are somebody's.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use xcloud_proto::{
    common::v1::Site,
    ingest::v1::{
        Hello, StreamBatchesRequest, StreamBatchesResponse,
        ingest_service_client::IngestServiceClient, stream_batches_request::Message,
    },
    loadtest::v1::{
        AttendRequest, LoadEndpoint, Network, attend_request,
        endpoint_service_client::EndpointServiceClient,
    },
};

use crate::{
    authority::{Authority, NOW, Secret},
    harness::{AGGREGATOR, Aggregator, caller, connect},
};

const BOUND: &str = "--role agent=spiffe://test/node/{node}";

fn aggregator(authority: &Authority, flags: &str) -> (Aggregator, Secret) {
    let secret = Secret::new(&authority.issue(&AGGREGATOR, NOW), authority.pem());
    (Aggregator::start(&format!("{} {flags}", secret.flags())), secret)
}

fn secret(authority: &Authority, name: &str) -> Secret {
    Secret::new(&authority.issue(&[name], NOW), authority.pem())
}

fn site(node: &str) -> Site {
    Site { cloud: "aws".into(), node: node.into(), ..Site::default() }
}

/// A stream whose hello was taken.
struct Open {
    _requests: mpsc::Sender<StreamBatchesRequest>,
    answers: Streaming<StreamBatchesResponse>,
}

/// Streams as an agent of a node, in this life of it.
async fn stream(
    mine: &Secret,
    to: SocketAddr,
    (agent_id, node, boot): (&str, &str, u8),
) -> Result<Open, Status> {
    let channel = connect(&caller(&mine.args()), to).await.expect("believed");
    let hello = Hello {
        agent_id: agent_id.into(),
        boot_id: vec![boot; 16],
        site: Some(site(node)),
        first_sequence: 1,
        ..Hello::default()
    };
    let (requests, receiver) = mpsc::channel(1);
    let request = StreamBatchesRequest { message: Some(Message::Hello(hello)) };
    requests.send(request).await.expect("room");
    let mut client = IngestServiceClient::new(channel);
    let mut answers = client.stream_batches(ReceiverStream::new(receiver)).await?.into_inner();
    answers.message().await?.expect("an answer");
    Ok(Open { _requests: requests, answers })
}

/// Attends as an endpoint of a node; returns what is answered.
async fn attend(mine: &Secret, to: SocketAddr, name: &str, node: &str) -> Result<(), Status> {
    let channel = connect(&caller(&mine.args()), to).await.expect("believed");
    let hello = LoadEndpoint {
        name: name.into(),
        site: Some(site(node)),
        network: Network::Host.into(),
        address: vec![127, 0, 0, 1],
        version: "1".into(),
    };
    let request = AttendRequest { message: Some(attend_request::Message::Hello(hello)) };
    let mut client = EndpointServiceClient::new(channel);
    client.attend(tokio_stream::once(request)).await?.into_inner().message().await.map(drop)
}

#[tokio::test]
async fn an_agent_streams_for_the_node_in_its_certificate_and_for_no_other() {
    let authority = Authority::new();
    let (mut aggregator, _files) = aggregator(&authority, &format!("{BOUND} --allow-load-tests"));
    let (at, mine) = (aggregator.address, secret(&authority, "spiffe://test/node/n1"));
    stream(&mine, at, ("aws::n1", "n1", 1)).await.expect("its own");
    attend(&mine, at, "aws::n1", "n1").await.expect("its own");
    for (agent_id, node) in [("aws::n2", "n2"), ("aws::n2", "n1"), ("aws::n1", "n2"), ("n1", "n1")]
    {
        for _ in 0..3 {
            let refused = [
                stream(&mine, at, (agent_id, node, 1)).await.err(),
                attend(&mine, at, agent_id, node).await.err(),
            ];
            for status in refused {
                let status = status.expect(agent_id);
                assert_eq!(status.code(), Code::PermissionDenied, "{status}");
                let says = format!(
                    "bound to node \"n1\" and says that it is agent {agent_id:?} of node {node:?}"
                );
                assert!(status.message().contains(&says), "{status}");
            }
        }
    }
    aggregator.await_word("refused 127.0.0.1 (spiffe://test/node/n1)");
    assert_eq!(aggregator.lines_with("refused"), 1, "{}", aggregator.said());
}

#[tokio::test]
async fn a_name_that_is_no_nodes_has_no_role_at_all() {
    let authority = Authority::new();
    let (aggregator, _files) = aggregator(&authority, BOUND);
    for name in ["spiffe://test/node/", "spiffe://test/node/n1/x", "spiffe://test/node/*"] {
        let mine = secret(&authority, name);
        let refused = stream(&mine, aggregator.address, ("aws::n1", "n1", 1)).await;
        let status = refused.err().expect(name);
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains("takes the role agent"), "{status}");
    }
}

#[tokio::test]
async fn a_stream_is_taken_over_by_its_own_certificates_name_only() {
    let authority = Authority::new();
    let (mut aggregator, _files) = aggregator(&authority, "--role agent=spiffe://test/agent/*");
    let at = aggregator.address;
    let [mine, other] =
        ["spiffe://test/agent/a", "spiffe://test/agent/b"].map(|name| secret(&authority, name));
    let mut open = stream(&mine, at, ("aws::n1", "n1", 1)).await.expect("free");
    let status = stream(&other, at, ("aws::n1", "n1", 2)).await.err().expect("it is taken");
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    for name in ["aws::n1", "spiffe://test/agent/a", "spiffe://test/agent/b"] {
        assert!(status.message().contains(name), "{status}");
    }
    aggregator.await_word("refused 127.0.0.1 (spiffe://test/agent/b)");
    // A renewed certificate of the same name.
    let renewed = secret(&authority, "spiffe://test/agent/a");
    let second = stream(&renewed, at, ("aws::n1", "n1", 1)).await.expect("its own");
    let replaced = open.answers.message().await.expect_err("replaced");
    assert_eq!(replaced.code(), Code::Aborted, "{replaced}");
    // Once nobody streams under the name it is free.
    drop(second);
    while let Err(status) = stream(&other, at, ("aws::n1", "n1", 2)).await {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
}

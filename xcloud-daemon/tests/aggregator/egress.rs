//! What agents tell of bytes that left their nodes, and where the aggregator knows them to go.

use xcloud_proto::{
    common::v1::{EgressKind, EgressRow, EgressSums, Site},
    ingest::v1::{Egress, SampleBatch},
    observer::v1::{NodeEgress, QueryEgressRequest, SiteFilter},
};

use crate::harness::{Agent, Server, batch, far, hello, near};

fn sums(bytes: u64) -> EgressSums {
    EgressSums { wire_bytes: bytes, packets: 1, payload_bytes: 0 }
}

fn row(kind: EgressKind, destination: &[u8], bytes: u64) -> EgressRow {
    EgressRow {
        uplink: "eth0".into(),
        source: vec![10; 4],
        destination: destination.into(),
        kind: kind.into(),
        sums: Some(sums(bytes)),
        ..EgressRow::default()
    }
}

/// A batch that tells of rows beside its samples, and of the node's own address.
fn telling(batch: SampleBatch, rows: Vec<EgressRow>, address: [u8; 4]) -> SampleBatch {
    let bytes = rows.iter().filter_map(|row| row.sums).map(|sums| sums.wire_bytes).sum();
    let packets = rows.len() as u64;
    let totals = Some(EgressSums { packets, ..sums(bytes) });
    let egress = Egress { counted_for_ns: 5, rows, totals, addresses: vec![address.into()] };
    SampleBatch { egress: Some(egress), ..batch }
}

async fn ask(server: &Server, cloud: &str) -> Vec<NodeEgress> {
    let near = Some(SiteFilter { cloud: cloud.into(), ..SiteFilter::default() });
    let answer = server.observer().await.query_egress(QueryEgressRequest { near }).await;
    answer.expect("an answer").into_inner().nodes
}

/// Clouds that the paths of a node lead to, by bytes.
fn clouds(node: &NodeEgress) -> Vec<(u64, String)> {
    let cloud =
        |site: &Option<Site>| site.as_ref().map_or(String::new(), |site| site.cloud.clone());
    let bytes = |row: &Option<EgressRow>| row.as_ref().and_then(|row| row.sums).unwrap_or_default();
    node.paths
        .iter()
        .map(|path| (bytes(&path.row).wire_bytes, cloud(&path.destination_site)))
        .collect()
}

#[tokio::test]
async fn a_destination_is_where_joined_exchanges_show_it_and_else_unknown() {
    let server = Server::start().await;
    let mut aws = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    let mut gcp = Agent::connect(&server, hello("gcp-b", 2, 1)).await;
    assert_eq!((aws.acked().await.ok(), gcp.acked().await.ok()), (Some(0), Some(0)));
    let rows = vec![
        // The peer of the exchanges below, the other node's own address, and one that nobody knows.
        row(EgressKind::Plain, &[20; 16], 400),
        row(EgressKind::Carried, &[192, 0, 2, 2], 300),
        row(EgressKind::Plain, &[192, 0, 2, 2], 200),
        row(EgressKind::Plain, &[198, 51, 100, 1], 100),
    ];
    let told = telling(batch(1, 0, &[near(1)]), rows, [192, 0, 2, 1]);
    assert_eq!(aws.batch(told).await.ok(), Some(1));
    let before = ask(&server, "aws").await;
    assert!(clouds(&before[0]).iter().all(|(_, cloud)| cloud.is_empty()), "{before:?}");
    let there = telling(batch(1, 0, &[far(1)]), vec![], [192, 0, 2, 2]);
    assert_eq!(gcp.batch(there).await.ok(), Some(1));
    let nodes = ask(&server, "aws").await;
    assert_eq!(nodes.len(), 1, "only the site asked for");
    assert_eq!(nodes[0].counted_for_ns, 5);
    let found = clouds(&nodes[0]);
    let wanted = [(400, "gcp"), (300, "gcp"), (200, ""), (100, "")];
    assert_eq!(found, wanted.map(|(bytes, cloud)| (bytes, cloud.to_owned())));
    server.stop().await;
}

#[tokio::test]
async fn the_same_told_on_a_new_stream_counts_once() {
    let server = Server::start().await;
    for sequence in 1..4 {
        let mut agent = Agent::connect(&server, hello("aws-a", 1, sequence)).await;
        assert!(agent.acked().await.is_ok());
        let rows = vec![row(EgressKind::Plain, &[1, 1, 1, 1], 100)];
        let told = telling(batch(sequence, 0, &[]), rows, [192, 0, 2, 1]);
        assert_eq!(agent.batch(told).await.ok(), Some(sequence));
    }
    let nodes = ask(&server, "").await;
    assert_eq!(clouds(&nodes[0]), [(100, String::new())]);
    let mut agent = Agent::connect(&server, hello("aws-a", 2, 1)).await;
    assert!(agent.acked().await.is_ok());
    let rows = vec![row(EgressKind::Plain, &[1, 1, 1, 1], 30)];
    let told = telling(batch(1, 0, &[]), rows, [192, 0, 2, 1]);
    assert_eq!(agent.batch(told).await.ok(), Some(1));
    let nodes = ask(&server, "").await;
    assert_eq!((clouds(&nodes[0]), nodes[0].counted_for_ns), (vec![(130, String::new())], 10));
}

#[tokio::test]
async fn rows_that_no_node_has_are_refused() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert!(agent.acked().await.is_ok());
    let rows = vec![row(EgressKind::Rest, &[], 100)];
    let refusal = agent.batch(telling(batch(1, 0, &[]), rows, [192, 0, 2, 1])).await;
    assert_eq!(refusal.expect_err("refused").code(), tonic::Code::InvalidArgument);
    assert!(ask(&server, "").await.is_empty());
}

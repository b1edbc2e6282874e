//! What a scrape says of workloads, from agents' batches to Prometheus's text.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use xcloud::{
    measure::{cumulative::Limits, tier::Tier},
    metrics::{aggregator::Aggregator, http::Endpoint},
};

use crate::{
    harness::{Agent, Server, far, hello, near},
    names::{named, shop},
};

/// A server that sums as finely as this, for at most so many paths.
async fn server(tier: Tier, most: usize) -> Server {
    let server = Server::start().await;
    server.hub.keep_cumulative(Limits { tier, most, idle_ns: u64::MAX });
    server
}

/// Values by name and labels, as a scrape tells them.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = endpoint.address().expect("bound");
    let source = Aggregator { hub: Arc::clone(&server.hub), exports: Arc::default() };
    let serving = tokio::spawn(endpoint.serve(Arc::new(source)));
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // By 1.0, in which no answer has marks between its pieces.
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n").await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer in UTF-8");
    serving.abort();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let pairs = samples.map(|line| line.rsplit_once(' ').expect("a name and a value"));
    let all: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.parse())).collect();
    let count = all.len();
    let told: BTreeMap<_, _> =
        all.into_iter().map(|(name, value)| (name, value.expect("a number"))).collect();
    assert_eq!(told.len(), count, "no series comes twice");
    told
}

/// The series of a metric and a kind of exchange, with the labels that matter here.
fn series(told: &BTreeMap<String, f64>, name: &str, kind: &str) -> Vec<String> {
    let kind = format!("kind=\"{kind}\"");
    let of = told.iter().filter(|(one, _)| one.starts_with(name) && one.contains(&kind));
    of.map(|(one, value)| {
        let labels = one.split(['{', '}']).nth(1).unwrap_or_default().replace(&kind, "");
        format!("{value}: {}", labels.trim_end_matches(','))
    })
    .collect()
}

#[tokio::test]
async fn the_workload_tier_tells_workloads_apart_and_no_nodes() {
    let server = server(Tier::Workload, 100).await;
    let _agents = shop(&server).await;
    let told = scrape(&server).await;
    let counts = series(&told, "xcloud_exchange_latency_seconds_count", "ack");
    insta::assert_snapshot!(counts.join("\n"), @r#"
    2: near_cloud="aws",near_region="unknown",near_cluster="unknown",near_namespace="shop",near_workload_kind="Deployment",near_workload="cart",far_cloud="gcp",far_region="unknown",far_cluster="unknown",far_namespace="shop",far_workload_kind="Deployment",far_workload="mail"
    3: near_cloud="aws",near_region="unknown",near_cluster="unknown",near_namespace="shop",near_workload_kind="Deployment",near_workload="cart",far_cloud="gcp",far_region="unknown",far_cluster="unknown",far_namespace="shop",far_workload_kind="Deployment",far_workload="pay"
    1: near_cloud="aws",near_region="unknown",near_cluster="unknown",near_namespace="unknown",near_workload_kind="unknown",near_workload="unknown",far_cloud="gcp",far_region="unknown",far_cluster="unknown",far_namespace="unknown",far_workload_kind="unknown",far_workload="unknown"
    "#);
    assert_eq!(told["xcloud_metrics_series_cut"], 0.0);
}

#[tokio::test]
async fn the_pair_tier_tells_nodes_apart_too() {
    let server = server(Tier::Pair, 100).await;
    let _agents = shop(&server).await;
    let told = scrape(&server).await;
    let pay = series(&told, "xcloud_exchange_latency_seconds_count", "ack").remove(1);
    insta::assert_snapshot!(pay, @r#"3: near_cloud="aws",near_region="unknown",near_zone="unknown",near_cluster="unknown",near_node="a",near_namespace="shop",near_workload_kind="Deployment",near_workload="cart",far_cloud="gcp",far_region="unknown",far_zone="unknown",far_cluster="unknown",far_node="b",far_namespace="shop",far_workload_kind="Deployment",far_workload="pay""#);
}

#[tokio::test]
async fn workloads_beyond_the_cap_are_summed_and_counted_and_the_sum_stays_right() {
    let server = server(Tier::Workload, 2).await;
    let _agents = shop(&server).await;
    let told = scrape(&server).await;
    // Three pairs of workloads with two kinds of exchange each.
    assert_eq!(told["xcloud_metrics_series"], 2.0);
    assert_eq!(told["xcloud_metrics_series_cut"], 4.0);
    for name in ["xcloud_exchange_latency_seconds_count", "xcloud_path_represented_exchanges_total"]
    {
        let all: Vec<_> = told.iter().filter(|(one, _)| one.starts_with(name)).collect();
        let cut = all.iter().filter(|(one, _)| one.contains("near_workload=\"other\""));
        assert_eq!(cut.count(), 2, "one of each kind: {all:?}");
        assert_eq!(all.iter().map(|(_, count)| **count).sum::<f64>(), 12.0, "{all:?}");
    }
}

#[tokio::test]
async fn a_name_with_quotes_stays_one_label() {
    let server = server(Tier::Workload, 100).await;
    let mut aws = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    let mut gcp = Agent::connect(&server, hello("gcp-b", 2, 1)).await;
    assert_eq!((aws.acked().await.ok(), gcp.acked().await.ok()), (Some(0), Some(0)));
    let name = r#"a",far_cloud="x"} 7 \n\"#;
    assert_eq!(aws.batch(named(&[(near(1), name)])).await.ok(), Some(1));
    assert_eq!(gcp.batch(named(&[(far(1), "käse🦀")])).await.ok(), Some(1));
    let told = scrape(&server).await;
    let escaped = r#"near_workload="a\",far_cloud=\"x\"} 7 \\n\\""#;
    let wanted = ["xcloud_exchange_latency_seconds_count", escaped, "far_workload=\"käse🦀\""];
    let found = told.keys().filter(|one| wanted.iter().all(|part| one.contains(part)));
    assert_eq!(found.count(), 2, "one of each kind: {:?}", told.keys());
}

//! Names of workloads from agents' batches to answers.

use std::sync::Arc;

use tonic::Code;
use xcloud::{
    measure::workload::Keep,
    report::{Report, csv::csv, json::json, table::table},
    wire::{convert, outbox::Named},
};
use xcloud_common::sample::Sample;
use xcloud_proto::{
    common::v1::Workload,
    ingest::v1::SampleBatch,
    observer::v1::{
        ExchangeFilter, GroupBy, PathSplit, QuerySplitRequest, WatchExchangesRequest,
        WorkloadFilter, watch_exchanges_response::Item,
    },
};

use crate::harness::{Agent, Server, batch, far, hello, near};

fn workload(name: &str) -> Workload {
    Workload {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: name.into(),
        pod: format!("{name}-x2x7k"),
    }
}

/// A batch whose samples are of pods of these workloads; an empty name is not known.
pub(crate) fn named(samples: &[(Sample, &str)]) -> SampleBatch {
    let all: Vec<_> = samples.iter().map(|(sample, _)| *sample).collect();
    let named: Vec<_> = samples
        .iter()
        .map(|(sample, name)| Named {
            sample: *sample,
            workload: (!name.is_empty()).then(|| Arc::new(workload(name))),
        })
        .collect();
    let columns = convert::encode(&named);
    SampleBatch {
        workloads: columns.workloads,
        connections: columns.connections,
        connection: columns.connection,
        ..batch(1, 0, &all)
    }
}

/// Two agents, three exchanges of `cart` with `pay`, two of `cart` with `mail`, and one of which nothing is known.
pub(crate) async fn shop(server: &Server) -> [Agent; 2] {
    let mut aws = Agent::connect(server, hello("aws-a", 1, 1)).await;
    let mut gcp = Agent::connect(server, hello("gcp-b", 2, 1)).await;
    assert_eq!((aws.acked().await.ok(), gcp.acked().await.ok()), (Some(0), Some(0)));
    let whose = [
        ("cart", "pay"),
        ("cart", "pay"),
        ("cart", "pay"),
        ("cart", "mail"),
        ("cart", "mail"),
        ("", ""),
    ];
    let ends = || (1..).zip(whose);
    let nears: Vec<_> = ends().map(|(end, (name, _))| (near(end), name)).collect();
    let fars: Vec<_> = ends().map(|(end, (_, name))| (far(end), name)).collect();
    assert_eq!(aws.batch(named(&nears)).await.ok(), Some(1));
    assert_eq!(gcp.batch(named(&fars)).await.ok(), Some(1));
    [aws, gcp]
}

fn ask(by: GroupBy, filter: ExchangeFilter) -> QuerySplitRequest {
    let filter = Some(ExchangeFilter { kinds: vec![2], ..filter });
    QuerySplitRequest { filter, group_by: by.into(), ..QuerySplitRequest::default() }
}

async fn paths(server: &Server, by: GroupBy, filter: ExchangeFilter) -> Vec<PathSplit> {
    let answer = server.observer().await.query_split(ask(by, filter)).await;
    answer.expect("an answer").into_inner().paths
}

fn told(paths: &[PathSplit]) -> Vec<(String, String, u64)> {
    let name = |workload: &Option<Workload>| workload.clone().unwrap_or_default().name;
    let one = |path: &PathSplit| (name(&path.near_workload), name(&path.far_workload), path.joined);
    paths.iter().map(one).collect()
}

#[tokio::test]
async fn workloads_tell_paths_apart_when_asked_to() {
    let server = Server::start().await;
    let _agents = shop(&server).await;
    let none = ExchangeFilter::default;
    let by_node = paths(&server, GroupBy::Node, none()).await;
    assert_eq!(told(&by_node), [(String::new(), String::new(), 6)]);
    assert_eq!(by_node[0].near_workload, None, "nothing about names was asked");
    let by_workload = paths(&server, GroupBy::Workload, none()).await;
    let wanted = [("", "", 1), ("cart", "mail", 2), ("cart", "pay", 3)];
    assert_eq!(told(&by_workload), wanted.map(|(a, b, n)| (a.to_owned(), b.to_owned(), n)));
    assert_eq!(by_workload[1].near.as_ref().expect("a site").node, "", "nodes are merged");
    let by_namespace = paths(&server, GroupBy::Namespace, none()).await;
    let namespaces: Vec<_> = by_namespace
        .iter()
        .map(|path| (path.near_workload.clone().unwrap_or_default().namespace, path.joined))
        .collect();
    assert_eq!(namespaces, [(String::new(), 1), ("shop".into(), 5)]);
    server.status().await;
}

#[tokio::test]
async fn filters_select_workloads_and_what_is_not_known() {
    let server = Server::start().await;
    let _agents = shop(&server).await;
    let far = |name: &str| ExchangeFilter {
        far_workload: Some(WorkloadFilter { name: name.into(), ..WorkloadFilter::default() }),
        ..ExchangeFilter::default()
    };
    let joined = async |name: &str| {
        paths(&server, GroupBy::Node, far(name)).await.iter().map(|path| path.joined).sum::<u64>()
    };
    assert_eq!((joined("pay").await, joined("mail").await), (3, 2));
    assert_eq!((joined("unknown").await, joined("other").await), (1, 0));
}

#[tokio::test]
async fn pods_are_not_told_apart_unless_they_are_kept() {
    let server = Server::start().await;
    let mut observer = server.observer().await;
    let refusal = observer.query_split(ask(GroupBy::Pod, ExchangeFilter::default())).await;
    let refusal = refusal.expect_err("refused");
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("--names pod"), "{refusal}");
}

#[tokio::test]
async fn reports_say_names_and_call_what_is_not_known_unknown() {
    let server = Server::start().await;
    let _agents = shop(&server).await;
    let request = ask(GroupBy::Workload, ExchangeFilter::default());
    let answer = server.observer().await.query_split(request).await.expect("an answer");
    let mut report = Report::from(answer.into_inner());
    report.say_unknown(Keep::Workload);
    let text = table(&report, false);
    let headings: Vec<_> = text.lines().filter(|line| line.contains(" -> ")).collect();
    insta::assert_snapshot!(headings.join("\n"), @r"
    aws unknown/unknown -> gcp unknown/unknown: ack, 1 exchange, 100 % joined
    aws shop/cart -> gcp shop/mail: ack, 2 exchanges, 100 % joined
    aws shop/cart -> gcp shop/pay: ack, 3 exchanges, 100 % joined
    ");
    let value: serde_json::Value =
        serde_json::from_str(&json(&report).expect("serialisable")).expect("JSON");
    assert_eq!(value["paths"][0]["near_workload"]["name"], "unknown");
    assert_eq!(value["paths"][1]["far_workload"]["kind"], "Deployment");
    assert_eq!(value["paths"][1]["far_workload"].get("pod"), None);
    let sheet = csv(&report).expect("writable");
    let mut lines = sheet.lines();
    let header = lines.next().expect("a header");
    assert!(header.ends_with("near_workload,near_pod,far_namespace,far_kind,far_workload,far_pod"));
    assert!(
        lines.next().expect("a row").ends_with("unknown,unknown,unknown,,unknown,unknown,unknown,")
    );
    assert!(lines.last().expect("a row").ends_with("shop,Deployment,cart,,shop,Deployment,pay,"));
}

#[tokio::test]
async fn exchanges_bear_names_as_they_happen() {
    let server = Server::start().await;
    let mut observer = server.observer().await;
    let pay = WorkloadFilter { name: "pay".into(), ..WorkloadFilter::default() };
    let filter = ExchangeFilter { far_workload: Some(pay), ..ExchangeFilter::default() };
    let request = WatchExchangesRequest {
        filter: Some(filter),
        limit: 1,
        ..WatchExchangesRequest::default()
    };
    let mut stream = observer.watch_exchanges(request).await.expect("a stream").into_inner();
    let _agents = shop(&server).await;
    let item = stream.message().await.expect("an answer").expect("not the end").item;
    let Some(Item::Exchange(exchange)) = item else { panic!("an exchange") };
    let far = exchange.far_workload.expect("a name");
    assert_eq!((&far.namespace[..], &far.name[..], &far.pod[..]), ("shop", "pay", ""));
}

#[tokio::test]
async fn hostile_names_are_refused() {
    let server = Server::start().await;
    let damages: [fn(&mut SampleBatch); 4] = [
        |b| b.workloads[0].name = "a\x1b[2J".into(),
        |b| b.workloads[0].pod = "x".repeat(254),
        |b| b.connections[0].local_workload = 2,
        |b| b.workloads = vec![Workload::default(); 9],
    ];
    let mut refusals = Vec::new();
    for (boot, damage) in (1..).zip(damages) {
        let mut agent = Agent::connect(&server, hello("aws-a", boot, 1)).await;
        assert_eq!(agent.acked().await.ok(), Some(0));
        let mut damaged = named(&[(near(1), "cart")]);
        damage(&mut damaged);
        let refusal = agent.batch(damaged).await.expect_err("refused");
        assert_eq!(refusal.code(), Code::InvalidArgument);
        refusals.push(refusal.message().to_owned());
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    workloads has control or invisible characters: "a\u{1b}[2J"
    workloads has 254 bytes, more than 253
    connections[0] names workload 2 of 1
    workloads has 9 entries for 1 connections
    "#);
    server.status().await;
}

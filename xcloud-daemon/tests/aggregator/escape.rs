//! Names that try to steer a terminal, turn text around or become a tag or a formula: at ingest, and in what every
//! command prints when an aggregator sends them.

use std::{net::SocketAddr, path::Path, process::Output, sync::Arc};

use tokio::{net::TcpListener, process::Command};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, transport};
use xcloud::escape::is_harmful;
use xcloud_proto::{
    common::v1::{
        EgressKind, EgressRow, EgressSums, Endpoint, ExchangeKind, PodPlace, PodStages, PodView,
        Segment, Site, Stage, StageCost, StageProbe, StageProfile, StageProgramCost, Workload,
    },
    ingest::v1::{Hello, Status as Told, stream_batches_request::Message},
    loadtest::v1::{
        CancelLoadTestRequest, CancelLoadTestResponse, CompareLoadTestsRequest,
        CompareLoadTestsResponse, CreateLoadTestRequest, CreateLoadTestResponse, Estimate,
        ExportLoadTestsRequest, ExportLoadTestsResponse, ListEndpointsRequest,
        ListEndpointsResponse, ListLoadTestsRequest, ListLoadTestsResponse, LoadEndpoint, LoadTest,
        LoadTestSpec, WatchLoadTestRequest, WatchLoadTestResponse,
        load_test_service_server::{LoadTestService, LoadTestServiceServer},
    },
    observer::v1::{
        Distribution, EgressPath, Exchange, ExchangeSegment, GetServerStatusRequest,
        GetServerStatusResponse, ListNodesRequest, ListNodesResponse, NodeEgress, NodePod,
        NodeStages, NodeStatus, PathSplit, QueryEgressRequest, QueryEgressResponse,
        QuerySplitRequest, QuerySplitResponse, SegmentDistribution, Tail, WatchExchangesRequest,
        WatchExchangesResponse,
        observer_service_server::{ObserverService, ObserverServiceServer},
        watch_exchanges_response::Item,
    },
};

use crate::harness::{Agent, Server, batch, hello};

/// A title, a colour, a C1 control, text turned around, a line end, nothing to be seen, a tag, a formula.
const EVIL: &str = "=e\x1b]0;x\x07\x1b[31m\u{9b}1m\u{202e}l\n\u{200b}\u{e0041}<script>";

#[tokio::test]
async fn names_with_characters_that_cannot_be_seen_are_refused() {
    let server = Server::start().await;
    let evils = ["\x1b]0;x\x07", "\u{9b}31m", "\u{202e}", "a\nb", "\u{200b}", "\u{e0041}"];
    for (sequence, evil) in (1..).zip(evils) {
        let greeting = hello("aws-a", 1, 1);
        let site = Some(Site { zone: evil.into(), ..greeting.site.clone().expect("a site") });
        for wrong in [
            Hello { site, ..greeting.clone() },
            Hello { agent_id: evil.into(), ..greeting.clone() },
            Hello { kernel_release: evil.into(), ..greeting.clone() },
            Hello { hooks: vec![evil.into()], ..greeting },
        ] {
            let refused = Agent::connect(&server, wrong).await.acked().await.expect_err(evil);
            assert_eq!(refused.code(), Code::InvalidArgument, "{evil:?}: {refused}");
            assert!(!refused.message().chars().any(is_harmful), "{refused}");
        }
        let mut agent = Agent::connect(&server, hello("aws-a", 1, sequence)).await;
        agent.acked().await.expect("an honest hello");
        let pod = PodView { interface: evil.into(), ..PodView::default() };
        agent.send(Message::Status(Told { pods: vec![pod], ..Told::default() })).await;
        assert_eq!(agent.batch(batch(sequence, 0, &[])).await.ok(), Some(sequence));
        let nodes = server.observer().await.list_nodes(ListNodesRequest {}).await;
        assert!(nodes.expect("an answer").into_inner().nodes[0].pods.is_empty(), "{evil:?}");
    }
    server.stop().await;
}

fn site() -> Option<Site> {
    let label = || EVIL.to_owned();
    Some(Site { cloud: label(), region: label(), zone: label(), node: label(), cluster: label() })
}

fn whose() -> Option<Workload> {
    let name = || EVIL.to_owned();
    Some(Workload { namespace: name(), kind: name(), name: name(), pod: name() })
}

fn end(last: u8) -> Option<Endpoint> {
    Some(Endpoint { address: vec![10, 0, 0, last], port: 80 })
}

/// An aggregator that was taken over.
struct Evil;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ObserverService for Evil {
    type WatchExchangesStream = ReceiverStream<Result<WatchExchangesResponse, Status>>;

    async fn query_split(&self, request: Request<QuerySplitRequest>) -> Answer<QuerySplitResponse> {
        if request.into_inner().tail_quantile == 0.5 {
            return Err(Status::internal(EVIL));
        }
        let times = Distribution { count: 1, p99_ns: 9, max_ns: 9, ..Distribution::default() };
        let wan =
            SegmentDistribution { segment: Segment::Wan.into(), distribution: Some(times.clone()) };
        let path = PathSplit {
            near: site(),
            far: site(),
            near_workload: whose(),
            far_workload: whose(),
            destination_site: site(),
            kind: ExchangeKind::Ack.into(),
            exchanges: 1,
            joined: 1,
            total: Some(times),
            segments: vec![wan],
            tail: Some(Tail { total_ns: 9, wan_ns: 9, ..Tail::default() }),
            ..PathSplit::default()
        };
        let profile = StageProfile {
            pods: vec![PodStages {
                pod_interface: EVIL.into(),
                packets: 1,
                ..PodStages::default()
            }],
            probes: vec![StageProbe {
                stage: Stage::Routing.into(),
                function: EVIL.into(),
                missing: EVIL.into(),
            }],
            cost: Some(StageCost {
                programs: vec![StageProgramCost { program: EVIL.into(), runs: 1, mean_ns: 1 }],
                ..StageCost::default()
            }),
        };
        Ok(Response::new(QuerySplitResponse {
            paths: vec![path],
            pods: vec![NodePod { site: site(), view: Some(view()) }],
            stages: vec![NodeStages { site: site(), profile: Some(profile) }],
            end: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            ..QuerySplitResponse::default()
        }))
    }

    async fn watch_exchanges(
        &self,
        _: Request<WatchExchangesRequest>,
    ) -> Answer<Self::WatchExchangesStream> {
        let wan = ExchangeSegment { segment: Segment::Wan.into(), duration_ns: 9 };
        let exchange = Exchange {
            near: site(),
            far: site(),
            near_workload: whose(),
            far_workload: whose(),
            source: end(1),
            destination: end(2),
            kind: ExchangeKind::Ack.into(),
            total_ns: 9,
            segments: vec![wan],
            ..Exchange::default()
        };
        let (answers, receiver) = tokio::sync::mpsc::channel(2);
        let item = Some(Item::Exchange(exchange));
        let _ = answers.send(Ok(WatchExchangesResponse { item })).await;
        let _ = answers.send(Err(Status::aborted(EVIL))).await;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        let text = || EVIL.to_owned();
        let node = NodeStatus {
            agent_id: text(),
            site: site(),
            version: text(),
            kernel_release: text(),
            hooks: vec![text()],
            pods: vec![view()],
            ..NodeStatus::default()
        };
        Ok(Response::new(ListNodesResponse { nodes: vec![node] }))
    }

    async fn get_server_status(
        &self,
        _: Request<GetServerStatusRequest>,
    ) -> Answer<GetServerStatusResponse> {
        Err(Status::internal(EVIL))
    }

    async fn query_egress(&self, _: Request<QueryEgressRequest>) -> Answer<QueryEgressResponse> {
        let row = EgressRow {
            uplink: EVIL.into(),
            interface: EVIL.into(),
            from_pod: true,
            source: vec![10, 0, 0, 1],
            destination: vec![10, 0, 0, 2],
            kind: EgressKind::Plain.into(),
            sums: Some(EgressSums { wire_bytes: 9_000, packets: 9, payload_bytes: 8_000 }),
        };
        let path = EgressPath { row: Some(row), destination_site: site() };
        let node = NodeEgress { site: site(), counted_for_ns: 1 << 40, paths: vec![path] };
        Ok(Response::new(QueryEgressResponse { nodes: vec![node] }))
    }
}

fn view() -> PodView {
    PodView { interface: EVIL.into(), place: PodPlace::Hidden.into(), why: EVIL.into() }
}

fn test() -> LoadTest {
    let spec = LoadTestSpec {
        from: EVIL.into(),
        to: EVIL.into(),
        name: EVIL.into(),
        ..LoadTestSpec::default()
    };
    LoadTest {
        id: EVIL.into(),
        spec: Some(spec),
        error: EVIL.into(),
        estimate: Some(Estimate { text: EVIL.into(), ..Estimate::default() }),
        ..LoadTest::default()
    }
}

type Stopped<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl LoadTestService for Evil {
    type WatchLoadTestStream = Stopped<WatchLoadTestResponse>;
    type ExportLoadTestsStream = Stopped<ExportLoadTestsResponse>;

    async fn list_endpoints(
        &self,
        _: Request<ListEndpointsRequest>,
    ) -> Answer<ListEndpointsResponse> {
        let endpoint = LoadEndpoint {
            name: EVIL.into(),
            site: site(),
            address: vec![10, 0, 0, 1],
            version: EVIL.into(),
            ..LoadEndpoint::default()
        };
        Ok(Response::new(ListEndpointsResponse { endpoints: vec![endpoint] }))
    }

    async fn create_load_test(
        &self,
        _: Request<CreateLoadTestRequest>,
    ) -> Answer<CreateLoadTestResponse> {
        Ok(Response::new(CreateLoadTestResponse { test: Some(test()) }))
    }

    async fn watch_load_test(
        &self,
        _: Request<WatchLoadTestRequest>,
    ) -> Answer<Self::WatchLoadTestStream> {
        Err(Status::internal(EVIL))
    }

    async fn cancel_load_test(
        &self,
        _: Request<CancelLoadTestRequest>,
    ) -> Answer<CancelLoadTestResponse> {
        Ok(Response::new(CancelLoadTestResponse { test: Some(test()) }))
    }

    async fn list_load_tests(
        &self,
        _: Request<ListLoadTestsRequest>,
    ) -> Answer<ListLoadTestsResponse> {
        Ok(Response::new(ListLoadTestsResponse { tests: vec![test()] }))
    }

    async fn export_load_tests(
        &self,
        _: Request<ExportLoadTestsRequest>,
    ) -> Answer<Self::ExportLoadTestsStream> {
        Err(Status::internal(EVIL))
    }

    async fn compare_load_tests(
        &self,
        _: Request<CompareLoadTestsRequest>,
    ) -> Answer<CompareLoadTestsResponse> {
        Err(Status::internal(EVIL))
    }
}

async fn evil_aggregator() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let evil = Arc::new(Evil);
    let server = transport::Server::builder()
        .add_service(ObserverServiceServer::from_arc(Arc::clone(&evil)))
        .add_service(LoadTestServiceServer::from_arc(evil));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn xcloud(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.args(words.split_whitespace()).env("LC_ALL", "C.UTF-8");
    command.output().await.expect("the binary runs")
}

/// Nothing that was said can do harm; what was sent is in it, written out.
fn assert_harmless(words: &str, output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    let harm = said.chars().find(|c| *c != '\n' && is_harmful(*c));
    assert_eq!(harm, None, "xcloud {words}: {said}");
    assert!(said.contains("\\x1b") || said.contains("\\u001b"), "xcloud {words}: {said}");
    said
}

#[tokio::test]
async fn no_command_passes_on_what_an_aggregator_sends_to_steer_a_terminal() {
    let address = evil_aggregator().await;
    let asks = [
        "split",
        "split --stages",
        "observe",
        "nodes",
        "cost",
        "load endpoints",
        "load tests",
        "top --once --group-by region",
    ];
    for ask in asks {
        let formats: &[&str] =
            if ask.starts_with("top") { &[""] } else { &["table", "json", "csv"] };
        for format in formats {
            let output = if format.is_empty() { String::new() } else { format!("-o {format}") };
            let words = format!("{ask} --aggregator {address} {output}");
            let said = assert_harmless(&words, &xcloud(&words).await);
            let cells = said.split(['\n', ',']);
            let mut formulas =
                cells.filter(|cell| cell.starts_with('=') || cell.starts_with("\"="));
            assert_eq!(formulas.next().filter(|_| *format == "csv"), None, "{words}: {said}");
        }
    }
    for ask in [
        "split --quantile 0.5 HERE",
        "load run --from a --to b --dry-run HERE stamp",
        "load run --from a --to b HERE stamp",
        "load cancel x HERE",
        "load export x --result /dev/null HERE",
    ] {
        let words = ask.replace("HERE", &format!("--aggregator {address}"));
        assert_harmless(&words, &xcloud(&words).await);
    }
}

fn run(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let metric = serde_json::json!({"value": 1.0, "unit": EVIL, "better": "higher"});
    let trial = serde_json::json!({
        "test": EVIL, "from": EVIL, "to": EVIL, "started_unix_ns": 1, "duration_ns": 1,
        "metrics": {EVIL: metric}, "warnings": [EVIL],
    });
    let run = serde_json::json!({
        "schema": "xcloud.run.v1", "label": EVIL, "tool": EVIL, "trials": [trial],
        "environment": {EVIL: EVIL}, "warnings": [EVIL],
    });
    std::fs::write(&path, run.to_string()).expect("writable");
    path.display().to_string()
}

#[tokio::test]
async fn no_report_passes_on_what_is_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (run(folder.path(), "a.json"), run(folder.path(), "b.json"));
    for words in [
        format!("report {a} -o html"),
        format!("report {a} {b} -o markdown"),
        format!("report {a} -o csv"),
        format!("report {a} -o json"),
        format!("compare {a} {b}"),
        format!("compare {a} {b} -o csv"),
        format!("compare {a} {b} -o json"),
    ] {
        let said = assert_harmless(&words, &xcloud(&words).await);
        let is_page = words.contains("html") || words.contains("markdown");
        assert!(!is_page || !said.contains("<script"), "{words}: {said}");
    }
}

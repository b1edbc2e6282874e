//! An aggregator whose tests move nothing.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{net::UnixListener, sync::Notify};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, CancelLoadTestResponse, CompareLoadTestsRequest,
    CompareLoadTestsResponse, CreateLoadTestRequest, CreateLoadTestResponse, Estimate,
    ExportLoadTestsRequest, ExportLoadTestsResponse, ListEndpointsRequest, ListEndpointsResponse,
    ListLoadTestsRequest, ListLoadTestsResponse, LoadTest, LoadTestSpec, LoadTestState, Network,
    WatchLoadTestRequest, WatchLoadTestResponse,
    load_test_service_server::{LoadTestService, LoadTestServiceServer},
    watch_load_test_response::News,
};

use crate::{
    cli::Address,
    load::suite::ends::tests::end,
    result::{Run, SCHEMA, Trial},
};

/// How long load is sent where a step waits for it.
const WHILE: std::time::Duration = std::time::Duration::from_millis(300);

#[derive(Debug, Default)]
struct State {
    made: Vec<LoadTestSpec>,
    refused_once: bool,
    cancelled: usize,
    dead: bool,
}

/// The aggregator; what a test does is in its step's name.
#[derive(Clone, Debug)]
pub(super) struct Aggregator {
    pub(super) address: Address,
    state: Arc<Mutex<State>>,
    cancel: Arc<Notify>,
}

impl Aggregator {
    pub(super) async fn start(socket: &Path) -> Self {
        let aggregator = Self {
            address: Address::Unix(socket.into()),
            state: Arc::default(),
            cancel: Arc::default(),
        };
        let listener = UnixListener::bind(socket).expect("a socket");
        let service = LoadTestServiceServer::new(aggregator.clone());
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        aggregator
    }

    /// The names of the tests started, in order.
    pub(super) fn made(&self) -> Vec<String> {
        self.state().made.iter().map(|spec| spec.name.clone()).collect()
    }

    pub(super) fn cancelled(&self) -> usize {
        self.state().cancelled
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn alive(&self) -> Result<(), Status> {
        if self.state().dead { Err(Status::unavailable("connection refused")) } else { Ok(()) }
    }

    fn spec(&self, id: &str) -> LoadTestSpec {
        self.state().made[id.parse::<usize>().expect("a number")].clone()
    }
}

type Stream_<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn news(id: &str, state: LoadTestState, error: &str, has_result: bool) -> WatchLoadTestResponse {
    let test = LoadTest {
        id: id.into(),
        state: state.into(),
        error: error.into(),
        has_result,
        ..LoadTest::default()
    };
    WatchLoadTestResponse { news: Some(News::Test(test)) }
}

fn result(spec: &LoadTestSpec) -> Run {
    let trial = Trial {
        test: spec.name.clone(),
        from: spec.from.clone(),
        to: spec.to.clone(),
        started_unix_ns: 1,
        duration_ns: 1,
        settings: Default::default(),
        metrics: Default::default(),
        histograms: Default::default(),
        intervals: Vec::new(),
        warnings: Vec::new(),
    };
    let kernel = if spec.from.starts_with("aws") { "6.1" } else { "6.2" };
    Run {
        schema: SCHEMA.into(),
        label: String::new(),
        tool: "xcloud made up".into(),
        environment: [("kernel".into(), kernel.into())].into(),
        trials: vec![trial],
        warnings: Vec::new(),
        suites: Vec::new(),
    }
}

#[tonic::async_trait]
impl LoadTestService for Aggregator {
    type WatchLoadTestStream = Stream_<WatchLoadTestResponse>;
    type ExportLoadTestsStream = Stream_<ExportLoadTestsResponse>;

    async fn list_endpoints(
        &self,
        _: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        self.alive()?;
        let of = |cloud: &str| {
            [("pod", Network::Pod), ("node", Network::Host)].map(|(kind, network)| {
                end(&format!("{cloud}-{kind}"), &format!("{cloud}/r"), network)
            })
        };
        let endpoints = ["aws", "gcp"].map(of).concat();
        Ok(Response::new(ListEndpointsResponse { endpoints }))
    }

    async fn create_load_test(
        &self,
        request: Request<CreateLoadTestRequest>,
    ) -> Result<Response<CreateLoadTestResponse>, Status> {
        self.alive()?;
        let CreateLoadTestRequest { spec, validate_only } = request.into_inner();
        let spec = spec.expect("a test");
        if spec.name.starts_with("refused") {
            return Err(Status::permission_denied("over the limit"));
        }
        let estimate = Some(Estimate::default());
        let mut test = LoadTest { spec: Some(spec.clone()), estimate, ..LoadTest::default() };
        if !validate_only {
            let mut state = self.state();
            if spec.name == "busy" && !std::mem::replace(&mut state.refused_once, true) {
                return Err(Status::failed_precondition("another test runs on this path"));
            }
            test.id = state.made.len().to_string();
            state.made.push(spec);
        }
        Ok(Response::new(CreateLoadTestResponse { test: Some(test) }))
    }

    async fn watch_load_test(
        &self,
        request: Request<WatchLoadTestRequest>,
    ) -> Result<Response<Self::WatchLoadTestStream>, Status> {
        let id = request.into_inner().id;
        let name = self.spec(&id).name;
        let first = [LoadTestState::Starting, LoadTestState::Running]
            .map(|state| Ok(news(&id, state, "", false)));
        let (aggregator, name) = (self.clone(), name);
        let last = async move {
            match name.as_str() {
                "fails" => Ok(news(&id, LoadTestState::Failed, "no route to host", false)),
                "fails-late" => Ok(news(&id, LoadTestState::Failed, "cut short", true)),
                "endless" => {
                    aggregator.cancel.notified().await;
                    Ok(news(&id, LoadTestState::Cancelled, "", false))
                }
                "kills" => {
                    aggregator.state().dead = true;
                    Err(Status::unavailable("broken pipe"))
                }
                name => {
                    if name == "waits" {
                        tokio::time::sleep(WHILE).await;
                    }
                    Ok(news(&id, LoadTestState::Done, "", true))
                }
            }
        };
        Ok(Response::new(Box::pin(stream::iter(first).chain(stream::once(last)))))
    }

    async fn cancel_load_test(
        &self,
        _: Request<CancelLoadTestRequest>,
    ) -> Result<Response<CancelLoadTestResponse>, Status> {
        self.state().cancelled += 1;
        self.cancel.notify_one();
        Ok(Response::new(CancelLoadTestResponse::default()))
    }

    async fn list_load_tests(
        &self,
        _: Request<ListLoadTestsRequest>,
    ) -> Result<Response<ListLoadTestsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn export_load_tests(
        &self,
        request: Request<ExportLoadTestsRequest>,
    ) -> Result<Response<Self::ExportLoadTestsStream>, Status> {
        let run = result(&self.spec(&request.into_inner().ids[0]));
        let text = serde_json::to_vec(&run).expect("text");
        let parts: Vec<_> = text
            .chunks(100)
            .map(|part| Ok(ExportLoadTestsResponse { chunk: part.to_vec() }))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(parts))))
    }

    async fn compare_load_tests(
        &self,
        _: Request<CompareLoadTestsRequest>,
    ) -> Result<Response<CompareLoadTestsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

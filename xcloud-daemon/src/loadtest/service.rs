//! Answers those who want load tests made.

use std::sync::Arc;

use tokio::sync::{Semaphore, broadcast, broadcast::error::RecvError, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, CancelLoadTestResponse, CompareLoadTestsRequest,
    CompareLoadTestsResponse, CreateLoadTestRequest, CreateLoadTestResponse,
    ExportLoadTestsRequest, ExportLoadTestsResponse, ListEndpointsRequest, ListEndpointsResponse,
    ListLoadTestsRequest, ListLoadTestsResponse, LoadTest, WatchLoadTestRequest,
    WatchLoadTestResponse, load_test_service_server::LoadTestService,
    watch_load_test_response::News,
};

use super::{director::Director, refusal::Refusal, registry::has_ended, spec::Spec};

/// Messages on their way to one reader.
const READER_BUFFER: usize = 16;
/// Tests listed when no limit is given.
const LISTED: u32 = 100;
/// Bytes of a result in one message.
const CHUNK: usize = 64 << 10;
/// Exports and comparisons made at once.
const ASIDES: usize = 2;
/// Longest label of a run, in bytes.
const LONGEST_LABEL: usize = 256;

/// The service.
#[derive(Debug)]
pub struct LoadTests {
    director: Arc<Director>,
    asides: Semaphore,
}

impl LoadTests {
    /// For a director.
    #[must_use]
    pub fn new(director: Arc<Director>) -> Self {
        Self { director, asides: Semaphore::new(ASIDES) }
    }

    /// Does what takes long on a thread of its own: agents wait for the aggregator's.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Director) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Status> {
        self.director.allowed()?;
        let _turn =
            self.asides.acquire().await.map_err(|error| Status::internal(error.to_string()))?;
        let director = Arc::clone(&self.director);
        let done = tokio::task::spawn_blocking(move || work(&director)).await;
        Ok(done.map_err(|error| Status::internal(error.to_string()))??)
    }
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl LoadTestService for LoadTests {
    type WatchLoadTestStream = Stream<WatchLoadTestResponse>;
    type ExportLoadTestsStream = Stream<ExportLoadTestsResponse>;

    async fn list_endpoints(
        &self,
        _: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        let endpoints = self.director.endpoints()?;
        Ok(Response::new(ListEndpointsResponse { endpoints }))
    }

    async fn create_load_test(
        &self,
        request: Request<CreateLoadTestRequest>,
    ) -> Result<Response<CreateLoadTestResponse>, Status> {
        self.director.allowed()?;
        let request = request.into_inner();
        let spec =
            Spec::read(&request.spec.unwrap_or_default()).map_err(Status::invalid_argument)?;
        let test = if request.validate_only {
            self.director.judge(&spec).map(|(_, test)| test)
        } else {
            self.director.create(&spec).await
        };
        Ok(Response::new(CreateLoadTestResponse { test: Some(test?) }))
    }

    async fn watch_load_test(
        &self,
        request: Request<WatchLoadTestRequest>,
    ) -> Result<Response<Self::WatchLoadTestStream>, Status> {
        let (test, news) = self.director.watch(&request.into_inner().id)?;
        let (answers, receiver) = mpsc::channel(READER_BUFFER);
        let director = Arc::clone(&self.director);
        tokio::spawn(async move { follow(&director, test, news, &answers).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn cancel_load_test(
        &self,
        request: Request<CancelLoadTestRequest>,
    ) -> Result<Response<CancelLoadTestResponse>, Status> {
        let test = self.director.cancel(&request.into_inner().id).await?;
        Ok(Response::new(CancelLoadTestResponse { test: Some(test) }))
    }

    async fn list_load_tests(
        &self,
        request: Request<ListLoadTestsRequest>,
    ) -> Result<Response<ListLoadTestsResponse>, Status> {
        let limit = request.into_inner().limit;
        let limit = if limit == 0 { LISTED } else { limit };
        let tests = self.director.tests(limit as usize)?;
        Ok(Response::new(ListLoadTestsResponse { tests }))
    }

    async fn export_load_tests(
        &self,
        request: Request<ExportLoadTestsRequest>,
    ) -> Result<Response<Self::ExportLoadTestsStream>, Status> {
        let ExportLoadTestsRequest { ids, label } = request.into_inner();
        if label.len() > LONGEST_LABEL {
            return Err(Status::invalid_argument(format!("label: at most {LONGEST_LABEL} bytes")));
        }
        let run = self.aside(move |director| {
            let run = director.merged(&ids, &label)?;
            serde_json::to_vec_pretty(&run).map_err(|error| Refusal::Broken(error.to_string()))
        });
        let run = run.await?;
        let (answers, receiver) = mpsc::channel(READER_BUFFER);
        tokio::spawn(async move {
            for chunk in run.chunks(CHUNK) {
                if answers.send(Ok(ExportLoadTestsResponse { chunk: chunk.into() })).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn compare_load_tests(
        &self,
        request: Request<CompareLoadTestsRequest>,
    ) -> Result<Response<CompareLoadTestsResponse>, Status> {
        let CompareLoadTestsRequest { a_ids, b_ids } = request.into_inner();
        let compared = self.aside(move |director| director.compared(&a_ids, &b_ids));
        Ok(Response::new(compared.await?))
    }
}

/// Tells a test's news until it has ended or nobody reads them.
async fn follow(
    director: &Director,
    test: LoadTest,
    news: Option<broadcast::Receiver<WatchLoadTestResponse>>,
    answers: &mpsc::Sender<Result<WatchLoadTestResponse, Status>>,
) {
    let over = has_ended(&test);
    let now = WatchLoadTestResponse { news: Some(News::Test(test)) };
    if answers.send(Ok(now)).await.is_err() || over {
        return;
    }
    let Some(mut news) = news else { return };
    loop {
        let told = tokio::select! {
            told = news.recv() => told,
            () = answers.closed() => return,
            () = director.stop.cancelled() => {
                // Whoever hung up does not want to know.
                let _ = answers.send(Err(Status::unavailable("the aggregator is stopping"))).await;
                return;
            }
        };
        let told = match told {
            Ok(told) => told,
            // Lines of progress, or a state that a newer one follows.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if answers.send(Ok(told)).await.is_err() {
            return;
        }
    }
}

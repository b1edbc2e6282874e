//! Answers those who want load tests made.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, broadcast::error::RecvError, mpsc},
    time::timeout,
};
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
/// So many of them, at most, have been handed out and not been read; one more is kept for an error.
const CHUNKS_AHEAD: usize = 4;
/// How long the reader of a result may take for one.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exports and comparisons in memory at once.
const ASIDES: usize = 2;
/// Longest label of a run, in bytes.
const LONGEST_LABEL: usize = 256;

/// The service.
#[derive(Debug)]
pub struct LoadTests {
    director: Arc<Director>,
    asides: Arc<Semaphore>,
}

impl LoadTests {
    /// For a director.
    #[must_use]
    pub fn new(director: Arc<Director>) -> Self {
        Self { director, asides: Arc::new(Semaphore::new(ASIDES)) }
    }

    /// Does what takes long on a thread of its own: agents wait for the aggregator's. What comes of it may be large: the next
    /// has its turn when it is gone.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Director) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit), Status> {
        self.director.allowed()?;
        let turn = Arc::clone(&self.asides).acquire_owned().await;
        let turn = turn.map_err(|error| Status::internal(error.to_string()))?;
        let director = Arc::clone(&self.director);
        // The turn goes with the work, which goes on though whoever asked hangs up.
        let done = tokio::task::spawn_blocking(move || (work(&director), turn)).await;
        let (done, turn) = done.map_err(|error| Status::internal(error.to_string()))?;
        Ok((done?, turn))
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
        let (run, turn) = run.await?;
        let (answers, receiver) = mpsc::channel(CHUNKS_AHEAD + 1);
        tokio::spawn(hand_out(run, turn, answers, PATIENCE));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn compare_load_tests(
        &self,
        request: Request<CompareLoadTestsRequest>,
    ) -> Result<Response<CompareLoadTestsResponse>, Status> {
        let CompareLoadTestsRequest { a_ids, b_ids } = request.into_inner();
        let compared = self.aside(move |director| director.compared(&a_ids, &b_ids));
        let (compared, _turn) = compared.await?;
        Ok(Response::new(compared))
    }
}

/// Gives a result to who reads it, and holds its turn meanwhile. Who does not read loses it, since others wait.
async fn hand_out(
    run: Vec<u8>,
    _turn: OwnedSemaphorePermit,
    answers: mpsc::Sender<Result<ExportLoadTestsResponse, Status>>,
    patience: Duration,
) {
    // Without an error at the end, half a result would look whole.
    let Ok(last) = answers.clone().reserve_owned().await else { return };
    for chunk in run.chunks(CHUNK) {
        let chunk = ExportLoadTestsResponse { chunk: chunk.into() };
        match timeout(patience, answers.send(Ok(chunk))).await {
            Ok(Ok(())) => {}
            // Hung up.
            Ok(Err(_)) => return,
            Err(_) => {
                let why = format!("nothing was read for {patience:?}");
                last.send(Err(Status::deadline_exceeded(why)));
                return;
            }
        }
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

#[cfg(test)]
mod tests;

//! The client against an aggregator on a Unix socket that breaks streams, refuses and grants little credit.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    net::UnixListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::{
    StreamExt as _,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use xcloud::{
    cli::Address,
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, MAX_BATCH, Outbox},
    },
};
use xcloud_common::{
    sample::{Sample, kind},
    slot::Tuple,
};
use xcloud_proto::ingest::v1::{
    Hello, SampleBatch, Status as HookStatus, StreamBatchesRequest, StreamBatchesResponse,
    ingest_service_server::{IngestService, IngestServiceServer},
    stream_batches_request::Message,
};

/// What the aggregator does on its streams, and what it saw.
#[derive(Default)]
struct State {
    /// Ends the stream after that many batches, one entry a stream; then never.
    breaks: Vec<usize>,
    /// Merges without an answer on streams that break.
    forgets: bool,
    /// Sequence it calls wrong.
    refuses: Option<u64>,
    credit: u32,
    hellos: Vec<Hello>,
    merged: BTreeMap<u64, SampleBatch>,
    received: usize,
    most_in_flight: u64,
}

#[derive(Clone)]
struct Aggregator(Arc<Mutex<State>>);

type Responses = Pin<Box<dyn Stream<Item = Result<StreamBatchesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl IngestService for Aggregator {
    type StreamBatchesStream = Responses;

    async fn stream_batches(
        &self,
        request: Request<Streaming<StreamBatchesRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let (sender, receiver) = mpsc::channel(4);
        let aggregator = self.clone();
        tokio::spawn(async move {
            if let Err(status) = aggregator.serve(request.into_inner(), &sender).await {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Aggregator {
    async fn serve(
        &self,
        mut requests: Streaming<StreamBatchesRequest>,
        sender: &mpsc::Sender<Result<StreamBatchesResponse, Status>>,
    ) -> Result<(), Status> {
        let first = requests.next().await.expect("a hello")?;
        let Some(Message::Hello(hello)) = first.message else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (mut left, mut acked) = {
            let mut state = self.0.lock().expect("sound");
            let left = if state.breaks.is_empty() { usize::MAX } else { state.breaks.remove(0) };
            let acked = hello.first_sequence - 1;
            state.hellos.push(hello);
            (left, acked)
        };
        let forgets = self.0.lock().expect("sound").forgets && left != usize::MAX;
        loop {
            let credit_batches = self.0.lock().expect("sound").credit;
            let response = StreamBatchesResponse {
                acked_sequence: if forgets { 0 } else { acked },
                credit_batches,
            };
            let _ = sender.send(Ok(response)).await;
            if left == 0 {
                return Err(Status::unavailable("restarting"));
            }
            left -= 1;
            let Some(message) = requests.next().await else {
                return Ok(());
            };
            let Some(Message::Batch(batch)) = message?.message else {
                return Err(Status::invalid_argument("no batch"));
            };
            acked = self.merge(batch, acked)?;
        }
    }

    fn merge(&self, batch: SampleBatch, acked: u64) -> Result<u64, Status> {
        let mut state = self.0.lock().expect("sound");
        state.received += 1;
        state.most_in_flight = state.most_in_flight.max(batch.sequence - acked);
        if state.refuses == Some(batch.sequence) {
            return Err(Status::invalid_argument("a wrong batch"));
        }
        let sequence = batch.sequence;
        state.merged.entry(sequence).or_insert(batch);
        Ok(sequence)
    }
}

struct Scene {
    state: Arc<Mutex<State>>,
    outbox: SharedOutbox,
    stop: CancellationToken,
    client: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn new(state: State) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path: PathBuf = directory.path().join("aggregator.sock");
        let state = Arc::new(Mutex::new(state));
        let listener = UnixListener::bind(&path).expect("binds");
        let service = IngestServiceServer::new(Aggregator(state.clone()));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(UnixListenerStream::new(listener)),
        );
        let outbox = SharedOutbox::new(Outbox::new(1_000_000));
        let stop = CancellationToken::new();
        let client = Client {
            address: Address::Unix(path),
            hello: Hello { agent_id: "a".into(), ..Hello::default() },
            status: watch::channel(HookStatus::default()).1,
            outbox: outbox.clone(),
            flush: Duration::from_millis(10),
            clock: || 77,
        };
        let client = tokio::spawn(client.run(stop.clone()));
        Self { state, outbox, stop, client, _directory: directory }
    }

    fn push(&self, count: usize) {
        let mut outbox = self.outbox.lock();
        outbox.push(&mut vec![sample().into(); count]);
        self.outbox.full.notify_one();
    }

    /// Lets the client send all there is, and returns what the aggregator saw.
    async fn finish(self) -> (State, SharedOutbox) {
        self.stop.cancel();
        self.client.await.expect("ends well");
        let state = std::mem::take(&mut *self.state.lock().expect("sound"));
        (state, self.outbox)
    }
}

fn sample() -> Sample {
    Sample {
        first_ns: 10,
        second_ns: 20,
        third_ns: 30,
        last_ns: 40,
        queue_ns: 0,
        end_seq: 1,
        tsval: 2,
        answer: 3,
        pod_ifindex: 4,
        uplink_ifindex: 5,
        tuple: Tuple::default(),
        kinds: kind::ACK | kind::RESPONSE,
        flags: 0,
        shift: 0,
    }
}

fn merged(state: &State) -> usize {
    state.merged.values().map(|b| b.end_sequence.len()).sum()
}

#[tokio::test]
async fn everything_arrives_once_within_a_credit_of_one() {
    let scene = Scene::new(State { credit: 1, ..State::default() });
    scene.push(10 * MAX_BATCH + 5);
    let (state, outbox) = scene.finish().await;
    assert_eq!(merged(&state), 10 * MAX_BATCH + 5);
    assert_eq!((state.most_in_flight, state.received), (1, 11));
    assert!(outbox.lock().is_settled());
    assert!(state.merged.values().all(|b| b.sent_monotonic_ns == 77));
    assert!(state.merged.keys().copied().eq(1..=11));
}

#[tokio::test]
async fn broken_streams_are_taken_up_where_they_broke() {
    for forgets in [false, true] {
        let scene =
            Scene::new(State { credit: 4, breaks: vec![0, 2, 3], forgets, ..State::default() });
        scene.push(8 * MAX_BATCH);
        let (state, outbox) = scene.finish().await;
        assert_eq!(merged(&state), 8 * MAX_BATCH);
        assert_eq!(state.hellos.len(), 4);
        assert_eq!(outbox.lock().totals().lost.expect("set").queue, 0);
        if forgets {
            assert!(state.hellos.iter().all(|h| h.first_sequence == 1));
        }
        let before: Vec<u64> = state.merged.values().map(|b| b.sent_before).collect();
        let batch = 2 * MAX_BATCH as u64;
        assert!(before.iter().copied().eq((0..8).map(|n| n * batch)));
    }
}

#[tokio::test]
async fn a_batch_that_is_always_refused_is_given_up_alone() {
    let scene = Scene::new(State { credit: 4, refuses: Some(3), ..State::default() });
    scene.push(6 * MAX_BATCH);
    let (state, outbox) = scene.finish().await;
    assert_eq!(merged(&state), 5 * MAX_BATCH);
    assert!(!state.merged.contains_key(&3));
    let lost = outbox.lock().totals().lost.expect("set").queue;
    assert_eq!(lost, 2 * MAX_BATCH as u64);
    let last = state.merged.values().next_back().expect("some");
    let totals = last.totals.expect("set");
    assert_eq!(
        totals.emitted,
        last.sent_before + 2 * last.end_sequence.len() as u64 + lost + totals.pending
    );
}

#[tokio::test]
async fn closing_brings_the_last_totals_even_without_samples() {
    let scene = Scene::new(State { credit: 2, ..State::default() });
    scene.outbox.lock().count(KernelTotals { opened: 9, unanswered: 9, ..KernelTotals::default() });
    let (state, _) = scene.finish().await;
    let last = state.merged.values().next_back().expect("one batch");
    assert_eq!(last.totals.expect("set").unanswered, 9);
    assert!(last.end_sequence.is_empty());
}

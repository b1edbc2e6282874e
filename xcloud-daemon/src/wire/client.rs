//! Agent to aggregator: streams the outbox within the credit granted, and comes back when the stream breaks.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{info, warn};
use xcloud_proto::ingest::v1::{
    Hello, SampleBatch, Status as HookStatus, StreamBatchesRequest,
    ingest_service_client::IngestServiceClient, stream_batches_request::Message,
};

use super::{
    backoff, connect, convert,
    outbox::{Outbox, Outgoing},
};
use crate::{
    access::caller::{self, Renewal},
    cli::Address,
};

/// How often the same trouble is told.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Messages between the outbox and the socket; few, so that their sending time is true.
const STREAM_BUFFER: usize = 2;

/// The outbox, shared between who drains the kernel and who sends.
#[derive(Clone, Debug)]
pub struct SharedOutbox {
    outbox: Arc<Mutex<Outbox>>,
    /// Rung when a full batch waits.
    pub full: Arc<Notify>,
    /// Whether an aggregator takes what there is.
    taken: Arc<AtomicBool>,
}

impl SharedOutbox {
    /// Shares an outbox.
    #[must_use]
    pub fn new(outbox: Outbox) -> Self {
        Self {
            outbox: Arc::new(Mutex::new(outbox)),
            full: Arc::new(Notify::new()),
            taken: Arc::default(),
        }
    }

    /// Whether an aggregator takes what there is now.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// Locks it; never held across an await. A panic elsewhere leaves its counts usable for the closing report.
    pub fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Streams to one aggregator.
#[derive(Debug)]
pub struct Client<Clock> {
    /// Where it is.
    pub address: Address,
    /// First message of every stream, but for `first_sequence`.
    pub hello: Hello,
    /// What the hooks see, told whenever it changes.
    pub status: watch::Receiver<HookStatus>,
    /// What to send.
    pub outbox: SharedOutbox,
    /// How often what there is goes out, full batch or not.
    pub flush: Duration,
    /// The clock that stamps the samples, in nanoseconds.
    pub clock: Clock,
}

/// Why a stream ended.
enum End {
    Settled,
    /// There are new certificates to come back with.
    Renewed,
    Broken(Status),
}

impl<Clock: Fn() -> u64> Client<Clock> {
    /// Runs until `stop` is cancelled and everything was sent and acknowledged; the caller limits how long that may
    /// take. Loss of the aggregator is no error.
    pub async fn run(self, stop: CancellationToken) {
        let mut attempt = 0;
        let mut last_warning: Option<Instant> = None;
        while !(stop.is_cancelled() && self.outbox.lock().is_settled()) {
            let first = self.outbox.lock().begin_stream();
            let end = self.stream(&stop, first, &mut attempt).await;
            self.outbox.taken.store(false, Ordering::Relaxed);
            let error = match end {
                End::Settled => return,
                End::Renewed => {
                    info!("aggregator {}: connecting again with new certificates", self.address);
                    continue;
                }
                End::Broken(status) => status,
            };
            let dropped = self.give_up_refused(&error);
            let pause = backoff::pause(attempt);
            attempt += 1;
            if last_warning.is_none_or(|at| at.elapsed() >= WARN_EVERY) || dropped > 0 {
                last_warning = Some(Instant::now());
                warn!(
                    aggregator = %self.address,
                    "aggregator {}: {}; observations are kept up to the limit of --queue and sent again, next attempt \
                     in {pause:.1?}",
                    self.address,
                    connect::describe(&error)
                );
            }
            if stop.is_cancelled() {
                sleep(backoff::SHORTEST).await;
            } else {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// The aggregator's refusal of a batch must not be met by sending it for ever.
    fn give_up_refused(&self, status: &Status) -> u64 {
        if !matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) {
            return 0;
        }
        let dropped = self.outbox.lock().refused().unwrap_or(0);
        if dropped > 0 {
            warn!("a batch was refused: its {dropped} observations are counted as lost.queue");
        }
        dropped
    }

    async fn stream(&self, stop: &CancellationToken, first: u64, attempt: &mut u32) -> End {
        let renewal = caller::own().renewal();
        let channel = match connect::lasting(&self.address).await {
            Ok(channel) => channel,
            Err(error) => return End::Broken(Status::from_error(Box::new(error))),
        };
        let (requests, receiver) = mpsc::channel(STREAM_BUFFER);
        let hello = Hello { first_sequence: first, ..self.hello.clone() };
        // The channel is new, so it has room.
        let _ = requests.try_send(request(Message::Hello(hello)));
        let call =
            IngestServiceClient::new(channel).stream_batches(ReceiverStream::new(receiver)).await;
        match call {
            Ok(responses) => {
                let responses = responses.into_inner();
                self.converse(stop, &requests, responses, renewal, attempt).await
            }
            Err(status) => End::Broken(status),
        }
    }

    async fn converse(
        &self,
        stop: &CancellationToken,
        requests: &mpsc::Sender<StreamBatchesRequest>,
        mut responses: tonic::Streaming<xcloud_proto::ingest::v1::StreamBatchesResponse>,
        mut renewal: Renewal,
        attempt: &mut u32,
    ) -> End {
        let mut ticks = interval(self.flush);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut greeted = false;
        let mut status = self.status.clone();
        status.mark_changed();
        loop {
            let mut flush = stop.is_cancelled();
            tokio::select! {
                message = responses.message() => {
                    let response = match message {
                        Ok(Some(response)) => response,
                        Ok(None) => return End::Broken(Status::unavailable("it ended the stream")),
                        Err(status) => return End::Broken(status),
                    };
                    let answer = self.outbox.lock().answered(response.acked_sequence, response.credit_batches);
                    if let Err(error) = answer {
                        return End::Broken(Status::internal(error));
                    }
                    if !std::mem::replace(&mut greeted, true) {
                        info!(aggregator = %self.address, "aggregator {}: connected", self.address);
                        *attempt = 0;
                        self.outbox.taken.store(true, Ordering::Relaxed);
                    }
                }
                _ = ticks.tick() => flush = true,
                () = self.outbox.full.notified() => {}
                () = stop.cancelled(), if !flush => flush = true,
                () = renewal.due(), if !stop.is_cancelled() => return End::Renewed,
            }
            tell(requests, &mut status);
            self.send(requests, flush);
            if stop.is_cancelled() && self.outbox.lock().is_settled() {
                return End::Settled;
            }
        }
    }

    /// Hands the stream what credit and its buffer allow; what does not fit goes at the next answer or tick.
    fn send(&self, requests: &mpsc::Sender<StreamBatchesRequest>, flush: bool) {
        let mut outbox = self.outbox.lock();
        while requests.capacity() > 0 {
            let Some(outgoing) = outbox.next_to_send(flush) else {
                return;
            };
            let batch = self.batch(outgoing);
            // A closed stream is noticed by its answers; the batch stays in the outbox.
            let _ = requests.try_send(request(Message::Batch(batch)));
        }
    }

    fn batch(&self, outgoing: Outgoing<'_>) -> SampleBatch {
        SampleBatch {
            sequence: outgoing.sequence,
            sent_monotonic_ns: (self.clock)(),
            sent_before: outgoing.sent_before,
            totals: Some(outgoing.totals),
            stage_profile: outgoing.stage_profile,
            egress: outgoing.egress,
            ..convert::encode(outgoing.samples)
        }
    }
}

/// Says what the hooks see when that is news and the stream's buffer has room; otherwise at the next answer or tick.
fn tell(requests: &mpsc::Sender<StreamBatchesRequest>, status: &mut watch::Receiver<HookStatus>) {
    if requests.capacity() > 0 && status.has_changed().unwrap_or(false) {
        let told = status.borrow_and_update().clone();
        // A closed stream is noticed by its answers; the next one starts with this.
        let _ = requests.try_send(request(Message::Status(told)));
    }
}

fn request(message: Message) -> StreamBatchesRequest {
    StreamBatchesRequest { message: Some(message) }
}

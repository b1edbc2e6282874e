//! Agents that speak to an aggregator by hand, and what they bring.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use xcloud::wire::{convert, outbox::Named};
use xcloud_common::{
    sample::{Sample, flag},
    slot::Tuple,
};
use xcloud_proto::{
    common::v1::Site,
    ingest::v1::{
        Hello, SampleBatch, StreamBatchesRequest, StreamBatchesResponse, Totals,
        ingest_service_client::IngestServiceClient, stream_batches_request::Message,
    },
};

use crate::sample::{SENT_NS, near};

/// One stream of an agent.
pub(crate) struct Agent {
    requests: mpsc::Sender<StreamBatchesRequest>,
    pub(crate) answers: Streaming<StreamBatchesResponse>,
}

impl Agent {
    /// Opens a stream and says hello.
    pub(crate) async fn on(channel: Channel, hello: Hello) -> Self {
        let mut agent = Self::silent_on(channel).await;
        agent.send(Message::Hello(hello)).await;
        agent
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn silent_on(channel: Channel) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let mut client = IngestServiceClient::new(channel);
        let answers = client.stream_batches(ReceiverStream::new(receiver)).await;
        Self { requests, answers: answers.expect("a stream").into_inner() }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        let request = StreamBatchesRequest { message: Some(message) };
        // If the stream is closed, the answer says why.
        let _ = self.requests.send(request).await;
    }

    /// The next answer's sequence.
    pub(crate) async fn acked(&mut self) -> Result<u64, Status> {
        let answer = self.answers.message().await?;
        Ok(answer.expect("an answer, not the end").acked_sequence)
    }

    /// Sends a batch and waits for its answer.
    pub(crate) async fn batch(&mut self, batch: SampleBatch) -> Result<u64, Status> {
        self.send(Message::Batch(batch)).await;
        self.acked().await
    }
}

/// An agent's first message.
pub(crate) fn hello(agent: &str, boot: u8, first_sequence: u64) -> Hello {
    let (cloud, node) = agent.split_once('-').unwrap_or((agent, ""));
    Hello {
        agent_id: agent.into(),
        boot_id: vec![boot; 16],
        site: Some(Site { cloud: cloud.into(), node: node.into(), ..Site::default() }),
        first_sequence,
        ..Hello::default()
    }
}

/// A batch of an agent that lost nothing.
pub(crate) fn batch(sequence: u64, sent_before: u64, samples: &[Sample]) -> SampleBatch {
    let observations: u64 = samples.iter().map(Sample::observations).sum();
    let emitted = sent_before + observations;
    let named: Vec<_> = samples.iter().copied().map(Named::from).collect();
    SampleBatch {
        sequence,
        sent_monotonic_ns: SENT_NS,
        sent_before,
        totals: Some(Totals { emitted, ..Totals::default() }),
        ..convert::encode(&named)
    }
}

/// Its far end.
pub(crate) fn far(end_seq: u32) -> Sample {
    let first_ns = SENT_NS - 200_000_000;
    let near = near(end_seq);
    Sample {
        first_ns,
        second_ns: first_ns + 50,
        third_ns: first_ns + 5_050,
        last_ns: first_ns + 5_150,
        queue_ns: first_ns + 5_140,
        flags: flag::FAR,
        tuple: Tuple {
            local: near.tuple.remote,
            remote: near.tuple.local,
            local_port: near.tuple.remote_port,
            remote_port: near.tuple.local_port,
        },
        ..near
    }
}

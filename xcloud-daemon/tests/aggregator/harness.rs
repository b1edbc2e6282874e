//! The real server on a loopback port, and agents that speak to it by hand.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use xcloud::{
    loadtest::director::Director,
    measure::{join, state, store, workload::Keep},
    wire::{
        convert,
        outbox::Named,
        server::{Hub, Listener, routes, serve},
    },
};
use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::{Tuple, address},
};
use xcloud_proto::{
    common::v1::{Loss, Site},
    ingest::v1::{
        Hello, SampleBatch, StreamBatchesRequest, StreamBatchesResponse, Totals,
        ingest_service_client::IngestServiceClient, stream_batches_request::Message,
    },
    observer::v1::{
        GetServerStatusRequest, GetServerStatusResponse, LossReport, QuerySplitRequest,
        QuerySplitResponse, observer_service_client::ObserverServiceClient,
    },
};

/// When every agent here sends, by its own clock.
pub(crate) const SENT_NS: u64 = 1_000_000_000_000;

/// A running aggregator; gone when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let limits = state::Limits {
            join: join::Limits { window_ns: 60_000_000_000, capacity: 1000 },
            store: store::Limits {
                interval_ns: 10_000_000_000,
                retention_ns: 600_000_000_000,
                max_paths: 100,
                keep: Keep::Workload,
            },
            max_agents: 4,
        };
        let hub = Hub::new(limits, CancellationToken::new());
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let director = Director::idle(hub.stop.clone()).expect("price lists");
        let routes = routes(&hub, &director).await.expect("descriptors");
        let task = tokio::spawn(serve(Arc::clone(&hub), routes, Listener::Tcp(listener)));
        Self { address, hub, task }
    }

    pub(crate) const fn socket(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint =
            Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the server answers")
    }

    pub(crate) async fn observer(&self) -> ObserverServiceClient<Channel> {
        ObserverServiceClient::new(self.channel().await)
    }

    pub(crate) async fn split(&self) -> QuerySplitResponse {
        let answer = self.observer().await.query_split(QuerySplitRequest::default()).await;
        answer.expect("an answer").into_inner()
    }

    /// The server's status; it lives on, and everything emitted is accounted for, by every agent and in sum.
    pub(crate) async fn status(&self) -> GetServerStatusResponse {
        let mut observer = self.observer().await;
        let nodes = observer.list_nodes(xcloud_proto::observer::v1::ListNodesRequest {}).await;
        for node in nodes.expect("an answer").into_inner().nodes {
            assert_balanced(&node.loss.expect("a report"));
        }
        let status = observer.get_server_status(GetServerStatusRequest {}).await;
        let status = status.expect("an answer").into_inner();
        assert_balanced(&status.loss.expect("a report"));
        status
    }

    pub(crate) async fn stop(self) {
        self.hub.stop.cancel();
        self.task.await.expect("no panic").expect("no error");
    }
}

fn assert_balanced(report: &LossReport) {
    let Loss { ring, slot, retransmit, queue, join, agent, store, hidden } =
        report.lost.unwrap_or_default();
    let lost = ring + slot + retransmit + queue + join + agent + store + hidden;
    let accounted = report.delivered + lost + report.pending + report.earlier;
    assert_eq!(report.emitted, accounted, "{report:?}");
}

/// One stream of an agent.
pub(crate) struct Agent {
    requests: mpsc::Sender<StreamBatchesRequest>,
    pub(crate) answers: Streaming<StreamBatchesResponse>,
}

impl Agent {
    /// Opens a stream and says hello.
    pub(crate) async fn connect(server: &Server, hello: Hello) -> Self {
        let mut agent = Self::silent(server).await;
        agent.send(Message::Hello(hello)).await;
        agent
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn silent(server: &Server) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let mut client = IngestServiceClient::new(server.channel().await);
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

/// The near end of an exchange.
pub(crate) fn near(end_seq: u32) -> Sample {
    let first_ns = SENT_NS - 100_000_000;
    Sample {
        first_ns,
        second_ns: first_ns + 300,
        third_ns: first_ns + 40_300,
        last_ns: first_ns + 40_400,
        queue_ns: first_ns + 200,
        end_seq,
        tsval: 7,
        answer: end_seq ^ 1,
        pod_ifindex: 2,
        uplink_ifindex: 3,
        tuple: Tuple {
            local: address([10; 16]),
            remote: address([20; 16]),
            local_port: 40_000,
            remote_port: 80,
        },
        kinds: kind::ACK | kind::RESPONSE,
        flags: 0,
        shift: 0,
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

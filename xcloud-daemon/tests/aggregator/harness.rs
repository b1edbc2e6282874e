//! The real server on a loopback port, and agents that speak to it by hand.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use xcloud::{
    access::door::Listener,
    loadtest::director::Director,
    measure::{join, state, store, workload::Keep},
    wire::server::{Hub, routes, serve},
};
use xcloud_proto::{
    common::v1::Loss,
    ingest::v1::Hello,
    observer::v1::{
        GetServerStatusRequest, GetServerStatusResponse, LossReport, QuerySplitRequest,
        QuerySplitResponse, observer_service_client::ObserverServiceClient,
    },
};

pub(crate) use crate::{
    agent::{Agent, batch, far, hello},
    sample::{SENT_NS, near},
};

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
                max_bytes: usize::MAX,
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

impl Agent {
    /// Opens a stream and says hello.
    pub(crate) async fn connect(server: &Server, hello: Hello) -> Self {
        Self::on(server.channel().await, hello).await
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn silent(server: &Server) -> Self {
        Self::silent_on(server.channel().await).await
    }
}

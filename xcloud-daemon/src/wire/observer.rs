//! Answers users and collectors.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use xcloud_proto::{
    common::v1::Endpoint,
    observer::v1::{
        Exchange, GetServerStatusRequest, GetServerStatusResponse, ListNodesRequest,
        ListNodesResponse, QueryEgressRequest, QueryEgressResponse, QuerySplitRequest,
        QuerySplitResponse, WatchExchangesRequest, WatchExchangesResponse,
        observer_service_server::ObserverService, watch_exchanges_response::Item,
    },
};

use super::{
    answer::{self, Detail, nanoseconds, timestamp},
    filter::{Filter, Grouping, site_matches},
    server::Hub,
};
use crate::measure::{
    state::State,
    store::{Path, Range},
    workload::Keep,
};

/// Exchanges on their way to one reader.
const READER_BUFFER: usize = 64;

/// The service.
#[derive(Debug)]
pub struct Observer {
    hub: Arc<Hub>,
}

impl Observer {
    /// Over a memory.
    #[must_use]
    pub const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[tonic::async_trait]
impl ObserverService for Observer {
    type WatchExchangesStream = ReceiverStream<Result<WatchExchangesResponse, Status>>;

    async fn query_split(
        &self,
        request: Request<QuerySplitRequest>,
    ) -> Result<Response<QuerySplitResponse>, Status> {
        let keep = self.hub.read(|state| state.store().workloads.keep());
        let question = Question::read(request.into_inner(), keep, self.hub.now_ns())
            .map_err(Status::invalid_argument)?;
        let mut answer = self.hub.read(|state| question.answer(state));
        if question.include_stages {
            answer.stages = self.hub.stage_profiles(|site| question.filter.touches(site));
        }
        Ok(Response::new(answer))
    }

    async fn watch_exchanges(
        &self,
        request: Request<WatchExchangesRequest>,
    ) -> Result<Response<Self::WatchExchangesStream>, Status> {
        let request = request.into_inner();
        let keep = self.hub.read(|state| state.store().workloads.keep());
        let filter = Filter::read(request.filter.unwrap_or_default(), keep)
            .map_err(Status::invalid_argument)?;
        let destination = request.destination.as_ref().map(Destination::read).transpose();
        let wanted = Wanted {
            filter,
            limit: request.limit,
            min_total_ns: request.min_total_ns,
            destination: destination.map_err(Status::invalid_argument)?,
        };
        let (answers, receiver) = mpsc::channel(READER_BUFFER);
        let hub = Arc::clone(&self.hub);
        // From here on nothing is missed.
        let exchanges = hub.watch();
        tokio::spawn(async move { follow(&hub, exchanges, &wanted, &answers).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let nodes = self.hub.read(|state| {
            let status = |agent| answer::node(agent, state.store().site(agent.identity.site));
            state.agents().into_iter().map(status).collect()
        });
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn query_egress(
        &self,
        request: Request<QueryEgressRequest>,
    ) -> Result<Response<QueryEgressResponse>, Status> {
        let near = request.into_inner().near.unwrap_or_default();
        let nodes = self.hub.egress(|site| site_matches(&near, site));
        Ok(Response::new(QueryEgressResponse { nodes }))
    }

    async fn get_server_status(
        &self,
        _: Request<GetServerStatusRequest>,
    ) -> Result<Response<GetServerStatusResponse>, Status> {
        let started = Some(timestamp(self.hub.start_ns()));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Response::new(self.hub.read(|state| GetServerStatusResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            started,
            oldest_available: state.store().oldest_ns().map(timestamp),
            connected_agents: count(state.agents().iter().filter(|one| one.connected).count()),
            known_agents: count(state.agents().len()),
            loss: Some(answer::loss(&state.account())),
            joined_exchanges: state.join_counts().joined,
            join_loss: Some(answer::join_loss(state.join_counts())),
            refused: state.refused(),
            unnamed_observations: state.unnamed(),
        })))
    }
}

/// A query that was understood.
struct Question {
    filter: Filter,
    grouping: Grouping,
    start_ns: Option<u64>,
    end_ns: u64,
    now_ns: u64,
    detail: Detail,
    include_stages: bool,
}

impl Question {
    fn read(request: QuerySplitRequest, keep: Keep, now_ns: u64) -> Result<Self, String> {
        let quantile = request.tail_quantile;
        let tail_quantile = if quantile == 0.0 { 0.99 } else { quantile };
        if !(0.5..1.0).contains(&tail_quantile) {
            return Err(format!("tail_quantile is {quantile}, not from 0.5 to below 1"));
        }
        let grouping = Grouping::read(request.group_by, keep)?;
        let start_ns = request.start.as_ref().map(nanoseconds);
        let end_ns = request.end.as_ref().map_or(now_ns, nanoseconds);
        if start_ns.is_some_and(|start_ns| start_ns > end_ns) {
            return Err("start is later than end".into());
        }
        let filter = Filter::read(request.filter.unwrap_or_default(), keep)?;
        let detail = Detail { tail_quantile, histograms: request.include_histograms };
        let include_stages = request.include_stages;
        Ok(Self { filter, grouping, start_ns, end_ns, now_ns, detail, include_stages })
    }

    fn answer(&self, state: &State) -> QuerySplitResponse {
        let store = state.store();
        let oldest_ns = store.oldest_ns();
        let start_ns = self.start_ns.or(oldest_ns).unwrap_or(self.end_ns).min(self.end_ns);
        let key =
            |path: &Path| self.filter.takes(store, path).then(|| self.grouping.of(store, path));
        let (answered, groups) = store.query(Range { start_ns, end_ns: self.end_ns }, key);
        let paths =
            groups.iter().map(|(group, cell)| answer::path(group, cell, self.detail)).collect();
        let nodes = state.agents().into_iter();
        let pods =
            nodes.flat_map(|agent| answer::node_pods(agent, store.site(agent.identity.site)));
        QuerySplitResponse {
            paths,
            pods: pods.collect(),
            loss: Some(answer::loss(&state.account())),
            stages: Vec::new(),
            oldest_available: oldest_ns.map(timestamp),
            start: Some(timestamp(answered.start_ns)),
            // The last interval may go on; nothing is known of the time to come.
            end: Some(timestamp(answered.end_ns.min(self.now_ns.max(self.end_ns)))),
        }
    }
}

/// What a reader of exchanges wants.
struct Wanted {
    filter: Filter,
    /// 0 for no limit.
    limit: u64,
    min_total_ns: u64,
    destination: Option<Destination>,
}

/// Where data was addressed to.
#[derive(Clone, Copy, Debug)]
struct Destination {
    address: IpAddr,
    /// 0 for any.
    port: u16,
}

impl Destination {
    fn read(end: &Endpoint) -> Result<Self, String> {
        let address = answer::address(&end.address).ok_or_else(|| {
            format!("destination.address has {} bytes, not 4 or 16", end.address.len())
        })?;
        let port = u16::try_from(end.port);
        let port = port.map_err(|_| format!("destination.port is {}", end.port))?;
        Ok(Self { address, port })
    }

    fn takes(self, end: Option<&Endpoint>) -> bool {
        end.is_some_and(|end| {
            answer::address(&end.address) == Some(self.address)
                && (self.port == 0 || end.port == u32::from(self.port))
        })
    }
}

type Answers = mpsc::Sender<Result<WatchExchangesResponse, Status>>;

async fn follow(
    hub: &Hub,
    mut exchanges: broadcast::Receiver<Arc<Exchange>>,
    wanted: &Wanted,
    answers: &Answers,
) {
    let mut sent = 0;
    loop {
        let next = tokio::select! {
            next = exchanges.recv() => next,
            () = answers.closed() => return,
            () = hub.stop.cancelled() => {
                let _ = answers.send(Err(Status::unavailable("the aggregator is stopping"))).await;
                return;
            }
        };
        let item = match next {
            Ok(exchange) if wanted.takes(&exchange) => Item::Exchange((*exchange).clone()),
            Ok(_) => continue,
            Err(RecvError::Lagged(skipped)) => Item::Skipped(skipped),
            Err(RecvError::Closed) => return,
        };
        sent += u64::from(matches!(item, Item::Exchange(_)));
        let answer = WatchExchangesResponse { item: Some(item) };
        if answers.send(Ok(answer)).await.is_err() || sent == wanted.limit && wanted.limit > 0 {
            return;
        }
    }
}

impl Wanted {
    fn takes(&self, exchange: &Exchange) -> bool {
        exchange.total_ns >= self.min_total_ns
            && self.destination.is_none_or(|to| to.takes(exchange.destination.as_ref()))
            && self.filter.takes_exchange(exchange)
    }
}

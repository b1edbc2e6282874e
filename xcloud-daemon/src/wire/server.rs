//! The aggregator's gRPC server: one memory behind one lock, all services, health and reflection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::Server};
use tower::layer::util::{Identity, Stack};
use xcloud_proto::{
    DESCRIPTORS,
    common::v1::StageProfile,
    ingest::v1::{Egress, ingest_service_server::IngestServiceServer},
    loadtest::v1::{
        endpoint_service_server::EndpointServiceServer,
        load_test_service_server::LoadTestServiceServer,
    },
    observer::v1::{
        Exchange, NodeEgress, NodeStages, observer_service_server::ObserverServiceServer,
    },
};

use super::{
    answer,
    egress::{
        Accounts,
        sums::{Line, Sums},
    },
    ingest::Ingest,
    observer::Observer,
};
use crate::{
    access::{
        door::{self, Listener},
        entrance::Entrance,
        gate::Gate,
    },
    loadtest::{attend::Attendance, director::Director, service::LoadTests},
    measure::{
        AgentId, Site, cumulative,
        ledger::{BootId, PodView},
        places::Address,
        state::{Batch, Limits, Opening, Refusal, State, Stream},
    },
    sites::Sites,
};

/// Largest message an agent may send.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Largest question.
const MAX_QUESTION_BYTES: usize = 64 << 10;
/// Calls open at once on one connection.
const MAX_CALLS: u32 = 64;
/// A peer that vanished without a word is noticed after this and [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest headers of a call, unpacked; also bounds what CONTINUATION frames may add up to.
const MAX_HEADERS: u32 = 16 << 10;
/// Calls that a peer took back before they were looked at; more end its connection.
const MAX_TAKEN_BACK: usize = 20;
/// Calls of a connection that ended by its peer's mistakes; more end the connection.
const MAX_MISTAKES: usize = 64;
/// Exchanges a slow reader may be behind before it misses some.
const WATCH_BUFFER: usize = 4096;
/// How often refusals are told.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// The aggregator's memory, shared between its streams. The lock is never held across an await.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    exchanges: broadcast::Sender<Arc<Exchange>>,
    start: Instant,
    start_ns: u64,
    /// Cancelled when the aggregator stops; every stream ends then.
    pub stop: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Those that are open.
    streams: HashMap<AgentId, Open>,
    /// The latest of each agent that keeps one.
    stage_profiles: BTreeMap<AgentId, StageProfile>,
    egress: Accounts,
    /// What left, summed by place since the start, where anybody wants that.
    egress_sums: Option<Sums>,
    refusals: Refusals,
}

/// An agent's stream.
#[derive(Debug)]
struct Open {
    /// Cancelled when a newer one takes over.
    replaced: CancellationToken,
    /// Who opened it, where callers are told apart.
    by: Option<String>,
}

/// Refusals not told yet.
#[derive(Debug, Default)]
struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

impl Hub {
    /// An empty memory, as of now.
    #[must_use]
    pub fn new(limits: Limits, stop: CancellationToken) -> Arc<Self> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Arc::new(Self {
            inner: Mutex::new(Inner {
                state: State::new(limits),
                streams: HashMap::new(),
                stage_profiles: BTreeMap::new(),
                egress: Accounts::default(),
                egress_sums: None,
                refusals: Refusals::default(),
            }),
            exchanges: broadcast::Sender::new(WATCH_BUFFER),
            start: Instant::now(),
            start_ns: u64::try_from(since_1970.unwrap_or_default().as_nanos()).unwrap_or(0),
            stop,
        })
    }

    /// Nanoseconds since 1970 by a clock that never goes back: the wall clock at start, the monotonic one since.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        let since = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.start_ns.saturating_add(since)
    }

    /// When it began, in nanoseconds since 1970.
    #[must_use]
    pub const fn start_ns(&self) -> u64 {
        self.start_ns
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one stream must not stop the others.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the memory.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// Holds as much from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.lock().state.set_limits(limits);
    }

    /// Gives up what has waited long enough and forgets what is too old.
    pub fn tick(&self) {
        let now_ns = self.now_ns();
        self.lock().state.tick(now_ns);
    }

    /// Opens an agent's stream, `by` whom where callers are told apart. Returns the highest sequence that needs not be
    /// sent, and what is cancelled when a newer stream takes over.
    ///
    /// # Errors
    /// The opening is refused, or the agent's stream is open and somebody else's.
    pub fn open(
        &self,
        opening: Opening,
        by: Option<String>,
    ) -> Result<(Stream, u64, CancellationToken), Refusal> {
        let now_ns = self.now_ns();
        let mut inner = self.lock();
        let older = inner.state.named(&opening.name).and_then(|agent| inner.streams.get(&agent));
        if let Some(Open { by: Some(holder), .. }) = older.filter(|older| older.by != by) {
            let (name, by) = (&opening.name, by.as_deref().unwrap_or("somebody without one"));
            return Err(Refusal::Taken(format!(
                "agent {name:?} streams with the certificate of {holder}, and {by} may not take over while it does"
            )));
        }
        let (stream, acked) = inner.state.open(now_ns, opening)?;
        if let Some(agent) = inner.state.take_forgotten() {
            inner.stage_profiles.remove(&agent);
            inner.egress.forget(agent);
        }
        let replaced = CancellationToken::new();
        let open = Open { replaced: replaced.clone(), by };
        if let Some(older) = inner.streams.insert(stream.agent, open) {
            older.replaced.cancel();
        }
        Ok((stream, acked, replaced))
    }

    /// Closes an agent's stream.
    pub fn close(&self, stream: &Stream, replaced: &CancellationToken) {
        let mut inner = self.lock();
        inner.state.close(stream);
        if !replaced.is_cancelled() {
            inner.streams.remove(&stream.agent);
        }
    }

    /// Takes in what an agent's hooks see now.
    pub fn tell(
        &self,
        stream: &Stream,
        hooks: Vec<String>,
        pods: Vec<PodView>,
        addresses: Vec<Address>,
    ) {
        self.lock().state.tell(stream, hooks, pods, addresses);
    }

    /// Puts another table of networks in place of the operator's.
    pub fn set_sites(&self, networks: Sites) {
        self.lock().state.set_sites(networks);
    }

    /// Puts another table of networks in place of a provider's, by its number.
    pub fn set_ranges(&self, number: usize, networks: Sites) {
        self.lock().state.set_ranges(number, networks);
    }

    /// Takes a batch, once. Returns the highest sequence merged.
    ///
    /// # Errors
    /// The batch is refused whole.
    pub fn take(&self, stream: &Stream, batch: &Batch) -> Result<u64, Refusal> {
        let now_ns = self.now_ns();
        let watched = self.exchanges.receiver_count() > 0;
        self.lock().state.take(now_ns, stream, batch, &mut |joined| {
            if watched {
                // No reader is left: then nobody misses it.
                let _ = self.exchanges.send(answer::exchange(joined));
            }
        })
    }

    /// Keeps an agent's stage profile in place of the one before.
    pub fn keep_stages(&self, stream: &Stream, profile: StageProfile) {
        self.lock().stage_profiles.insert(stream.agent, profile);
    }

    /// The stage profiles there are, of the sites wanted.
    pub fn stage_profiles(&self, wanted: impl Fn(&Site) -> bool) -> Vec<NodeStages> {
        let inner = self.lock();
        let profiles = inner.stage_profiles.iter().filter_map(|(agent, profile)| {
            let site = inner.state.store().site(inner.state.agent(*agent)?.identity.site);
            wanted(site).then(|| NodeStages {
                site: Some(answer::site(site)),
                profile: Some(profile.clone()),
            })
        });
        profiles.collect()
    }

    /// Keeps what an agent told of what left its node, in this life of it.
    pub fn keep_egress(&self, stream: &Stream, boot: BootId, told: Egress) {
        self.lock().egress.keep(stream.agent, boot, told);
    }

    /// What left the nodes of the sites wanted.
    pub fn egress(&self, wanted: impl Fn(&Site) -> bool) -> Vec<NodeEgress> {
        let inner = self.lock();
        inner.egress.answer(&inner.state, wanted)
    }

    /// Also sums what comes from now on since the start, for metrics.
    pub fn keep_cumulative(&self, limits: cumulative::Limits) {
        let mut inner = self.lock();
        inner.egress_sums = Some(Sums::new(limits.tier, limits.most));
        inner.state.keep_cumulative(limits);
    }

    /// What left the nodes since the start, summed by place.
    pub fn egress_sums(&self) -> Vec<Line> {
        let mut inner = self.lock();
        let Inner { state, egress, egress_sums, .. } = &mut *inner;
        let Some(sums) = egress_sums else { return Vec::new() };
        egress.sum(state, sums);
        sums.lines()
    }

    /// Joined exchanges from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<Exchange>> {
        self.exchanges.subscribe()
    }

    /// Counts a refusal, and tells of it if none was told lately.
    pub fn refused(&self, agent: &str, status: &Status) {
        let mut inner = self.lock();
        inner.state.count_refused();
        let refusals = &mut inner.refusals;
        if refusals.told.is_some_and(|told| told.elapsed() < REFUSALS_EVERY) {
            refusals.untold += 1;
            return;
        }
        let before = std::mem::take(&mut refusals.untold);
        refusals.told = Some(Instant::now());
        drop(inner);
        tracing::warn!(
            agent,
            "refused {agent:?}: {:?}: {} ({before} more since the last such line)",
            status.code(),
            status.message().escape_debug()
        );
    }
}

/// All services: of measurements over one memory, of load tests by one director.
///
/// # Errors
/// The compiled-in descriptors cannot be read.
pub async fn routes(hub: &Arc<Hub>, director: &Arc<Director>) -> Result<Routes> {
    let ingest = IngestServiceServer::new(Ingest::new(Arc::clone(hub)))
        .max_decoding_message_size(MAX_BATCH_BYTES);
    let observer = ObserverServiceServer::new(Observer::new(Arc::clone(hub)))
        .max_decoding_message_size(MAX_QUESTION_BYTES);
    let load_tests = LoadTestServiceServer::new(LoadTests::new(Arc::clone(director)))
        .max_decoding_message_size(MAX_QUESTION_BYTES);
    let endpoints = EndpointServiceServer::new(Attendance::new(Arc::clone(director)))
        .max_decoding_message_size(MAX_QUESTION_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<IngestServiceServer<Ingest>>().await;
    health.set_serving::<ObserverServiceServer<Observer>>().await;
    health.set_serving::<LoadTestServiceServer<LoadTests>>().await;
    health.set_serving::<EndpointServiceServer<Attendance>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(ingest)
        .add_service(observer)
        .add_service(load_tests)
        .add_service(endpoints)
        .add_service(health_service)
        .add_service(reflection().build_v1().context("compiled-in descriptors")?)
        .add_service(reflection().build_v1alpha().context("compiled-in descriptors")?);
    Ok(routes.routes())
}

/// Serves without TLS until the hub is stopped and every connection has ended.
///
/// # Errors
/// The listener breaks.
pub async fn serve(hub: Arc<Hub>, routes: Routes, listener: Listener) -> Result<()> {
    serve_at(hub, routes, listener, Arc::default()).await
}

/// Serves whom an entrance lets in until the hub is stopped and every connection has ended.
///
/// # Errors
/// The listener breaks.
pub async fn serve_at(
    hub: Arc<Hub>,
    routes: Routes,
    listener: Listener,
    entrance: Arc<Entrance>,
) -> Result<()> {
    let router = limited(&entrance).add_routes(routes);
    let guests = door::open(listener, entrance, hub.stop.clone());
    router.serve_with_incoming_shutdown(guests, hub.stop.clone().cancelled_owned()).await?;
    Ok(())
}

/// A server that bears what strangers do, behind the gate of an entrance.
#[must_use]
pub fn limited(entrance: &Arc<Entrance>) -> Server<Stack<Gate, Identity>> {
    Server::builder()
        .max_concurrent_streams(MAX_CALLS)
        .concurrency_limit_per_connection(MAX_CALLS as usize)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_TAKEN_BACK))
        .http2_max_local_error_reset_streams(Some(MAX_MISTAKES))
        .layer(Gate::new(Arc::clone(entrance)))
}

#[cfg(test)]
mod tests;

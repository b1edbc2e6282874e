//! Exports by OTLP over gRPC: what was measured since the start, every so often. All of it is cumulative, so an export
//! that failed is made up for by the next.

mod attributes;
pub mod headers;
pub mod message;
pub mod points;
pub mod tls;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use hyper::http::uri::{PathAndQuery, Scheme, Uri};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Extensions, Status,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use self::{
    headers::Headers,
    message::{Request, Response},
    points::{Frame, Points},
    tls::Tls,
};
use super::{Source as _, aggregator::Aggregator};
use crate::{
    usage::usage,
    wire::{backoff, connect::describe},
};

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the receiver may take for one request.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the last export may take when the aggregator stops.
const LAST_WITHIN: Duration = Duration::from_secs(3);
/// Requests made ahead of the one that is sent.
const AHEAD: usize = 1;
/// How often failures are told.
const FAILURES_EVERY: Duration = Duration::from_secs(60);

/// Where to, how, and how often.
#[derive(Debug)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// For the latter.
    pub tls: Option<Tls>,
    /// Headers of each request.
    pub headers: Headers,
    /// Time between exports.
    pub interval: Duration,
    /// `service.instance.id`.
    pub instance: String,
}

/// Sends exports.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    channel: Channel,
    source: Arc<Aggregator>,
    told: Option<Instant>,
}

impl Exporter {
    /// Connects when there is something to send.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn new(mut settings: Settings, source: Arc<Aggregator>) -> Result<Self> {
        let (uri, host, port) = place(&settings.endpoint)?;
        let endpoint = Endpoint::from(uri).connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN);
        let channel = match settings.tls.take().map(Arc::new) {
            Some(tls) => endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
                let (tls, host) = (Arc::clone(&tls), host.clone());
                async move { tls.connect(&host, port).await.map(TokioIo::new) }
            })),
            None => endpoint.connect_lazy(),
        };
        Ok(Self { settings, channel, source, told: None })
    }

    /// Exports until it is stopped, and a last time then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, when there is nothing yet.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let until = Instant::now() + self.settings.interval;
                    tokio::select! {
                        () = self.export(until) => {}
                        () = stop.cancelled() => break,
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        if timeout(LAST_WITHIN, self.export(Instant::now() + LAST_WITHIN)).await.is_err() {
            tracing::warn!("OTLP: the last export was not taken within {LAST_WITHIN:?}");
        }
    }

    /// Exports all there is, request by request; what is not taken until then is given up.
    async fn export(&mut self, until: Instant) {
        let (hand_on, mut requests) = mpsc::channel::<Request>(AHEAD);
        let source = Arc::clone(&self.source);
        let frame = Frame {
            instance: self.settings.instance.clone(),
            start_ns: source.hub.start_ns(),
            now_ns: source.hub.now_ns(),
        };
        let making = spawn_blocking(move || {
            let mut points = Points::new(frame, |request| hand_on.blocking_send(request).is_ok());
            source.tell(&mut points);
            points.finish();
        });
        let sent = self.send_all(&mut requests, until).await;
        drop(requests);
        let made = making.await.context("making the export");
        self.conclude(made.and(sent));
    }

    async fn send_all(&self, requests: &mut mpsc::Receiver<Request>, until: Instant) -> Result<()> {
        let headers = self.settings.headers.now()?;
        while let Some(request) = requests.recv().await {
            let sent = self.send(request, &headers, until).await;
            sent.map_err(|status| anyhow::anyhow!(describe(&status)))?;
        }
        Ok(())
    }

    /// Sends one request, again where that may help.
    async fn send(
        &self,
        request: Request,
        headers: &MetadataMap,
        until: Instant,
    ) -> Result<(), Status> {
        for attempt in 0.. {
            let status = match self.call(request.clone(), headers.clone()).await {
                Ok(response) => {
                    let rejected = response.partial_success.map_or(0, |it| it.rejected_data_points);
                    let rejected = u64::try_from(rejected).unwrap_or(0);
                    self.source.exports.rejected.fetch_add(rejected, Ordering::Relaxed);
                    return Ok(());
                }
                Err(status) => status,
            };
            let pause = backoff::pause(attempt);
            if !may_pass(status.code()) || Instant::now() + pause >= until {
                return Err(status);
            }
            sleep(pause).await;
        }
        Ok(())
    }

    async fn call(&self, request: Request, headers: MetadataMap) -> Result<Response, Status> {
        let mut client = Grpc::new(self.channel.clone());
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(Box::new(error)))?;
        let codec = ProstCodec::<Request, Response>::default();
        let path = PathAndQuery::from_static(EXPORT);
        let request = tonic::Request::from_parts(headers, Extensions::default(), request);
        Ok(client.unary(request, path, codec).await?.into_inner())
    }

    fn conclude(&mut self, result: Result<()>) {
        let exports = &self.source.exports;
        let Err(error) = result else {
            exports.ok.fetch_add(1, Ordering::Relaxed);
            if self.told.take().is_some() {
                tracing::info!("OTLP: {} takes exports again", self.settings.endpoint);
            }
            return;
        };
        exports.failed.fetch_add(1, Ordering::Relaxed);
        if self.told.is_none_or(|told| told.elapsed() >= FAILURES_EVERY) {
            tracing::warn!(
                "OTLP: exporting to {}: {error:#}; what was missed is in the next export that is taken",
                self.settings.endpoint
            );
            self.told = Some(Instant::now());
        }
    }
}

/// Where a receiver is.
///
/// # Errors
/// The text is no such address.
fn place(endpoint: &str) -> Result<(Uri, String, u16)> {
    let parts = |uri: Uri| {
        let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        let (host, port) = (uri.host()?.to_owned(), uri.port_u16()?);
        (known && !host.is_empty()).then_some((uri, host, port))
    };
    endpoint.parse().ok().and_then(parts).ok_or_else(|| {
        usage(format!(
            "--otlp-endpoint {endpoint:?} is neither http://HOST:PORT nor https://HOST:PORT, as in http://127.0.0.1:4317"
        ))
    })
}

/// Whether a receiver is to be reached by TLS.
///
/// # Errors
/// The text is no address of one.
pub fn is_secure(endpoint: &str) -> Result<bool> {
    Ok(place(endpoint)?.0.scheme() == Some(&Scheme::HTTPS))
}

/// Whether the same request may be taken later, by OTLP's list.
const fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{join, state::Limits, store, workload::Keep},
        usage::UsageError,
        wire::server::Hub,
    };

    fn exporter(endpoint: &str) -> Result<Exporter> {
        let limits = Limits {
            join: join::Limits { window_ns: 1, capacity: 1 },
            store: store::Limits {
                interval_ns: 1,
                retention_ns: 1,
                max_paths: 1,
                max_bytes: usize::MAX,
                keep: Keep::Nothing,
            },
            max_agents: 1,
        };
        let hub = Hub::new(limits, CancellationToken::new());
        let settings = Settings {
            endpoint: endpoint.into(),
            tls: None,
            headers: Headers::Fixed(MetadataMap::new()),
            interval: Duration::from_secs(1),
            instance: "test".into(),
        };
        Exporter::new(settings, Arc::new(Aggregator { hub, exports: Arc::default() }))
    }

    #[tokio::test]
    async fn an_endpoint_that_is_none_is_a_wrong_flag() {
        for wrong in ["", "127.0.0.1:4317", "http://", "http://a b", "https://a", "ftp://a:1"] {
            let error = exporter(wrong).expect_err(wrong);
            assert!(error.is::<UsageError>(), "{wrong}: {error:#}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_is_not_there_costs_one_export_and_no_more() {
        // Bound and never listened on, so nobody else answers there meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = socket.local_addr().expect("bound");
        let mut exporter = exporter(&format!("http://{address}")).expect("an address");
        exporter.export(Instant::now() + Duration::from_millis(500)).await;
        let exports = &exporter.source.exports;
        let counts = [&exports.ok, &exports.failed].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1]);
        assert!(exporter.told.is_some());
    }
}

//! Answers scrapes: `GET /metrics` by HTTP/1.1 and nothing else, within bounds whoever asks.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::body::{Piece, Pieces, Streamed};
use super::{
    Source, Written,
    negotiate::{Format, format},
    protobuf::Protobuf,
    text::{Dialect, Text},
};

/// Connections open at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 8;
/// Answers made at once; further requests wait. Text is written away as it is made, but of protocol buffers a whole family
/// has to be in memory, as its length comes first.
const MOST_AT_ONCE: usize = 2;
/// Pieces made ahead of the one that is being written.
const AHEAD: usize = 1;
/// How long a request may take to come.
const REQUEST_WITHIN: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5_000 });
/// How long a connection may last, with a slow reader at its end.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes and number of a request's headers.
const MOST_HEADER_BYTES: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// Pause after a failed accept, mostly for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A bound endpoint.
#[derive(Debug)]
pub struct Endpoint(TcpListener);

impl Endpoint {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let listening = || format!("listening on --metrics-listen {address}");
        let listener = TcpListener::bind(address).await.with_context(listening)?;
        tracing::info!(
            "metrics: http://{}/metrics",
            listener.local_addr().with_context(listening)?
        );
        Ok(Self(listener))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket does not know.
    pub fn address(&self) -> Result<SocketAddr> {
        self.0.local_addr().context("asking a socket for its address")
    }

    /// Answers until it is dropped.
    pub async fn serve(self, source: Arc<dyn Source>) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let (source, turns) = (Arc::clone(&source), Arc::clone(&turns));
                    tokio::spawn(async move {
                        answer(stream, source, turns).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!("metrics: accepting a connection: {error}");
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

/// One request a connection: scrapers come every few seconds at most, and an idle connection would hold a place.
async fn answer(stream: TcpStream, source: Arc<dyn Source>, turns: Arc<Semaphore>) {
    let service = service_fn(|request| respond(request, Arc::clone(&source), Arc::clone(&turns)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(MOST_HEADER_BYTES)
        .max_headers(MOST_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(WHOLE_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("metrics: a connection: {error}"),
        Err(_) => tracing::debug!("metrics: a connection took longer than {WHOLE_WITHIN:?}"),
    }
}

async fn respond(
    request: Request<Incoming>,
    source: Arc<dyn Source>,
    turns: Arc<Semaphore>,
) -> Result<Response<Pieces>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"));
    }
    if request.method() != Method::GET {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
        return Ok(refusal);
    }
    let accept = request.headers().get_all(ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = format(&accept.join(","));
    let turn = turns.acquire_owned().await;
    let (hand_on, made) = mpsc::channel(AHEAD);
    // Collecting takes its time where there are many paths, and the thread has calls to serve.
    spawn_blocking(move || {
        write(source.as_ref(), format, |piece| hand_on.blocking_send(piece).is_ok())
    });
    let Some(body) = Pieces::of(made, turn.ok()).await else {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "collecting failed\n"));
    };
    let mut response = Response::new(body);
    let content_type = hyper::header::HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Pieces> {
    let mut response = Response::new(Pieces::whole(text));
    *response.status_mut() = status;
    response
}

/// All of a source's metrics in a format, piece by piece.
fn write(source: &dyn Source, format: Format, hand_on: impl FnMut(Piece) -> bool + Send) {
    let dialect = match format {
        Format::Text | Format::Text1 => Dialect::Prometheus,
        Format::OpenMetrics => Dialect::OpenMetrics,
        Format::Protobuf => return tell(source, Protobuf::default(), hand_on),
    };
    tell(source, Text::new(dialect), hand_on);
}

fn tell(source: &dyn Source, to: impl Written, hand_on: impl FnMut(Piece) -> bool + Send) {
    let mut streamed = Streamed::new(to, hand_on);
    source.tell(&mut streamed);
    streamed.finish();
}

mod body;
#[cfg(test)]
mod tests;

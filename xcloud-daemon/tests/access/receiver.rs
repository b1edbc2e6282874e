//! A receiver of OTLP by TLS: tonic's server, and what it was told.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{
    Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::Connected},
};
use tonic_prost::ProstCodec;
use tower::Service;
use xcloud::metrics::otlp::message;

use crate::{
    authority::{Authority, NOW},
    harness::PATIENCE,
};

/// The `authorization` of each export that it took.
type Taken = Arc<Mutex<Vec<String>>>;

/// A receiver, gone when dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    taken: Taken,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// One that an authority vouches for as `localhost`, and that takes exports from whom another one vouches for, or from
    /// everybody.
    pub(crate) async fn start(authority: &Authority, callers: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let taken = Taken::default();
        let (acceptor, export) = (acceptor(authority, callers), Export(Arc::clone(&taken)));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (acceptor, export) = (acceptor.clone(), export.clone());
                tokio::spawn(async move {
                    // Who does not believe it goes away.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let one = tokio_stream::once(io::Result::Ok(Peer(stream)));
                    let _ = Server::builder().add_service(export).serve_with_incoming(one).await;
                });
            }
        });
        Self { address, taken, serving }
    }

    /// Its address by the name in its certificate.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Waits for an export with this `authorization`.
    pub(crate) async fn await_export(&self, authorization: &str) {
        let late = Instant::now() + PATIENCE;
        while !self.taken().iter().any(|one| one == authorization) {
            assert!(Instant::now() < late, "no export with {authorization:?}: {:?}", self.taken());
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("no panic").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(authority: &Authority, callers: Option<&Authority>) -> TlsAcceptor {
    let pair = authority.issue(&["localhost"], NOW);
    let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match callers {
        Some(callers) => {
            let mut roots = RootCertStore::empty();
            let pem = callers.pem().as_bytes();
            roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("authorities"))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain.expect("PEM"), key).expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A connection, as tonic wants one.
struct Peer(TlsStream<TcpStream>);

impl Connected for Peer {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// `MetricsService`, which has one method.
#[derive(Clone)]
struct Export(Taken);

impl NamedService for Export {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl Service<Request<Body>> for Export {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let export = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<message::Response, message::Request>::default();
            Ok(Grpc::new(codec).unary(export, request).await)
        })
    }
}

impl UnaryService<message::Request> for Export {
    type Response = message::Response;
    type Future = std::future::Ready<Result<tonic::Response<message::Response>, Status>>;

    fn call(&mut self, request: tonic::Request<message::Request>) -> Self::Future {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map_or("", |value| value.to_str().expect("text"));
        let is_empty = request.get_ref().resource_metrics.is_empty();
        assert!(!is_empty, "an export tells something");
        self.0.lock().expect("no panic").push(authorization.to_owned());
        std::future::ready(Ok(tonic::Response::new(message::Response::default())))
    }
}

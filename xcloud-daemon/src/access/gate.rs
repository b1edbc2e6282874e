//! The one gate that every call passes before any service sees it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, http},
};
use tower::{Layer, Service};

use super::{
    entrance::Entrance,
    peer::{Call, Origin, Peer},
    role::Roles,
    rules::{Rule, rule},
    speaker::Speaker,
};

/// Puts the gate before services.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Entrance>);

impl Gate {
    /// At an entrance.
    #[must_use]
    pub const fn new(entrance: Arc<Entrance>) -> Self {
        Self(entrance)
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, services: S) -> Gated<S> {
        Gated { entrance: Arc::clone(&self.0), services }
    }
}

/// Services behind the gate.
#[derive(Clone, Debug)]
pub struct Gated<S> {
    entrance: Arc<Entrance>,
    services: S,
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future =
        Either<BoxFuture<S::Response, Infallible>, Ready<Result<S::Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        match judge(&self.entrance, peer.as_ref(), request.uri().path()) {
            Ok(call) => {
                if let Some(peer) = peer {
                    let speaker = Speaker::new(peer, Arc::clone(&self.entrance));
                    request.extensions_mut().insert(speaker);
                }
                let answer = self.services.call(request);
                let held = async { Ok(answer.await?.map(|body| call.hold(body))) };
                Either::Left(Box::pin(held))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

fn judge(entrance: &Entrance, peer: Option<&Peer>, path: &str) -> Result<Call, Status> {
    let Some(peer) = peer else {
        return Err(Status::internal("nobody knows whose connection this is"));
    };
    let refused = |status: Status| {
        entrance.refuse(&peer.name(), status.message());
        status
    };
    let Some(call) = peer.begin(entrance.call_rate, entrance.now()) else {
        let why = "it calls too often: --max-call-rate of the aggregator says how often one connection may";
        return Err(refused(Status::resource_exhausted(why)));
    };
    let Origin::Tls(_, shown) = peer.origin() else { return Ok(call) };
    match allowed(path, shown.roles) {
        Ok(()) => Ok(call),
        Err(needed) => Err(refused(Status::permission_denied(format!(
            "{} may not call {path}: that takes the role {needed}, and --role of the aggregator gives it {}",
            shown.name, shown.roles
        )))),
    }
}

/// Whether a caller with these roles may make a call; otherwise the roles that may.
fn allowed(path: &str, roles: Roles) -> Result<(), Roles> {
    match rule(path) {
        Some(rule) if rule.allows(roles) => Ok(()),
        Some(Rule::With(needed)) => Err(needed),
        // A call that is not there is refused like one that nobody may make.
        _ => Err(Roles::default()),
    }
}

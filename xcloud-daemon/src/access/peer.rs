//! Whose a connection is, and what it does just now.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body, codegen::Bytes};

use super::{
    bucket::{Bucket, Rate},
    serving::Shown,
};

/// Whose a connection is.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Origin,
    calls: Mutex<Calls>,
}

/// Calls of a connection.
#[derive(Debug)]
struct Calls {
    bucket: Bucket,
    open: usize,
    /// When the last one ended, or the connection began.
    last: Duration,
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A socket that only this user can open.
    Unix,
    /// Anybody at this address, as nothing is encrypted.
    Plain(SocketAddr),
    /// Who showed a certificate.
    Tls(SocketAddr, Shown),
}

impl Peer {
    /// One that has just come.
    #[must_use]
    pub fn new(origin: Origin, rate: Rate, now: Duration) -> Self {
        let calls = Calls { bucket: Bucket::new(rate, now), open: 0, last: now };
        Self(Arc::new(Inner { origin, calls: Mutex::new(calls) }))
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    fn calls<T>(&self, look: impl FnOnce(&mut Calls) -> T) -> T {
        look(&mut self.0.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a call, if it may.
    #[must_use]
    pub fn begin(&self, rate: Rate, now: Duration) -> Option<Call> {
        self.calls(|calls| {
            let may = calls.bucket.take(rate, now);
            may.then(|| {
                calls.open += 1;
                calls.last = now;
                Call(self.clone())
            })
        })
    }

    /// Since when it makes no call; nothing while it makes one.
    #[must_use]
    pub fn idle_since(&self) -> Option<Duration> {
        self.calls(|calls| (calls.open == 0).then_some(calls.last))
    }

    /// As it is told.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0.origin {
            Origin::Unix => "the Unix socket".into(),
            Origin::Plain(address) => address.ip().to_string(),
            Origin::Tls(address, shown) => {
                format!("{} ({})", address.ip(), shown.name.escape_debug())
            }
        }
    }
}

/// A call that is being answered; over when dropped.
#[derive(Debug)]
pub struct Call(Peer);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls(|calls| calls.open = calls.open.saturating_sub(1));
    }
}

impl Call {
    /// An answer whose end is the call's.
    #[must_use]
    pub fn hold(self, body: Body) -> Body {
        Body::new(Held { body, _call: self })
    }
}

struct Held {
    body: Body,
    _call: Call,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! A connection that was let in: what carries it, whose it is, and when it ends at the latest.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{
    entrance::{Entrance, Seat},
    peer::{Origin, Peer},
};

/// Bytes of an HTTP/2 client's first words: its preface and the head of its settings.
const FIRST_WORDS: usize = 24 + 9;
/// How long a connection may be without a call.
const IDLE: Duration = Duration::from_mins(15);
/// Certificates that are valid for longer are asked for again after this all the same.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// What carries a connection.
#[derive(Debug)]
pub enum Carrier {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    carrier: Carrier,
    peer: Peer,
    seat: Option<Seat>,
    heard: usize,
    /// When it ends unless something happens: it says what it wants, it makes a call.
    end: Pin<Box<Sleep>>,
    /// When its certificate does.
    expiry: Option<Instant>,
}

impl Connection {
    /// One that has until `late` to say what it wants.
    #[must_use]
    pub fn new(
        carrier: Carrier,
        origin: Origin,
        seat: Option<Seat>,
        late: Instant,
        entrance: &Entrance,
    ) -> Self {
        let peer = Peer::new(origin, entrance.call_rate, entrance.now());
        let end = Box::pin(sleep_until(late));
        Self { carrier, peer, seat, heard: 0, end, expiry: None }
    }

    fn is_opening(&self) -> bool {
        self.heard < FIRST_WORDS
    }

    /// What is wrong now that the time is up; nothing if it is not, after all.
    fn over(&mut self) -> Option<&'static str> {
        if self.is_opening() {
            return Some(self.refuse("it did not say in time what it wants"));
        }
        let now = Instant::now();
        if self.expiry.is_some_and(|expiry| expiry <= now) {
            return Some(self.refuse("its certificate has expired since it connected"));
        }
        // Whoever can open the Unix socket may keep it.
        let Some(seat) = &self.seat else {
            self.end.as_mut().reset(now + IDLE);
            return None;
        };
        let idle = self.peer.idle_since().map(|last| seat.entrance().now().saturating_sub(last));
        if idle.is_some_and(|idle| idle >= IDLE) {
            return Some("it made no call for a long time");
        }
        let next = now + IDLE.saturating_sub(idle.unwrap_or_default());
        self.end.as_mut().reset(self.expiry.map_or(next, |expiry| expiry.min(next)));
        None
    }

    fn refuse(&self, why: &'static str) -> &'static str {
        if let Some(seat) = &self.seat {
            seat.entrance().refuse(&self.peer.name(), why);
        }
        why
    }

    /// Something came.
    fn hear(&mut self, bytes: usize) {
        if !self.is_opening() {
            return;
        }
        self.heard += bytes;
        if self.is_opening() {
            return;
        }
        if let Some(seat) = &mut self.seat {
            seat.settle();
        }
        let now = Instant::now();
        if let Origin::Tls(_, shown) = self.peer.origin() {
            let today = rustls::pki_types::UnixTime::now().as_secs();
            let left = Duration::from_secs(shown.not_after.as_secs().saturating_sub(today));
            self.expiry = Some(now + left.min(LONGEST));
        }
        let next = now + IDLE;
        self.end.as_mut().reset(self.expiry.map_or(next, |expiry| expiry.min(next)));
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.end.as_mut().poll(cx).is_ready() {
            if let Some(why) = this.over() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        let before = buffer.filled().len();
        ready!(match &mut this.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Carrier::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Carrier::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        this.hear(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Carrier::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Carrier::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Tcp(stream) => stream.is_write_vectored(),
            Carrier::Tls(stream) => stream.is_write_vectored(),
            Carrier::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

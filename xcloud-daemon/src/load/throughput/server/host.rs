//! What the sessions of a server share: its limits, and who waits for which connection.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use socket2::Socket;

use super::{super::cookie::Cookie, Clerk};

/// What clients may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tests at once.
    pub tests: usize,
    /// Longest test.
    pub duration: Duration,
    /// Bytes of one test.
    pub bytes: Option<u64>,
    /// Only one test is served.
    pub one_off: bool,
}

/// Control connections that are no test yet, beyond the number of tests.
const MOST_UNDECIDED: usize = 64;

/// The shared part of a server.
pub(super) struct Host {
    pub(super) port: u16,
    pub(super) limits: Limits,
    pub(super) interval: Duration,
    pub(super) clerk: Arc<dyn Clerk>,
    done: Sender<()>,
    sessions: AtomicUsize,
    tests: AtomicUsize,
    waiting: Mutex<HashMap<Cookie, Sender<Socket>>>,
    greeters: Mutex<HashMap<IpAddr, (SocketAddr, Sender<Socket>)>>,
}

impl Host {
    pub(super) fn new(
        port: u16,
        limits: Limits,
        interval: Duration,
        clerk: Arc<dyn Clerk>,
        done: Sender<()>,
    ) -> Self {
        Self {
            port,
            limits,
            interval,
            clerk,
            done,
            sessions: AtomicUsize::default(),
            tests: AtomicUsize::default(),
            waiting: Mutex::default(),
            greeters: Mutex::default(),
        }
    }

    /// A place for a control connection.
    pub(super) fn session(self: &Arc<Self>) -> Option<Place> {
        Place::take(self, |host| &host.sessions, self.limits.tests.saturating_add(MOST_UNDECIDED))
    }

    /// A place for a test.
    pub(super) fn test(self: &Arc<Self>) -> Option<Place> {
        Place::take(self, |host| &host.tests, self.limits.tests)
    }

    /// A test is over, well or not.
    pub(super) fn test_over(&self) {
        // Only a server of one test listens.
        let _ = self.done.send(());
    }

    /// Connections with this cookie go to the caller, until it drops what it gets.
    pub(super) fn expect(self: &Arc<Self>, cookie: Cookie) -> Expected {
        let (sender, sockets) = channel();
        lock(&self.waiting).insert(cookie, sender);
        Expected { host: self.clone(), key: Key::Cookie(cookie), sockets }
    }

    /// Datagram sockets from this address go to the caller; nothing while another test waits for some from there, since
    /// a datagram carries no cookie.
    pub(super) fn expect_datagrams(
        self: &Arc<Self>,
        from: IpAddr,
        local: SocketAddr,
    ) -> Option<Expected> {
        let mut greeters = lock(&self.greeters);
        if greeters.contains_key(&from) {
            return None;
        }
        let (sender, sockets) = channel();
        greeters.insert(from, (local, sender));
        Some(Expected { host: self.clone(), key: Key::Address(from), sockets })
    }

    /// Whether a test has this cookie, and if so takes the connection to it.
    pub(super) fn deliver(&self, cookie: &Cookie, socket: Socket) -> Result<(), Socket> {
        let sender = lock(&self.waiting).get(cookie).cloned();
        match sender {
            // A test that ended in this moment no longer wants it.
            Some(sender) => sender.send(socket).map_err(|refused| refused.0),
            None => Err(socket),
        }
    }

    /// The local end for datagrams from this address, and who waits for them.
    pub(super) fn greeter(&self, from: IpAddr) -> Option<(SocketAddr, Sender<Socket>)> {
        lock(&self.greeters).get(&from).cloned()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place that is free again when this is dropped.
pub(super) struct Place {
    host: Arc<Host>,
    of: fn(&Host) -> &AtomicUsize,
}

impl Place {
    fn take(host: &Arc<Host>, of: fn(&Host) -> &AtomicUsize, most: usize) -> Option<Self> {
        let more = |taken| (taken < most).then_some(taken + 1);
        of(host).fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self { host: host.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.of)(&self.host).fetch_sub(1, Relaxed);
    }
}

enum Key {
    Cookie(Cookie),
    Address(IpAddr),
}

/// Data connections that a test waits for.
pub(super) struct Expected {
    host: Arc<Host>,
    key: Key,
    pub(super) sockets: Receiver<Socket>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        match &self.key {
            Key::Cookie(cookie) => drop(lock(&self.host.waiting).remove(cookie)),
            Key::Address(address) => drop(lock(&self.host.greeters).remove(address)),
        }
    }
}

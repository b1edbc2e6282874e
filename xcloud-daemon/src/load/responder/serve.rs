//! The responder's loop: one thread, sockets and delays.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::{
    Limits,
    connection::{Connection, Waits},
    datagrams::{self, Datagram},
    http2::Http2Connection,
};
use crate::load::rate::timer::{self, Clock, Timer, nanoseconds};

const TIMER: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
const DATAGRAMS: u64 = u64::MAX - 2;
/// Most answers that wait; datagrams beyond are dropped, connections of HTTP/2 closed.
const MOST_WAITING: usize = 100_000;
/// Pause after the system could not give a connection, which is mostly for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);
/// Largest part of a stream read at once, and room for a datagram.
const BUFFER: usize = 64 << 10;

/// One who is answered over TCP.
enum Client {
    /// With a request at a time.
    Turns(Connection),
    /// With many.
    Http2(Box<Http2Connection>),
}

/// What is to be done at a time.
enum Due {
    /// Connections are taken again.
    Accept,
    Datagram(Datagram),
    /// Of the client with this key.
    Turn(u64),
    /// Of the client with this key, on this stream.
    Stream(u64, u32),
}

struct Server {
    limits: Limits,
    clock: Clock,
    epoll: Epoll,
    tcp: TcpListener,
    udp: UdpSocket,
    clients: HashMap<u64, Client>,
    next_key: u64,
    /// What waits, by the time at which it is due and a number that keeps those of one time apart.
    waiting: BTreeMap<(u64, u64), Due>,
    buffer: Box<[u8]>,
}

/// Answers until the time is over.
pub(super) fn serve(
    tcp: TcpListener,
    udp: UdpSocket,
    limits: Limits,
    duration: Option<Duration>,
) -> Result<()> {
    tcp.set_nonblocking(true).context("preparing the listener")?;
    udp.set_nonblocking(true).context("preparing the socket for datagrams")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
    let level = |key| EpollEvent::new(EpollFlags::EPOLLIN, key);
    epoll.add(&tcp, level(LISTENER)).context("waiting for connections")?;
    epoll.add(&udp, level(DATAGRAMS)).context("waiting for datagrams")?;
    let server = Server {
        limits,
        clock: Clock::starting_in(Duration::ZERO),
        epoll,
        tcp,
        udp,
        clients: HashMap::new(),
        next_key: 0,
        waiting: BTreeMap::new(),
        buffer: vec![0; BUFFER].into(),
    };
    server.run(duration.map_or(u64::MAX, nanoseconds))
}

impl Server {
    fn run(mut self, end_ns: u64) -> Result<()> {
        timer::no_slack();
        let mut timer = Timer::new(&self.epoll, TIMER, self.clock)?;
        let mut events = [EpollEvent::empty(); 256];
        while self.clock.now() < end_ns {
            let due = self.waiting.first_key_value().map_or(u64::MAX, |(key, _)| key.0);
            let next = due.min(end_ns);
            if next < u64::MAX {
                timer.arm(next)?;
            }
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error).context("waiting for events"),
            };
            for event in &events[..count] {
                match event.data() {
                    TIMER => timer.rang(),
                    LISTENER => self.accept()?,
                    DATAGRAMS => self.receive(),
                    key => self.go_on(key),
                }
            }
            self.due()?;
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.tcp.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Who came has gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    tracing::warn!("no connections for {BREATH:?}: {error}");
                    self.wait(nanoseconds(BREATH), Due::Accept);
                    return self.listen(EpollFlags::empty());
                }
            };
            if self.clients.len() >= self.limits.max_connections {
                tracing::warn!("a connection too many: closed");
                continue;
            }
            let key = self.next_key;
            let flags = EpollFlags::EPOLLIN
                | EpollFlags::EPOLLOUT
                | EpollFlags::EPOLLRDHUP
                | EpollFlags::EPOLLET;
            let prepared = stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| Ok(self.epoll.add(&stream, EpollEvent::new(flags, key))?));
            if let Err(error) = prepared {
                tracing::warn!("a connection is closed: {error}");
                continue;
            }
            self.next_key += 1;
            self.clients.insert(key, Client::Turns(Connection::new(stream)));
            self.go_on(key);
        }
    }

    /// Wakes up for connections, or not: those that cannot be taken stay, and would wake it up without end.
    fn listen(&self, flags: EpollFlags) -> Result<()> {
        let mut event = EpollEvent::new(flags, LISTENER);
        self.epoll.modify(&self.tcp, &mut event).context("waiting for connections")
    }

    fn go_on(&mut self, key: u64) {
        let mut delays = Vec::new();
        let waits = match self.clients.get_mut(&key) {
            None => return,
            Some(Client::Turns(client)) => client.go_on(&self.limits, &mut self.buffer),
            Some(Client::Http2(client)) => client.go_on(&mut self.buffer, &mut delays),
        };
        let too_many = !delays.is_empty() && self.waiting.len() + delays.len() > MOST_WAITING;
        for (delay, stream) in delays.into_iter().filter(|_| !too_many) {
            self.wait(delay, Due::Stream(key, stream));
        }
        match waits {
            _ if too_many => {
                tracing::warn!("more than {MOST_WAITING} answers wait: a connection is closed");
                self.clients.remove(&key);
            }
            Waits::Socket => {}
            Waits::Time(delay) => self.wait(delay, Due::Turn(key)),
            Waits::Http2 => self.upgrade(key),
            Waits::Over => drop(self.clients.remove(&key)),
        }
    }

    /// Goes on with a client that speaks HTTP/2.
    fn upgrade(&mut self, key: u64) {
        if let Some(Client::Turns(client)) = self.clients.remove(&key)
            && let Some(client) = client.into_http2(self.limits)
        {
            self.clients.insert(key, Client::Http2(Box::new(client)));
            self.go_on(key);
        }
    }

    fn wait(&mut self, delay: u64, due: Due) {
        self.next_key += 1;
        self.waiting.insert((self.clock.now() + delay, self.next_key), due);
    }

    fn receive(&mut self) {
        loop {
            let (length, from) = match self.udp.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!("receiving: {error}");
                    return;
                }
            };
            match datagrams::understand(&self.buffer[..length], from, &self.limits) {
                None => {}
                Some((0, datagram)) => datagrams::send(&self.udp, &datagram, &mut self.buffer),
                Some(_) if self.waiting.len() >= MOST_WAITING => {
                    tracing::warn!("more than {MOST_WAITING} datagrams wait: one is dropped");
                }
                Some((delay, datagram)) => self.wait(delay, Due::Datagram(datagram)),
            }
        }
    }

    /// Does what is due, which is mostly to answer.
    fn due(&mut self) -> Result<()> {
        let now = self.clock.now();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = match entry.remove() {
                Due::Accept => {
                    self.listen(EpollFlags::EPOLLIN)?;
                    continue;
                }
                Due::Datagram(datagram) => {
                    datagrams::send(&self.udp, &datagram, &mut self.buffer);
                    continue;
                }
                Due::Turn(key) => match self.clients.get_mut(&key) {
                    Some(Client::Turns(client)) => {
                        client.answer();
                        key
                    }
                    _ => continue,
                },
                Due::Stream(key, stream) => match self.clients.get_mut(&key) {
                    Some(Client::Http2(client)) => {
                        client.answer(stream);
                        key
                    }
                    _ => continue,
                },
            };
            self.go_on(key);
        }
        Ok(())
    }
}

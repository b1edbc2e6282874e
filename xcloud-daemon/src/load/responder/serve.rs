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
};
use crate::load::rate::timer::{self, Clock, Timer, nanoseconds};

const TIMER: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
const DATAGRAMS: u64 = u64::MAX - 2;
/// Most datagrams that wait; further ones are dropped.
const MOST_WAITING: usize = 100_000;
/// Largest part of a stream read at once, and room for a datagram.
const BUFFER: usize = 64 << 10;

struct Server {
    limits: Limits,
    clock: Clock,
    epoll: Epoll,
    tcp: TcpListener,
    udp: UdpSocket,
    connections: HashMap<u64, Connection>,
    next_key: u64,
    /// Answers by the time at which they are due and their key: datagrams, or the connection of that key.
    waiting: BTreeMap<(u64, u64), Option<Datagram>>,
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
        connections: HashMap::new(),
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
                    LISTENER => self.accept(),
                    DATAGRAMS => self.receive(),
                    key => self.go_on(key),
                }
            }
            self.due();
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.tcp.accept() {
            if self.connections.len() >= self.limits.max_connections {
                log::warn!("a connection too many: closed");
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
                log::warn!("a connection is closed: {error}");
                continue;
            }
            self.next_key += 1;
            self.connections.insert(key, Connection::new(stream));
            self.go_on(key);
        }
    }

    fn go_on(&mut self, key: u64) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        match connection.go_on(&self.limits, &mut self.buffer) {
            Waits::Socket => {}
            Waits::Time(delay) => drop(self.waiting.insert((self.clock.now() + delay, key), None)),
            Waits::Over => drop(self.connections.remove(&key)),
        }
    }

    fn receive(&mut self) {
        loop {
            let (length, from) = match self.udp.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::debug!("receiving: {error}");
                    return;
                }
            };
            match datagrams::understand(&self.buffer[..length], from, &self.limits) {
                None => {}
                Some((0, datagram)) => datagrams::send(&self.udp, &datagram, &mut self.buffer),
                Some(_) if self.waiting.len() >= MOST_WAITING => {
                    log::warn!("more than {MOST_WAITING} datagrams wait: one is dropped");
                }
                Some((delay, datagram)) => {
                    self.next_key += 1;
                    self.waiting.insert((self.clock.now() + delay, self.next_key), Some(datagram));
                }
            }
        }
    }

    /// Sends the answers whose time has come.
    fn due(&mut self) {
        let now = self.clock.now();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, key), datagram) = entry.remove_entry();
            if let Some(datagram) = datagram {
                datagrams::send(&self.udp, &datagram, &mut self.buffer);
            } else if let Some(connection) = self.connections.get_mut(&key) {
                connection.answer();
                self.go_on(key);
            }
        }
    }
}

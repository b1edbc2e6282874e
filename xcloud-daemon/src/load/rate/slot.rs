//! A place for one connection, used over and over.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{
    Limits,
    protocol::{Ends, Link, Next},
    tally::Failure,
};

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over connections that stay.
    Tcp,
    /// Each over a connection of its own.
    TcpEach,
    /// As datagrams.
    Udp,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Closed,
    /// It is being made; requests may wait for it.
    Connecting,
    /// It is there.
    Open,
}

/// What one read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There may be more.
    More,
    /// There is no more for now.
    Empty,
    /// The connection is of no use any more.
    Close(Failure),
}

/// A place for one connection.
#[derive(Debug)]
pub struct Slot<L> {
    socket: Option<Socket>,
    transport: Transport,
    /// Tells events of this connection from those of the one before.
    generation: u32,
    /// How far it is.
    pub state: State,
    /// It stands in the queue of slots that take requests.
    pub queued: bool,
    /// It takes none for a while.
    pub rests: bool,
    /// Speaks on it.
    pub link: L,
}

impl<L: Link> Slot<L> {
    /// A closed one.
    pub const fn new(transport: Transport, link: L) -> Self {
        Self {
            socket: None,
            transport,
            generation: 0,
            state: State::Closed,
            queued: true,
            rests: false,
            link,
        }
    }

    /// Begins to connect; events come as `index` and the current generation.
    ///
    /// # Errors
    /// The kernel knows at once that it will not work.
    pub fn open(&mut self, limits: &Limits, epoll: &Epoll, index: u32) -> io::Result<()> {
        let to = limits.address;
        let (kind, protocol) = match self.transport {
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
            Transport::Tcp | Transport::TcpEach => (Type::STREAM, Protocol::TCP),
        };
        let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
        if self.transport != Transport::Udp {
            socket.set_tcp_nodelay(true)?;
        }
        if self.transport == Transport::TcpEach {
            // Closed by a reset, so that no port is held for a minute.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        if let Some(sources) = &limits.sources {
            sources.add(socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?);
        }
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        epoll.add(&socket, EpollEvent::new(flags, self.key(index)))?;
        self.socket = Some(socket);
        self.state = State::Connecting;
        Ok(())
    }

    /// What events of the current connection carry.
    pub fn key(&self, index: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(index)
    }

    /// Notes that connecting has come to its end.
    ///
    /// # Errors
    /// It did not work.
    pub fn connected(&mut self) -> io::Result<()> {
        if self.state == State::Connecting {
            if let Some(error) = self.socket()?.take_error()? {
                return Err(error);
            }
            self.state = State::Open;
        }
        Ok(())
    }

    /// Writes as much of the link's output as the kernel takes.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn write(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.link.output();
            if bytes.is_empty() {
                return Ok(());
            }
            let mut socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            match socket.write(bytes) {
                Ok(count) => self.link.wrote(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, for the link.
    pub fn read(&mut self, flags: EpollFlags, buffer: &mut [u8], ends: &mut Ends) -> Read {
        let stream = self.transport != Transport::Udp;
        let count = match self.socket().and_then(|mut socket| socket.read(buffer)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Read::Empty,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Read::More,
            Err(error) => return Read::Close(failure(&error)),
        };
        let next = match count {
            0 if stream => self.link.hung_up(ends),
            _ => self.link.take(&buffer[..count], ends),
        };
        // A short read has emptied the socket, unless its end is to be read too; so has the answer to a datagram.
        let short = count < buffer.len() && !flags.contains(EpollFlags::EPOLLRDHUP);
        match next {
            Next::Close(why) => Read::Close(why),
            Next::Keep if short && stream || !stream && !ends.is_empty() => Read::Empty,
            Next::Keep => Read::More,
        }
    }

    /// Whether it takes one more request.
    pub fn takes(&self) -> bool {
        !self.rests && self.link.accepts()
    }

    /// Gives the connection up.
    pub fn close(&mut self) {
        self.socket = None;
        self.state = State::Closed;
        self.generation = self.generation.wrapping_add(1);
        self.link.reset();
    }

    fn socket(&self) -> io::Result<&Socket> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// What an error on a connection means for its requests. A datagram that nobody takes comes back as a refusal.
pub fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Connect,
        _ => Failure::Reset,
    }
}

//! A place for one connection, used over and over.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Limits, seconds::Request};

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

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no connection.
    Closed,
    /// A connection waits for a request.
    Idle,
    /// A request waits for its connection.
    Connecting(Request),
    /// A request waits for its answer.
    Busy(Request),
}

/// A place for one connection.
#[derive(Debug)]
pub struct Slot<A> {
    socket: Option<Socket>,
    /// Tells events of this connection from those of the one before.
    generation: u32,
    /// What it does.
    pub state: State,
    /// Requests begun.
    pub id: u64,
    /// How much of the request the kernel took.
    pub written: usize,
    /// Reads what comes.
    pub answer: A,
}

impl<A> Slot<A> {
    /// A closed one.
    pub const fn new(answer: A) -> Self {
        Self { socket: None, generation: 0, state: State::Closed, id: 0, written: 0, answer }
    }

    /// Begins to connect; events come as `index` and the current generation.
    ///
    /// # Errors
    /// The kernel knows at once that it will not work.
    pub fn open(
        &mut self,
        limits: &Limits,
        how: Transport,
        epoll: &Epoll,
        index: u32,
    ) -> io::Result<()> {
        self.close();
        let to = limits.address;
        let socket = match how {
            Transport::Udp => {
                Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?
            }
            Transport::Tcp | Transport::TcpEach => {
                let socket =
                    Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_tcp_nodelay(true)?;
                socket
            }
        };
        if how == Transport::TcpEach {
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
        Ok(())
    }

    /// What events of the current connection carry.
    pub fn key(&self, index: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(index)
    }

    /// Whether there is a connection, or will be.
    pub const fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether connecting worked.
    ///
    /// # Errors
    /// It did not.
    pub fn connected(&self) -> io::Result<()> {
        match self.socket()?.take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Hands the rest of a request over; `true` once all of it is.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn write(&mut self, request: &[u8]) -> io::Result<bool> {
        while let Some(rest) = request.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.socket()?.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads what is there; `None` when nothing is.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket()?.read(buffer) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the connection up.
    pub fn close(&mut self) {
        self.socket = None;
        self.state = State::Closed;
        self.generation = self.generation.wrapping_add(1);
    }

    fn socket(&self) -> io::Result<&Socket> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

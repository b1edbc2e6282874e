//! One client: a request at a time, its wait, its answer.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use super::{
    Limits, PATTERN, Reply, Wanted,
    http2::Http2Connection,
    request::{MOST_HEAD, Parsed, parse},
};
use crate::load::{http2::frame::PREFACE, rr::frame};

/// What a connection waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The socket.
    Socket,
    /// So long, then [`Connection::answer`].
    Time(u64),
    /// Another one who speaks HTTP/2: [`Connection::into_http2`].
    Http2,
    /// Nothing: it is over.
    Over,
}

#[derive(Debug)]
enum Phase {
    Reading,
    Skipping(Wanted),
    Delaying(Wanted),
    Writing { close: bool },
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    phase: Phase,
    /// Bytes that were read and not understood yet; a head at most.
    input: Vec<u8>,
    head: Vec<u8>,
    written: usize,
    payload_left: u32,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            phase: Phase::Reading,
            input: Vec::new(),
            head: Vec::new(),
            written: 0,
            payload_left: 0,
        }
    }

    /// Goes as far as the socket allows.
    pub(super) fn go_on(&mut self, limits: &Limits, buffer: &mut [u8]) -> Waits {
        loop {
            let step = match self.phase {
                Phase::Reading => self.read(limits, buffer),
                Phase::Skipping(wanted) => self.skip(wanted, buffer),
                Phase::Delaying(_) => Ok(Some(Waits::Socket)),
                Phase::Writing { close } => self.write(close),
            };
            match step {
                Ok(Some(waits)) => return waits,
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waits::Socket,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Waits::Over,
            }
        }
    }

    /// The same client, once it has sent the preface of HTTP/2; `None` if something else follows that.
    pub(super) fn into_http2(self, limits: Limits) -> Option<Http2Connection> {
        let after = self.input.get(PREFACE.len()..)?;
        Http2Connection::new(self.stream, limits, after)
    }

    /// The wait is over.
    pub(super) fn answer(&mut self) {
        let Phase::Delaying(wanted) = self.phase else {
            return;
        };
        self.written = 0;
        self.head.clear();
        self.payload_left = match wanted.answer {
            Reply::Frame { status, payload, id } => {
                self.head.extend(frame::Reply { status, payload, id }.encode());
                payload
            }
            Reply::Http { status, payload, head } => {
                let close = if wanted.close { "Connection: close\r\n" } else { "" };
                // Writing to memory does not fail.
                let _ = write!(
                    self.head,
                    "HTTP/1.1 {status} -\r\nContent-Length: {payload}\r\n{close}\r\n"
                );
                if head || matches!(status, 204 | 304) { 0 } else { payload }
            }
        };
        self.phase = Phase::Writing { close: wanted.close };
    }

    fn read(&mut self, limits: &Limits, buffer: &mut [u8]) -> io::Result<Option<Waits>> {
        let room = &mut buffer[..MOST_HEAD];
        if self.input.is_empty() {
            match self.stream.read(room)? {
                0 => return Ok(Some(Waits::Over)),
                count => self.input.extend_from_slice(&room[..count]),
            }
        }
        match parse(&self.input, limits) {
            Parsed::Garbage => Ok(Some(Waits::Over)),
            Parsed::Http2 => Ok(Some(Waits::Http2)),
            Parsed::Request(length, wanted) => {
                self.input.drain(..length);
                self.phase = Phase::Skipping(wanted);
                Ok(None)
            }
            Parsed::More => match self.stream.read(room)? {
                0 => Ok(Some(Waits::Over)),
                count => {
                    self.input.extend_from_slice(&room[..count]);
                    Ok(None)
                }
            },
        }
    }

    fn skip(&mut self, mut wanted: Wanted, buffer: &mut [u8]) -> io::Result<Option<Waits>> {
        let here = self.input.len().min(usize::try_from(wanted.skip).unwrap_or(usize::MAX));
        self.input.drain(..here);
        wanted.skip -= here as u64;
        if wanted.skip == 0 {
            self.phase = Phase::Delaying(wanted);
            if wanted.delay_ns > 0 {
                return Ok(Some(Waits::Time(wanted.delay_ns)));
            }
            self.answer();
            return Ok(None);
        }
        self.phase = Phase::Skipping(wanted);
        match self.stream.read(buffer)? {
            0 => return Ok(Some(Waits::Over)),
            count => self.input.extend_from_slice(&buffer[..count]),
        }
        Ok(None)
    }

    fn write(&mut self, close: bool) -> io::Result<Option<Waits>> {
        // A short answer leaves in one write, hence in one packet.
        if self.head.len() + self.payload_left as usize <= 4096 && self.payload_left > 0 {
            self.head.extend_from_slice(&PATTERN[..self.payload_left as usize]);
            self.payload_left = 0;
        }
        if self.written < self.head.len() {
            self.written += self.stream.write(&self.head[self.written..])?;
        } else if self.payload_left > 0 {
            let part = PATTERN.len().min(self.payload_left as usize);
            let count = self.stream.write(&PATTERN[..part])?;
            self.payload_left -= u32::try_from(count).unwrap_or(self.payload_left);
        } else if close {
            return Ok(Some(Waits::Over));
        } else {
            self.phase = Phase::Reading;
        }
        Ok(None)
    }
}

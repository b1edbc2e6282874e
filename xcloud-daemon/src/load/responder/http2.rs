//! One client that speaks HTTP/2: pages and calls, many at once.

mod ask;
mod server;

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use super::{Limits, connection::Waits};
use crate::load::http2::frame::Frames;
use server::Server;

/// One client.
#[derive(Debug)]
pub(super) struct Http2Connection {
    stream: TcpStream,
    frames: Frames,
    server: Server,
}

impl Http2Connection {
    /// A client that has sent its preface, and these bytes after it; `None` if they are none of HTTP/2.
    pub(super) fn new(stream: TcpStream, limits: Limits, after: &[u8]) -> Option<Self> {
        let mut new = Self { stream, frames: Frames::default(), server: Server::new(limits) };
        new.server.take(&mut new.frames, after).ok()?;
        Some(new)
    }

    /// Goes as far as the socket allows. Answers that have to wait are put into `delays`, for [`Self::answer`].
    pub(super) fn go_on(&mut self, buffer: &mut [u8], delays: &mut Vec<(u64, u32)>) -> Waits {
        let waits = loop {
            match self.step(buffer) {
                Ok(true) => {}
                Ok(false) => break Waits::Over,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Waits::Socket,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break Waits::Over,
            }
        };
        delays.append(&mut self.server.delays);
        waits
    }

    /// Writes all there is, then reads once; a client that takes nothing is not read from. `false` once it is over.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            self.server.send_all();
            let out = self.server.session.out.rest();
            if out.is_empty() {
                break;
            }
            let count = self.stream.write(out)?;
            self.server.session.wrote(count);
        }
        let count = self.stream.read(buffer)?;
        Ok(count > 0 && self.server.take(&mut self.frames, &buffer[..count]).is_ok())
    }

    /// The wait of a stream is over.
    pub(super) fn answer(&mut self, stream: u32) {
        self.server.answer(stream);
    }
}

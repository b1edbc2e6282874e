//! A client's end of a connection: its streams, and what it does about each frame of the server. Errors end the
//! connection.

mod incoming;

use std::collections::VecDeque;

use super::{
    Malformed,
    call::Call,
    frame::{PREFACE, code, flag, kind},
    peer::{MOST_WINDOW, setting},
    reply::Reply,
    session::{Session, WINDOW, allowed},
};
use crate::load::rate::{
    protocol::{Ends, Outcome},
    seconds::Request,
    tally::Failure,
};

/// Requests wait while the server takes none of so much that waits to be written.
const MOST_OUT: usize = 4 << 20;
/// Bodies wait in their streams while so much else does.
const ENOUGH_OUT: usize = 64 << 10;

/// A client's end of a connection.
#[derive(Debug)]
pub(super) struct Client<'a> {
    call: &'a Call,
    session: Session,
    /// By number, as they were begun.
    streams: VecDeque<Stream>,
    next: u32,
    /// Streams with a body that was not handed over yet.
    unsent: usize,
    /// The server takes no more.
    closing: bool,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    request: Request,
    reply: Reply,
    /// What of the body was handed over.
    sent: usize,
    /// What more of it the server takes.
    window: i64,
    received: u32,
}

impl<'a> Client<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        let mut client = Self {
            call,
            // Nothing is remembered of headers, so that blocks of streams given up need not be read.
            session: Session::new(0),
            streams: VecDeque::new(),
            next: 1,
            unsent: 0,
            closing: false,
        };
        client.greet();
        client
    }

    pub(super) fn reset(&mut self) {
        self.session.reset();
        self.streams.clear();
        (self.next, self.unsent, self.closing) = (1, 0, false);
        self.greet();
    }

    fn greet(&mut self) {
        self.session.out.raw(&PREFACE);
        self.session.greet([(setting::HEADER_TABLE_SIZE, 0), (setting::ENABLE_PUSH, 0)]);
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.session.peer.settled
    }

    pub(super) fn accepts(&self) -> bool {
        let most = self.call.streams.min(self.session.peer.streams) as usize;
        let waits = self.session.out.rest().len();
        self.streams.len() < most && waits < MOST_OUT && !self.is_closing()
    }

    /// Numbers of streams are used once; when they come to an end, so does the connection.
    const fn is_closing(&self) -> bool {
        self.closing || self.next > WINDOW
    }

    /// Whether the server has us answer more than it reads.
    pub(super) const fn is_flooded(&self) -> bool {
        self.session.is_flooded()
    }

    /// Whether nothing can come of this connection any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_closing() && self.streams.is_empty()
    }

    pub(super) fn begin(&mut self, request: Request) {
        let bodiless = self.call.body.is_empty();
        let flags = flag::END_HEADERS | if bodiless { flag::END_STREAM } else { 0 };
        self.session.out.frame(kind::HEADERS, flags, self.next, &self.call.block);
        self.streams.push_back(Stream {
            number: self.next,
            request,
            reply: Reply::default(),
            sent: 0,
            window: self.session.peer.stream_window,
            received: 0,
        });
        self.next += 2;
        if !bodiless {
            self.unsent += 1;
            self.send_body(self.streams.len() - 1);
        }
    }

    pub(super) fn output(&mut self) -> &[u8] {
        if self.session.out.rest().is_empty() {
            self.send_bodies();
        }
        self.session.out.rest()
    }

    pub(super) fn wrote(&mut self, count: usize) {
        self.session.wrote(count);
    }

    fn send_bodies(&mut self) {
        if self.unsent > 0 {
            (0..self.streams.len()).for_each(|index| self.send_body(index));
        }
    }

    /// Hands over as much of a body as the server takes.
    fn send_body(&mut self, index: usize) {
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        let Session { out, peer, .. } = &mut self.session;
        while let Some(rest) = self.call.body.get(stream.sent..).filter(|rest| !rest.is_empty()) {
            let part = allowed(rest.len(), stream.window, peer.window);
            if part == 0 || out.rest().len() >= ENOUGH_OUT {
                return;
            }
            let end = if part == rest.len() { flag::END_STREAM } else { 0 };
            out.frame(kind::DATA, end, stream.number, &rest[..part]);
            let flow = i64::try_from(part).unwrap_or(MOST_WINDOW);
            (stream.sent, stream.window) = (stream.sent + part, stream.window - flow);
            peer.window -= flow;
            self.unsent -= usize::from(end != 0);
        }
    }

    /// The place of a stream; `None` if it has ended.
    fn known(&self, number: u32) -> Result<Option<usize>, Malformed> {
        match self.streams.binary_search_by_key(&number, |stream| stream.number) {
            Ok(index) => Ok(Some(index)),
            Err(_) => begun(number, self.next).map(|()| None),
        }
    }

    /// Ends a stream with what came of it, and tells the server unless both sides are through with it.
    fn end(&mut self, index: usize, outcome: Outcome, by_server: bool, ends: &mut Ends) {
        let Stream { number, sent, .. } = self.streams[index];
        if !by_server || sent < self.call.body.len() {
            self.session.out.reset_stream(number, code::CANCEL);
        }
        self.remove(index, outcome, ends);
    }

    fn remove(&mut self, index: usize, outcome: Outcome, ends: &mut Ends) {
        if let Some(stream) = self.streams.remove(index) {
            self.unsent -= usize::from(stream.sent < self.call.body.len());
            ends.push((stream.request, outcome));
        }
    }

    pub(super) fn expire(&mut self, sent_ns: u64, ends: &mut Ends) {
        while self.streams.front().is_some_and(|stream| stream.request.sent_ns <= sent_ns) {
            self.end(0, Outcome::Failed(Failure::Timeout), false, ends);
        }
    }

    pub(super) fn give_up(&mut self, why: Failure, ends: &mut Ends) {
        self.unsent = 0;
        ends.extend(self.streams.drain(..).map(|one| (one.request, Outcome::Failed(why))));
    }
}

/// Whether a stream's number was used.
fn begun(number: u32, next: u32) -> Result<(), Malformed> {
    if number % 2 == 1 && number < next { Ok(()) } else { Err(Malformed) }
}

//! A server's end of a connection of HTTP/2: its streams, and what it does about each frame. Errors end the connection.

use std::collections::BTreeMap;

use super::{
    super::{Limits, PATTERN},
    ask::{Answer, Ask},
};
use crate::load::http2::{
    Malformed,
    frame::{Frames, Head, MOST_PAYLOAD, Piece, code, flag, kind},
    peer::{self, MOST_WINDOW, setting},
    session::{Event, Session, allowed, refill},
};

/// Most streams at once.
const MOST_STREAMS: u32 = 1_000;
/// Header fields that are remembered: what a client may count on before it was told otherwise.
const TABLE: usize = 4_096;
/// Bodies wait in their streams while so much else waits to be written.
const ENOUGH_OUT: usize = 64 << 10;

/// A server's end of a connection.
#[derive(Debug)]
pub(super) struct Server {
    limits: Limits,
    pub(super) session: Session,
    streams: BTreeMap<u32, Stream>,
    /// The latest stream.
    last: u32,
    /// Answers that wait: how long, and on which stream.
    pub(super) delays: Vec<(u64, u32)>,
}

#[derive(Debug)]
struct Stream {
    ask: Ask,
    /// Bytes of the request's body.
    got: u64,
    /// The request is complete.
    asked: bool,
    received: u32,
    window: i64,
    sending: Option<Sending>,
}

/// An answer under way.
#[derive(Debug)]
struct Sending {
    answer: Answer,
    /// Of its body, these bytes come first,
    first: Vec<u8>,
    /// then so many that do not matter.
    rest: u32,
}

impl Server {
    pub(super) fn new(limits: Limits) -> Self {
        let mut session = Session::new(TABLE);
        session.greet([(setting::MAX_CONCURRENT_STREAMS, MOST_STREAMS)]);
        Self { limits, session, streams: BTreeMap::new(), last: 0, delays: Vec::new() }
    }

    pub(super) fn take(&mut self, frames: &mut Frames, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some(piece) = frames.next(&mut bytes)? {
            match piece {
                Piece::Frame(head, payload) => self.frame(head, payload)?,
                Piece::Data { stream, bytes, flow, end } => {
                    self.data(stream, bytes.len(), flow, end)?;
                }
            }
        }
        if self.session.is_flooded() { Err(Malformed) } else { Ok(()) }
    }

    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Malformed> {
        match self.session.frame(head, payload)? {
            Event::Nothing | Event::GoAway(_) | Event::Window => {}
            Event::Block => self.fields(head, payload)?,
            Event::Reset(number, _) => drop(self.streams.remove(&number)),
            Event::StreamWindows(change) => {
                for stream in self.streams.values_mut() {
                    peer::widen(&mut stream.window, change)?;
                }
            }
            Event::StreamWindow(number, more) => {
                if let Some(stream) = self.streams.get_mut(&number) {
                    peer::widen(&mut stream.window, more)?;
                }
            }
        }
        Ok(())
    }

    fn fields(&mut self, head: Head, payload: &[u8]) -> Result<(), Malformed> {
        let Session { blocks, decoder, peer, out, .. } = &mut self.session;
        let Some(block) = blocks.take(head, payload)? else {
            return Ok(());
        };
        let (number, end, mut ask) = (block.stream, block.end, Ask::default());
        decoder.decode(block.bytes, |name, value| ask.take(name, value))?;
        if number <= self.last {
            // Trailers, or those of a stream that has ended.
            return if end { self.asked(number) } else { Err(Malformed) };
        }
        if number % 2 == 0 {
            return Err(Malformed);
        }
        self.last = number;
        if self.streams.len() >= MOST_STREAMS as usize {
            out.reset_stream(number, code::REFUSED_STREAM);
            return Ok(());
        }
        let window = peer.stream_window;
        let stream = Stream { ask, got: 0, asked: false, received: 0, window, sending: None };
        self.streams.insert(number, stream);
        if end { self.asked(number) } else { Ok(()) }
    }

    fn data(
        &mut self,
        number: u32,
        length: usize,
        flow: usize,
        end: bool,
    ) -> Result<(), Malformed> {
        self.session.data(flow)?;
        if number == 0 || number > self.last {
            return Err(Malformed);
        }
        let Some(stream) = self.streams.get_mut(&number) else {
            return Ok(());
        };
        refill(&mut stream.received, flow, number, &mut self.session.out);
        stream.got += length as u64;
        if stream.got > u64::from(self.limits.max_size) + 5 && stream.sending.is_none() {
            let answer = stream.ask.too_large();
            self.answer_with(number, answer);
        }
        if end { self.asked(number) } else { Ok(()) }
    }

    /// The request on a stream is complete.
    fn asked(&mut self, number: u32) -> Result<(), Malformed> {
        let Some(stream) = self.streams.get_mut(&number) else {
            return Ok(());
        };
        if std::mem::replace(&mut stream.asked, true) {
            return Err(Malformed);
        }
        if stream.sending.is_none() {
            match stream.ask.answer(&self.limits) {
                (answer, 0) => self.answer_with(number, answer),
                (_, delay_ns) => self.delays.push((delay_ns, number)),
            }
        }
        Ok(())
    }

    /// The wait of a stream is over.
    pub(super) fn answer(&mut self, number: u32) {
        if let Some(stream) = self.streams.get(&number) {
            let (answer, _) = stream.ask.answer(&self.limits);
            self.answer_with(number, answer);
        }
    }

    fn answer_with(&mut self, number: u32, answer: Answer) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let (first, rest) = answer.body();
        let bodiless = first.is_empty() && rest == 0;
        let end = if bodiless { flag::END_STREAM } else { 0 };
        let fields = answer.fields();
        self.session.out.frame(kind::HEADERS, flag::END_HEADERS | end, number, &fields);
        stream.sending = Some(Sending { answer, first, rest });
        if bodiless { self.close(number) } else { self.send(number) }
    }

    /// Hands over what clients take of bodies.
    pub(super) fn send_all(&mut self) {
        let sending = self.streams.iter().filter(|(_, stream)| stream.sending.is_some());
        let numbers: Vec<_> = sending.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.send(number));
    }

    fn send(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let Some(sending) = &mut stream.sending else {
            return;
        };
        let Session { out, peer, .. } = &mut self.session;
        loop {
            let left = sending.first.len() + sending.rest as usize;
            let part = allowed(left, stream.window, peer.window);
            if part == 0 || out.rest().len() >= ENOUGH_OUT {
                return;
            }
            let trailers = sending.answer.trailers();
            let last = part == left;
            let end = if last && trailers.is_none() { flag::END_STREAM } else { 0 };
            out.frame(kind::DATA, end, number, &sending.next(part));
            let flow = i64::try_from(part).unwrap_or(MOST_WINDOW);
            (stream.window, peer.window) = (stream.window - flow, peer.window - flow);
            if last {
                if let Some(trailers) = trailers {
                    let flags = flag::END_HEADERS | flag::END_STREAM;
                    out.frame(kind::HEADERS, flags, number, &trailers);
                }
                return self.close(number);
            }
        }
    }

    /// Forgets a stream whose answer is complete; of its request nothing more is wanted.
    fn close(&mut self, number: u32) {
        if self.streams.remove(&number).is_some_and(|stream| !stream.asked) {
            self.session.out.reset_stream(number, code::NO_ERROR);
        }
    }
}

impl Sending {
    /// The next bytes of the body.
    fn next(&mut self, count: usize) -> Vec<u8> {
        let first = self.first.len().min(count);
        let mut bytes: Vec<u8> = self.first.drain(..first).collect();
        let rest = (count - first).min(MOST_PAYLOAD);
        bytes.extend_from_slice(&PATTERN[..rest]);
        self.rest -= u32::try_from(rest).unwrap_or(self.rest);
        bytes
    }
}

#[cfg(test)]
mod tests;

//! What both ends of a connection do alike: greet, take settings, answer pings, count windows. Errors end the connection.

use super::{
    Malformed,
    blocks::Blocks,
    frame::{HEAD, Head, flag, kind},
    hpack::Decoder,
    out::Out,
    peer::{self, Peer, setting},
};

/// Room of every window that the other side sends into: as wide as it can be.
pub const WINDOW: u32 = 0x7fff_ffff;
/// A window is widened again once so much of it was used.
const REFILL: u32 = 1 << 30;
/// Most bytes that the other side may have us answer without reading them.
const MOST_OWED: usize = 1 << 20;

/// One end of a connection, without its streams.
#[derive(Debug)]
pub struct Session {
    /// Reads header blocks.
    pub decoder: Decoder,
    /// Puts them together.
    pub blocks: Blocks,
    /// What waits to be written.
    pub out: Out,
    /// What the other side takes.
    pub peer: Peer,
    /// Bytes that came since the connection's window was widened.
    received: u32,
    /// Bytes of answers to frames among those that wait to be written.
    owed: usize,
}

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing that streams have to know.
    Nothing,
    /// A part of a header block, for [`Blocks`].
    Block,
    /// The other side ends this stream, with this code.
    Reset(u32, u32),
    /// Windows of all streams change by so much.
    StreamWindows(i64),
    /// The window of this stream widens by so much.
    StreamWindow(u32, i64),
    /// The window of the connection has widened.
    Window,
    /// The other side looks at no stream beyond this one.
    GoAway(u32),
}

impl Session {
    /// One that remembers header fields of at most this cost.
    #[must_use]
    pub fn new(table: usize) -> Self {
        Self {
            decoder: Decoder::new(table),
            blocks: Blocks::default(),
            out: Out::default(),
            peer: Peer::default(),
            received: 0,
            owed: 0,
        }
    }

    /// Starts over, with another connection.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.blocks.reset();
        self.out.clear();
        self.peer = Peer::default();
        (self.received, self.owed) = (0, 0);
    }

    /// Says what this end takes.
    pub fn greet<const N: usize>(&mut self, settings: [(u16, u32); N]) {
        let mut all = peer::settings(settings);
        all.extend(peer::settings([(setting::INITIAL_WINDOW_SIZE, WINDOW)]));
        self.out.frame(kind::SETTINGS, 0, 0, &all);
        self.out.window_update(0, WINDOW - 65_535);
    }

    /// Whether the other side has us answer more than it reads.
    #[must_use]
    pub const fn is_flooded(&self) -> bool {
        self.owed > MOST_OWED
    }

    /// So much was written.
    pub fn wrote(&mut self, count: usize) {
        self.out.wrote(count);
        if self.out.rest().is_empty() {
            self.owed = 0;
        }
    }

    /// Notes a part of a DATA frame.
    ///
    /// # Errors
    /// It has no place here.
    pub fn data(&mut self, flow: usize) -> Result<(), Malformed> {
        if !self.peer.settled || self.blocks.is_begun() {
            return Err(Malformed);
        }
        refill(&mut self.received, flow, 0, &mut self.out);
        Ok(())
    }

    /// Does about any other frame what no stream is needed for.
    ///
    /// # Errors
    /// It has no place here, or is not what its type says.
    pub fn frame(&mut self, head: Head, payload: &[u8]) -> Result<Event, Malformed> {
        let out_of_turn = self.blocks.is_begun() && head.kind != kind::CONTINUATION;
        if out_of_turn || !self.peer.settled && head.kind != kind::SETTINGS {
            return Err(Malformed);
        }
        Ok(match (head.kind, head.stream) {
            (kind::HEADERS | kind::CONTINUATION, _) => Event::Block,
            (kind::RST_STREAM, 1..) => Event::Reset(head.stream, number(payload)?),
            (kind::SETTINGS, 0) => self.settings(head, payload)?,
            (kind::PING, 0) if payload.len() == 8 => {
                if !head.has(flag::ACK) {
                    self.answer(kind::PING, payload);
                }
                Event::Nothing
            }
            (kind::GOAWAY, 0) => {
                let (last, _) = payload.split_at_checked(4).ok_or(Malformed)?;
                Event::GoAway(number(last)? & WINDOW)
            }
            (kind::WINDOW_UPDATE, 0) => {
                peer::widen(&mut self.peer.window, peer::increment(payload)?)?;
                Event::Window
            }
            (kind::WINDOW_UPDATE, stream) => Event::StreamWindow(stream, peer::increment(payload)?),
            (kind::RST_STREAM | kind::SETTINGS | kind::PING | kind::GOAWAY, _) => {
                return Err(Malformed);
            }
            // This end has said that it takes none, or is one that nobody pushes to.
            (kind::PUSH_PROMISE, _) => return Err(Malformed),
            // What nobody knows is left alone.
            _ => Event::Nothing,
        })
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<Event, Malformed> {
        if head.has(flag::ACK) {
            let fine = payload.is_empty() && self.peer.settled;
            return if fine { Ok(Event::Nothing) } else { Err(Malformed) };
        }
        let change = self.peer.apply(payload)?;
        self.answer(kind::SETTINGS, &[]);
        Ok(Event::StreamWindows(change))
    }

    fn answer(&mut self, kind: u8, payload: &[u8]) {
        self.out.frame(kind, flag::ACK, 0, payload);
        self.owed += HEAD + payload.len();
    }
}

fn number(payload: &[u8]) -> Result<u32, Malformed> {
    Ok(u32::from_be_bytes(payload.try_into().map_err(|_| Malformed)?))
}

/// Counts what came on a stream, 0 being all of them, and widens its window again in time.
pub fn refill(received: &mut u32, flow: usize, stream: u32, out: &mut Out) {
    *received = received.saturating_add(u32::try_from(flow).unwrap_or(u32::MAX));
    if *received >= REFILL {
        out.window_update(stream, *received);
        *received = 0;
    }
}

/// How much of a body a stream may send now.
#[must_use]
pub fn allowed(rest: usize, stream_window: i64, window: i64) -> usize {
    let window = usize::try_from(stream_window.min(window)).unwrap_or(0);
    rest.min(window).min(super::frame::MOST_PAYLOAD)
}

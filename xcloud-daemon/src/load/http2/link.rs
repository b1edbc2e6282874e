//! A client's end of a connection of HTTP/2: many requests at once, and whatever the server does about them.

use super::{
    Malformed,
    call::Call,
    client::Client,
    frame::{Frames, Piece},
};
use crate::load::rate::{
    protocol::{Ends, Link, Next},
    seconds::Request,
    tally::Failure,
};

/// Speaks HTTP/2 on one connection.
#[derive(Debug)]
pub struct Http2Link<'a> {
    frames: Frames,
    client: Client<'a>,
}

impl<'a> Http2Link<'a> {
    /// For a connection that is yet to be made.
    #[must_use]
    pub fn new(call: &'a Call) -> Self {
        Self { frames: Frames::default(), client: Client::new(call) }
    }

    fn read(&mut self, mut bytes: &[u8], ends: &mut Ends) -> Result<(), Malformed> {
        while let Some(piece) = self.frames.next(&mut bytes)? {
            match piece {
                Piece::Frame(head, payload) => self.client.frame(head, payload, ends)?,
                Piece::Data { stream, bytes, flow, end } => {
                    self.client.data(stream, bytes, flow, end, ends)?;
                }
            }
        }
        Ok(())
    }
}

impl Link for Http2Link<'_> {
    fn reset(&mut self) {
        self.frames.reset();
        self.client.reset();
    }

    fn settled(&self) -> bool {
        self.client.is_settled()
    }

    fn accepts(&self) -> bool {
        self.client.accepts()
    }

    fn begin(&mut self, request: Request) {
        self.client.begin(request);
    }

    fn output(&mut self) -> &[u8] {
        self.client.output()
    }

    fn wrote(&mut self, count: usize) {
        self.client.wrote(count);
    }

    fn take(&mut self, bytes: &[u8], ends: &mut Ends) -> Next {
        match self.read(bytes, ends) {
            Err(Malformed) => Next::Close(Failure::Protocol),
            Ok(()) if self.client.is_flooded() => Next::Close(Failure::Protocol),
            Ok(()) if self.client.is_over() => Next::Close(Failure::Goaway),
            Ok(()) => Next::Keep,
        }
    }

    fn hung_up(&mut self, _ends: &mut Ends) -> Next {
        Next::Close(Failure::Reset)
    }

    fn expire(&mut self, sent_ns: u64, ends: &mut Ends) -> Next {
        self.client.expire(sent_ns, ends);
        Next::Keep
    }

    fn give_up(&mut self, why: Failure, ends: &mut Ends) {
        self.client.give_up(why, ends);
    }
}

#[cfg(test)]
mod tests;

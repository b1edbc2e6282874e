//! What a client does about each frame of the server. Errors end the connection.

use super::{
    super::{
        Malformed,
        frame::{Head, code},
        peer,
        session::{Event, refill},
    },
    Client, begun,
};
use crate::load::rate::{
    protocol::{Ends, Outcome},
    tally::Failure,
};

impl Client<'_> {
    pub(in crate::load::http2) fn data(
        &mut self,
        number: u32,
        bytes: &[u8],
        flow: usize,
        end: bool,
        ends: &mut Ends,
    ) -> Result<(), Malformed> {
        self.session.data(flow)?;
        let Some(index) = self.known(number)? else {
            return Ok(());
        };
        let stream = &mut self.streams[index];
        refill(&mut stream.received, flow, number, &mut self.session.out);
        if let Some(outcome) = stream.reply.data(bytes, end, self.call.kind) {
            self.end(index, outcome, end, ends);
        }
        Ok(())
    }

    pub(in crate::load::http2) fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        ends: &mut Ends,
    ) -> Result<(), Malformed> {
        match self.session.frame(head, payload)? {
            Event::Nothing => {}
            Event::Block => self.fields(head, payload, ends)?,
            Event::Reset(number, code) => self.reset_by_server(number, code, ends)?,
            Event::StreamWindows(change) => {
                for stream in &mut self.streams {
                    peer::widen(&mut stream.window, change)?;
                }
                self.send_bodies();
            }
            Event::StreamWindow(number, more) => self.window(number, more, ends)?,
            Event::Window => self.send_bodies(),
            Event::GoAway(last) => self.go_away(last, ends),
        }
        Ok(())
    }

    fn fields(&mut self, head: Head, payload: &[u8], ends: &mut Ends) -> Result<(), Malformed> {
        let Some(block) = self.session.blocks.take(head, payload)? else {
            return Ok(());
        };
        // Not by `known`: the block is still borrowed.
        let found = self.streams.binary_search_by_key(&block.stream, |stream| stream.number);
        let Ok(index) = found else {
            return begun(block.stream, self.next);
        };
        let (end, decoder) = (block.end, &mut self.session.decoder);
        let reply = &mut self.streams[index].reply;
        if let Some(outcome) = reply.fields(block.bytes, end, self.call.kind, decoder)? {
            self.end(index, outcome, end, ends);
        }
        Ok(())
    }

    fn reset_by_server(
        &mut self,
        number: u32,
        code: u32,
        ends: &mut Ends,
    ) -> Result<(), Malformed> {
        if let Some(index) = self.known(number)? {
            let why = match code {
                code::REFUSED_STREAM => Failure::Refused,
                _ => Failure::Reset,
            };
            self.remove(index, Outcome::Failed(why), ends);
        }
        Ok(())
    }

    fn go_away(&mut self, last: u32, ends: &mut Ends) {
        self.closing = true;
        while self.streams.back().is_some_and(|stream| stream.number > last) {
            self.remove(self.streams.len() - 1, Outcome::Failed(Failure::Goaway), ends);
        }
    }

    fn window(&mut self, number: u32, more: i64, ends: &mut Ends) -> Result<(), Malformed> {
        if let Some(index) = self.known(number)? {
            match peer::widen(&mut self.streams[index].window, more) {
                Ok(()) => self.send_body(index),
                Err(Malformed) => self.end(index, Outcome::Failed(Failure::Protocol), false, ends),
            }
        }
        Ok(())
    }
}

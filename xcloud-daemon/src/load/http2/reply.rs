//! Reads the answer on one stream.

use super::{Malformed, hpack::Decoder};
use crate::load::rate::{protocol::Outcome, tally::Failure};

/// Most interim answers before the real one.
const MOST_INTERIM: u8 = 8;

/// What is asked for, and so what an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page, or only its head.
    Http {
        /// Only its head.
        head_only: bool,
    },
    /// A unary call.
    Grpc,
}

/// An answer, as far as it came. Of its body only lengths are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply {
    /// HTTP's; 0 before it came.
    status: u16,
    grpc: Option<u8>,
    length: Option<u64>,
    got: u64,
    interim: u8,
    messages: Messages,
}

/// What the fields of a block say.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    status: Option<u16>,
    grpc: Option<u8>,
    length: Option<u64>,
    wrong: bool,
}

impl Fields {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let twice = match name {
            b":status" => self.status.replace(status(value)).is_some() || self.status == Some(0),
            b"grpc-status" => {
                // Statuses beyond those that gRPC defines are failures too.
                let number = number(value).map(|number| u8::try_from(number).unwrap_or(u8::MAX));
                let known = number.is_some();
                self.grpc.replace(number.unwrap_or(u8::MAX)).is_some() || !known
            }
            b"content-length" => {
                let number = number(value);
                let known = number.is_some();
                self.length.replace(number.unwrap_or(0)).is_some() || !known
            }
            _ => false,
        };
        self.wrong |= twice;
    }
}

/// 0 for what is no status.
fn status(value: &[u8]) -> u16 {
    number(value)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| (100..600).contains(number))
        .unwrap_or(0)
}

fn number(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Reply {
    /// Takes a block of fields. `Err`: nothing more can be read on the connection.
    ///
    /// # Errors
    /// The block is not encoded as it should be.
    pub fn fields(
        &mut self,
        block: &[u8],
        end: bool,
        kind: Kind,
        decoder: &mut Decoder,
    ) -> Result<Option<Outcome>, Malformed> {
        let mut fields = Fields::default();
        decoder.decode(block, |name, value| fields.take(name, value))?;
        let garbage = Ok(Some(Outcome::Failed(Failure::Protocol)));
        if fields.wrong || fields.status.is_some() != (self.status == 0) {
            return garbage;
        }
        match fields.status {
            Some(100..200) => {
                self.interim += 1;
                return if end || self.interim > MOST_INTERIM { garbage } else { Ok(None) };
            }
            Some(status) => (self.status, self.length) = (status, fields.length),
            // Nothing may follow trailers.
            None if !end => return garbage,
            None => {}
        }
        self.grpc = fields.grpc.or(self.grpc);
        Ok(end.then(|| self.outcome(kind)))
    }

    /// Takes a part of the body.
    pub fn data(&mut self, bytes: &[u8], end: bool, kind: Kind) -> Option<Outcome> {
        self.got += bytes.len() as u64;
        // An error page is in no frame of gRPC.
        let framed = kind == Kind::Grpc && self.status == 200;
        let fine = self.status != 0 && (!framed || self.messages.take(bytes).is_ok());
        if !fine {
            return Some(Outcome::Failed(Failure::Protocol));
        }
        end.then(|| self.outcome(kind))
    }

    /// What an answer that is complete says.
    fn outcome(&self, kind: Kind) -> Outcome {
        let bodiless = kind == Kind::Http { head_only: true } || matches!(self.status, 204 | 304);
        if self.length.is_some_and(|length| length != self.got && !bodiless) {
            return Outcome::Failed(Failure::Protocol);
        }
        match (kind, self.grpc) {
            (Kind::Http { .. }, _) => Outcome::of((200..400).contains(&self.status)),
            (Kind::Grpc, _) if self.status != 200 => Outcome::Failed(Failure::Status),
            (Kind::Grpc, Some(0)) if self.messages.is_one() => Outcome::Done,
            (Kind::Grpc, Some(0) | None) => Outcome::Failed(Failure::Protocol),
            (Kind::Grpc, Some(status)) => Outcome::Grpc(status),
        }
    }
}

/// Counts the messages of a body: of an answer to a unary call there is one, not compressed.
#[derive(Clone, Copy, Debug, Default)]
struct Messages {
    /// Of the message's head, what came.
    head: [u8; 5],
    filled: u8,
    left: u32,
}

impl Messages {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while usize::from(self.filled) < self.head.len() {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            self.head[usize::from(self.filled)] = *byte;
            self.filled += 1;
            bytes = rest;
            let [compressed, length @ ..] = self.head;
            if compressed != 0 {
                return Err(Malformed);
            }
            self.left = u32::from_be_bytes(length);
        }
        let count = u32::try_from(bytes.len()).map_err(|_| Malformed)?;
        self.left = self.left.checked_sub(count).ok_or(Malformed)?;
        Ok(())
    }

    /// Whether there was one, and all of it.
    fn is_one(&self) -> bool {
        usize::from(self.filled) == self.head.len() && self.left == 0
    }
}

#[cfg(test)]
mod tests;

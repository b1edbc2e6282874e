//! The bytes between `xcloud load rr` and its responder. Numbers are big-endian.

/// What a request begins with.
pub const MAGIC: [u8; 4] = *b"xcq1";
/// What an answer begins with.
const REPLY_MAGIC: [u8; 4] = *b"xca1";
/// Length of a request before its payload. No shorter than an answer's.
pub const ASK: usize = 32;
/// Length of an answer before its payload.
pub const REPLY: usize = 20;
/// Most bytes of a datagram over IPv4.
pub const LARGEST_DATAGRAM: usize = 65_507;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Bytes that follow.
    pub payload: u32,
    /// Bytes the answer is to have.
    pub answer: u32,
    /// How long to wait before it.
    pub delay_ns: u64,
    /// The status it is to have.
    pub status: u16,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0 is success.
    pub status: u16,
    /// Bytes that follow.
    pub payload: u32,
    /// The request's number.
    pub id: u64,
}

impl Ask {
    /// The bytes of a request with a number.
    #[must_use]
    pub fn encode(&self, id: u64) -> [u8; ASK] {
        let mut bytes = [0; ASK];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.payload.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.answer.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.delay_ns.to_be_bytes());
        bytes[20..28].copy_from_slice(&id.to_be_bytes());
        bytes[28..30].copy_from_slice(&self.status.to_be_bytes());
        bytes
    }

    /// The request that bytes begin with, and its number; `None` if they do not.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, u64)> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (payload, rest) = rest.split_first_chunk()?;
        let (answer, rest) = rest.split_first_chunk()?;
        let (delay, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (status, rest) = rest.split_first_chunk()?;
        let ask = Self {
            payload: u32::from_be_bytes(*payload),
            answer: u32::from_be_bytes(*answer),
            delay_ns: u64::from_be_bytes(*delay),
            status: u16::from_be_bytes(*status),
        };
        (*magic == MAGIC && rest.len() >= 2).then(|| (ask, u64::from_be_bytes(*id)))
    }
}

impl Reply {
    /// The bytes of an answer, before its payload.
    #[must_use]
    pub fn encode(&self) -> [u8; REPLY] {
        let mut bytes = [0; REPLY];
        bytes[..4].copy_from_slice(&REPLY_MAGIC);
        bytes[4..6].copy_from_slice(&self.status.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.payload.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    /// The answer that bytes begin with; `None` if they do not.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (status, rest) = rest.split_first_chunk()?;
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let (payload, rest) = rest.split_first_chunk()?;
        let (id, _) = rest.split_first_chunk()?;
        (*magic == REPLY_MAGIC).then(|| Self {
            status: u16::from_be_bytes(*status),
            payload: u32::from_be_bytes(*payload),
            id: u64::from_be_bytes(*id),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(payload: u32, answer: u32, delay_ns: u64, status: u16, id: u64) {
            let ask = Ask { payload, answer, delay_ns, status };
            prop_assert_eq!(Ask::decode(&ask.encode(id)), Some((ask, id)));
            prop_assert_eq!(Ask::decode(&ask.encode(id)[..ASK - 1]), None);
            let reply = Reply { status, payload, id };
            prop_assert_eq!(Reply::decode(&reply.encode()), Some(reply));
            prop_assert_eq!(Reply::decode(&reply.encode()[..REPLY - 1]), None);
        }
    }

    #[test]
    fn what_begins_otherwise_is_refused() {
        assert_eq!(Ask::decode(&[b'G'; ASK]), None);
        assert_eq!(Reply::decode(&[b'G'; REPLY]), None);
    }
}

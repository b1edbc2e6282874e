//! Frames of HTTP/2 (RFC 9113, sections 4 and 6): their heads, and cutting them out of a stream of bytes.

use super::Malformed;

/// What a client begins a connection with.
pub const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's head.
pub const HEAD: usize = 9;
/// Longest payload of a frame, unless its reader allows longer ones; this one does not.
pub const MOST_PAYLOAD: usize = 16 << 10;

/// Types of frames.
pub mod kind {
    #![expect(missing_docs, reason = "named as in RFC 9113")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "named as in RFC 9113")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// Error codes.
pub mod code {
    #![expect(missing_docs, reason = "named as in RFC 9113")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of payload.
    pub length: usize,
    /// One of [`kind`].
    pub kind: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// The stream it belongs to; 0 is the connection.
    pub stream: u32,
}

impl Head {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEAD] {
        let [_, high, middle, low] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    /// The head that these bytes are.
    #[must_use]
    pub fn decode([high, middle, low, kind, flags, a, b, c, d]: [u8; HEAD]) -> Self {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Self { length, kind, flags, stream: u32::from_be_bytes([a & 0x7f, b, c, d]) }
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What of a payload is neither padding nor its length, nor a priority.
    ///
    /// # Errors
    /// It is shorter than it says.
    pub fn stripped<'a>(&self, mut payload: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let mut padding = 0;
        if self.has(flag::PADDED) {
            let (length, rest) = payload.split_first().ok_or(Malformed)?;
            padding = usize::from(*length);
            payload = rest;
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            payload = payload.get(5..).ok_or(Malformed)?;
        }
        payload.len().checked_sub(padding).map(|end| &payload[..end]).ok_or(Malformed)
    }
}

/// A frame, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A part of a DATA frame. Its length in all is told with the last part, which may be empty.
    Data {
        /// The stream.
        stream: u32,
        /// What it carries.
        bytes: &'a [u8],
        /// Bytes that count for flow control; padding is among them.
        flow: usize,
        /// Nothing follows on the stream.
        end: bool,
    },
    /// Any other frame, whole.
    Frame(Head, &'a [u8]),
}

/// Cuts bytes into frames. DATA is handed on as it comes, of others at most one is kept.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; HEAD],
    filled: usize,
    current: Option<Head>,
    left: usize,
    payload: Vec<u8>,
}

impl Frames {
    /// Forgets a frame that was begun.
    pub fn reset(&mut self) {
        self.filled = 0;
        self.current = None;
    }

    /// The next piece of these bytes, which are shortened by it; `None` once more are needed.
    ///
    /// # Errors
    /// A frame is longer than allowed, or its padding is longer than itself.
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Piece<'a>>, Malformed> {
        let head = match self.current {
            Some(head) => head,
            None => match self.head(bytes)? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        let streamed = head.kind == kind::DATA && !head.has(flag::PADDED);
        let part = bytes.len().min(self.left);
        if part == 0 && self.left > 0 {
            return Ok(None);
        }
        let (here, rest) = bytes.split_at(part);
        *bytes = rest;
        self.left -= part;
        let whole = self.left == 0;
        if whole {
            self.current = None;
        }
        if streamed {
            let end = whole && head.has(flag::END_STREAM);
            return Ok(Some(Piece::Data { stream: head.stream, bytes: here, flow: part, end }));
        }
        let payload = if part == head.length {
            here
        } else {
            self.payload.extend_from_slice(here);
            if !whole {
                return Ok(None);
            }
            &self.payload
        };
        if head.kind == kind::DATA {
            let (bytes, end) = (head.stripped(payload)?, head.has(flag::END_STREAM));
            return Ok(Some(Piece::Data { stream: head.stream, bytes, flow: head.length, end }));
        }
        Ok(Some(Piece::Frame(head, payload)))
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        let part = bytes.len().min(HEAD - self.filled);
        let (here, rest) = bytes.split_at(part);
        *bytes = rest;
        self.head[self.filled..self.filled + part].copy_from_slice(here);
        self.filled += part;
        if self.filled < HEAD {
            return Ok(None);
        }
        self.filled = 0;
        let head = Head::decode(self.head);
        if head.length > MOST_PAYLOAD {
            return Err(Malformed);
        }
        self.payload.clear();
        self.left = head.length;
        self.current = Some(head);
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Every frame's head and payload, DATA put together again.
    fn cut(bytes: &[u8], size: usize) -> Result<Vec<(u8, u32, Vec<u8>)>, Malformed> {
        let (mut frames, mut all, mut data) = (Frames::default(), Vec::new(), Vec::new());
        for mut piece in bytes.chunks(size) {
            while let Some(piece) = frames.next(&mut piece)? {
                match piece {
                    Piece::Data { stream, bytes, end, .. } => {
                        data.extend_from_slice(bytes);
                        if end {
                            all.push((kind::DATA, stream, std::mem::take(&mut data)));
                        }
                    }
                    Piece::Frame(head, payload) => {
                        all.push((head.kind, head.stream, payload.into()));
                    }
                }
            }
        }
        Ok(all)
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let head = Head { length: payload.len(), kind, flags, stream };
        [&head.encode()[..], payload].concat()
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            all in vec((0u8..12, 1u32..100, vec(any::<u8>(), 0..200)), 0..8), size in 1usize..300
        ) {
            let bytes: Vec<u8> =
                all.iter().flat_map(|(kind, stream, payload)| frame(*kind, flag::END_STREAM, *stream, payload)).collect();
            prop_assert_eq!(cut(&bytes, size), Ok(all));
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..2_000), size in 1usize..300) {
            let _ = cut(&bytes, size);
        }
    }

    #[test]
    fn padding_is_left_out_and_counted() {
        let bytes = frame(kind::DATA, flag::PADDED | flag::END_STREAM, 1, b"\x03abxxx");
        let mut frames = Frames::default();
        let piece = Piece::Data { stream: 1, bytes: b"ab", flow: 6, end: true };
        assert_eq!(frames.next(&mut &bytes[..]), Ok(Some(piece)));
        let more = frame(kind::DATA, flag::PADDED, 1, b"\x03ab");
        assert_eq!(frames.next(&mut &more[..]), Err(Malformed));
    }

    #[test]
    fn a_long_frame_is_refused_before_it_comes() {
        let head = Head { length: MOST_PAYLOAD + 1, kind: kind::DATA, flags: 0, stream: 1 };
        assert_eq!(Frames::default().next(&mut &head.encode()[..]), Err(Malformed));
    }
}

//! What is on its way to the other side.

use super::frame::{Head, kind};

/// Bytes that were not written yet. Their room is used over and over.
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    written: usize,
}

impl Out {
    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = Head { length: payload.len(), kind, flags, stream };
        self.raw(&head.encode());
        self.raw(payload);
    }

    /// Appends the end of a stream.
    pub fn reset_stream(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Lets the other side send so much more; stream 0 is all of them together.
    pub fn window_update(&mut self, stream: u32, more: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    /// What is to be written.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So much of it was.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.bytes.len() {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_makes_room() {
        let mut out = Out::default();
        out.frame(kind::PING, 1, 0, b"12345678");
        assert_eq!(out.rest(), b"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678");
        out.wrote(16);
        assert_eq!(out.rest(), b"8");
        out.wrote(1);
        assert!(out.rest().is_empty() && out.bytes.is_empty());
    }
}

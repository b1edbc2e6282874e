//! Puts header blocks together that come in several frames.

use super::{
    Malformed,
    frame::{Head, flag, kind},
};

/// Most bytes of a block.
const MOST_BLOCK: usize = 64 << 10;

/// The block that is coming.
#[derive(Debug, Default)]
pub struct Blocks {
    bytes: Vec<u8>,
    /// Its stream, and whether nothing follows on that after it; `None` between blocks.
    of: Option<(u32, bool)>,
}

/// A whole block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its stream.
    pub stream: u32,
    /// Nothing follows on the stream.
    pub end: bool,
    /// What it says.
    pub bytes: &'a [u8],
}

impl Blocks {
    /// Forgets a block that was begun.
    pub fn reset(&mut self) {
        self.of = None;
    }

    /// Whether a block was begun, so that nothing else may come.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.of.is_some()
    }

    /// Takes a HEADERS or CONTINUATION frame; the block that it completes.
    ///
    /// # Errors
    /// It has no place here, or the block becomes too long.
    pub fn take<'a>(
        &'a mut self,
        head: Head,
        payload: &'a [u8],
    ) -> Result<Option<Block<'a>>, Malformed> {
        let whole = head.has(flag::END_HEADERS);
        if head.kind == kind::HEADERS {
            let payload = head.stripped(payload)?;
            let end = head.has(flag::END_STREAM);
            if self.is_begun() || head.stream == 0 {
                return Err(Malformed);
            }
            if whole {
                return Ok(Some(Block { stream: head.stream, end, bytes: payload }));
            }
            self.bytes.clear();
            self.bytes.extend_from_slice(payload);
            self.of = Some((head.stream, end));
            return Ok(None);
        }
        let (stream, end) =
            self.of.filter(|(stream, _)| *stream == head.stream).ok_or(Malformed)?;
        self.bytes.extend_from_slice(payload);
        // Empty parts without end are as bad as long ones; a part counts at least as much as its head.
        if self.bytes.len() > MOST_BLOCK || payload.is_empty() && !whole {
            return Err(Malformed);
        }
        if !whole {
            return Ok(None);
        }
        self.of = None;
        Ok(Some(Block { stream, end, bytes: &self.bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u8, flags: u8, stream: u32) -> Head {
        Head { length: 0, kind, flags, stream }
    }

    #[test]
    fn parts_become_a_block() {
        let mut blocks = Blocks::default();
        let first = head(kind::HEADERS, flag::END_STREAM, 3);
        assert_eq!(blocks.take(first, b"ab"), Ok(None));
        assert!(blocks.is_begun());
        assert_eq!(blocks.take(head(kind::CONTINUATION, 0, 3), b"c"), Ok(None));
        let last = head(kind::CONTINUATION, flag::END_HEADERS, 3);
        let block = Block { stream: 3, end: true, bytes: b"abcd" };
        assert_eq!(blocks.take(last, b"d"), Ok(Some(block)));
        assert!(!blocks.is_begun());
        let alone = head(kind::HEADERS, flag::END_HEADERS, 5);
        let block = Block { stream: 5, end: false, bytes: b"x" };
        assert_eq!(blocks.take(alone, b"x"), Ok(Some(block)));
    }

    #[test]
    fn parts_out_of_place_are_refused() {
        let begun = || {
            let mut blocks = Blocks::default();
            assert_eq!(blocks.take(head(kind::HEADERS, 0, 3), b"a"), Ok(None));
            blocks
        };
        assert!(begun().take(head(kind::HEADERS, 0, 5), b"a").is_err());
        assert!(begun().take(head(kind::CONTINUATION, 0, 5), b"a").is_err());
        assert!(begun().take(head(kind::CONTINUATION, 0, 3), b"").is_err());
        assert!(Blocks::default().take(head(kind::CONTINUATION, 0, 3), b"a").is_err());
        assert!(Blocks::default().take(head(kind::HEADERS, 0, 0), b"a").is_err());
    }

    #[test]
    fn a_block_without_end_is_refused() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.take(head(kind::HEADERS, 0, 1), b""), Ok(None));
        let more =
            |blocks: &mut Blocks| blocks.take(head(kind::CONTINUATION, 0, 1), &[0; 16_384]).is_ok();
        let taken = (0..10).take_while(|_| more(&mut blocks)).count();
        assert_eq!(taken, MOST_BLOCK / 16_384);
    }
}

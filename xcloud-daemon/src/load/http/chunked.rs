//! The chunked coding, byte by byte: nothing of a body is kept.

/// Most bytes of a chunk's extension, and of all trailers.
const MOST_ASIDE: u32 = 16 << 10;

/// How far a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's length, of which there is at least one digit or not.
    Size { digits: u32 },
    /// Between a chunk's length and its line end.
    Extension,
    /// After the carriage return of a chunk's length.
    SizeEnd,
    /// Inside a chunk.
    Data,
    /// After a chunk.
    DataEnd,
    /// After the carriage return behind a chunk.
    DataEndLine,
    /// At the beginning of a trailer, or of the last line.
    Trailer,
    /// Inside a trailer.
    TrailerLine,
    /// After the last line's carriage return.
    Last,
}

/// Reads a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    at: At,
    /// Of the chunk, what is to come.
    left: u64,
    aside: u32,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, aside: 0 }
    }

    /// Takes bytes. `Ok(Some(count))`: the body ended after so many of them; `Ok(None)`: there is more to come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, ()> {
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            if self.at == At::Data {
                let here = (bytes.len() - position) as u64;
                let part = here.min(self.left);
                self.left -= part;
                position += usize::try_from(part).map_err(drop)?;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            position += 1;
            if self.step(*byte)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Takes a byte that is not part of a chunk; `true` if it was the last one.
    fn step(&mut self, byte: u8) -> Result<bool, ()> {
        self.at = match (self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(())?;
                self.left = self.left << 4 | u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. } | At::Extension, b'\r') => At::SizeEnd,
            (At::Size { digits: 1.. }, b';' | b' ' | b'\t') => self.aside(At::Extension)?,
            (At::Extension, 1..) if byte != b'\n' => self.aside(At::Extension)?,
            (At::SizeEnd, b'\n') if self.left == 0 => At::Trailer,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataEndLine,
            (At::DataEndLine, b'\n') => At::Size { digits: 0 },
            (At::Trailer, b'\r') => At::Last,
            (At::Trailer, 1..) if byte != b'\n' => self.aside(At::TrailerLine)?,
            (At::TrailerLine, b'\n') => At::Trailer,
            (At::TrailerLine, 1..) => self.aside(At::TrailerLine)?,
            (At::Last, b'\n') => return Ok(true),
            _ => return Err(()),
        };
        Ok(false)
    }

    fn aside(&mut self, next: At) -> Result<At, ()> {
        self.aside += 1;
        if self.aside > MOST_ASIDE { Err(()) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn encoded(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            all.extend(format!("{:X};a=b\r\n", chunk.len()).bytes());
            all.extend(chunk);
            all.extend(b"\r\n");
        }
        all.extend(b"0\r\nTrailer: x\r\n\r\n");
        all
    }

    proptest! {
        #[test]
        fn a_body_ends_where_it_ends_however_it_is_cut(
            chunks in vec(vec(any::<u8>(), 0..300), 0..5), cut in 1usize..50, after in vec(any::<u8>(), 0..5)
        ) {
            let body = encoded(&chunks);
            let all = [body.clone(), after].concat();
            let mut chunked = Chunked::new();
            let mut position = 0;
            for piece in all.chunks(cut) {
                if let Some(used) = chunked.take(piece).expect("well formed") {
                    position += used;
                    break;
                }
                position += piece.len();
            }
            prop_assert_eq!(position, body.len());
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..500)) {
            let _ = Chunked::new().take(&bytes);
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wrong in
            [&b"\r\n"[..], b"g\r\n", b"1\r\nab", b"1\nab", b"1\r\na\n", b"0000000000000001\r\n"]
        {
            assert!(Chunked::new().take(wrong).is_err(), "{wrong:?}");
        }
        assert!(Chunked::new().take(&[b"1;".to_vec(), vec![b'x'; 20_000]].concat()).is_err());
        assert!(Chunked::new().take(&[b"0\r\nA:".to_vec(), vec![b'x'; 20_000]].concat()).is_err());
    }
}

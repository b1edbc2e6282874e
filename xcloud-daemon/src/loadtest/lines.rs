//! A process's output cut into lines for people. No I/O.

/// Longest line; the rest is left out.
const LONGEST: usize = 500;

/// Lines of bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that are whole with this piece; empty ones are left out.
    pub fn push(&mut self, piece: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for byte in piece {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.begun).trim_end().to_owned();
                self.begun.clear();
                if !line.is_empty() {
                    whole.push(line);
                }
            } else if self.begun.len() < LONGEST {
                self.begun.push(*byte);
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_are_cut_and_empty_ones_left_out() {
        let mut lines = Lines::default();
        let long = [b'x'; 2 * LONGEST];
        assert_eq!(lines.push(&long), Vec::<String>::new());
        let [cut, last] = &lines.push(b"\n\r\n\nb\nc")[..] else { panic!("two lines") };
        assert_eq!((cut.len(), last.as_str()), (LONGEST, "b"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..50) {
            let mut one = Lines::default();
            let mut other = Lines::default();
            let pieces: Vec<_> = bytes.chunks(cut).flat_map(|piece| other.push(piece)).collect();
            prop_assert_eq!(one.push(&bytes), pieces);
        }
    }
}

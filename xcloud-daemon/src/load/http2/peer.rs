//! What the other side lets us send.

use super::Malformed;

/// Largest window.
pub const MOST_WINDOW: i64 = 0x7fff_ffff;
/// A window that nobody has changed.
const FIRST_WINDOW: i64 = 65_535;
/// Streams that a careful client opens before it was told how many it may.
const FIRST_STREAMS: u32 = 100;

/// Settings, by their numbers in RFC 9113.
pub mod setting {
    #![expect(missing_docs, reason = "named as in RFC 9113")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
}

/// The other side's settings and its window for the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// It has sent its settings.
    pub settled: bool,
    /// Streams it takes at once.
    pub streams: u32,
    /// Bytes it takes of all streams.
    pub window: i64,
    /// Bytes it takes of a stream at first.
    pub stream_window: i64,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            settled: false,
            streams: FIRST_STREAMS,
            window: FIRST_WINDOW,
            stream_window: FIRST_WINDOW,
        }
    }
}

impl Peer {
    /// Takes its settings; by how much windows of streams change.
    ///
    /// # Errors
    /// They are no settings.
    pub fn apply(&mut self, payload: &[u8]) -> Result<i64, Malformed> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Malformed);
        }
        if !self.settled {
            // Without a word from it there is no limit.
            self.streams = u32::MAX;
        }
        let before = self.stream_window;
        for [high, low, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*high, *low]) {
                setting::MAX_CONCURRENT_STREAMS => self.streams = value,
                setting::INITIAL_WINDOW_SIZE if i64::from(value) <= MOST_WINDOW => {
                    self.stream_window = value.into();
                }
                // Frames of a length that all take are sent in any case.
                setting::MAX_FRAME_SIZE if (0x4000..=0xff_ffff).contains(&value) => {}
                setting::INITIAL_WINDOW_SIZE | setting::MAX_FRAME_SIZE => return Err(Malformed),
                _ => {}
            }
        }
        self.settled = true;
        Ok(self.stream_window - before)
    }
}

/// What a WINDOW_UPDATE adds.
///
/// # Errors
/// It is none, or adds nothing.
pub fn increment(payload: &[u8]) -> Result<i64, Malformed> {
    let bytes: [u8; 4] = payload.try_into().map_err(|_| Malformed)?;
    let more = u32::from_be_bytes(bytes) & 0x7fff_ffff;
    if more == 0 { Err(Malformed) } else { Ok(more.into()) }
}

/// Widens a window.
///
/// # Errors
/// It would be wider than windows may be.
pub fn widen(window: &mut i64, more: i64) -> Result<(), Malformed> {
    *window += more;
    if *window > MOST_WINDOW { Err(Malformed) } else { Ok(()) }
}

/// Settings as a payload.
#[must_use]
pub fn settings<const N: usize>(all: [(u16, u32); N]) -> Vec<u8> {
    all.iter()
        .flat_map(|(id, value)| {
            let ([a, b], [c, d, e, f]) = (id.to_be_bytes(), value.to_be_bytes());
            [a, b, c, d, e, f]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_settings_make_a_window_too_wide(payloads in vec(vec(any::<u8>(), 0..60), 0..5)) {
            let mut peer = Peer::default();
            for payload in payloads {
                let _ = peer.apply(&payload);
                prop_assert!((0..=MOST_WINDOW).contains(&peer.stream_window));
            }
        }
    }

    #[test]
    fn settings_take_effect() {
        let mut peer = Peer::default();
        assert_eq!(peer.apply(&[]), Ok(0));
        assert_eq!((peer.settled, peer.streams), (true, u32::MAX));
        let change = settings([
            (setting::INITIAL_WINDOW_SIZE, 100),
            (setting::MAX_FRAME_SIZE, 20_000),
            (99, 1),
        ]);
        assert_eq!(peer.apply(&change), Ok(100 - FIRST_WINDOW));
        assert_eq!(peer.stream_window, 100);
        for wrong in [(setting::INITIAL_WINDOW_SIZE, 1 << 31), (setting::MAX_FRAME_SIZE, 1)] {
            assert_eq!(peer.apply(&settings([wrong])), Err(Malformed), "{wrong:?}");
        }
        assert_eq!(peer.apply(&[0; 5]), Err(Malformed));
    }

    #[test]
    fn windows_only_widen_so_far() {
        assert_eq!(increment(&[0, 0, 0, 5]), Ok(5));
        for wrong in [&[0, 0, 0, 0][..], &[0x80, 0, 0, 0], &[1]] {
            assert_eq!(increment(wrong), Err(Malformed));
        }
        let mut window = -10;
        assert_eq!((widen(&mut window, MOST_WINDOW), window), (Ok(()), MOST_WINDOW - 10));
        assert_eq!(widen(&mut window, 11), Err(Malformed));
    }
}

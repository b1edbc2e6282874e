//! STAMP's test packets (RFC 8762, RFC 8972): bytes to facts and back, in both modes.

use super::{
    auth::{COVERED, HMAC, Key},
    timestamp::ErrorEstimate,
};

/// A packet without a signature.
pub const OPEN: usize = 44;
/// A packet with one.
pub const SIGNED: usize = COVERED + HMAC;
/// The largest packet sent or answered.
pub const LARGEST: usize = 9000;

/// What the sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Counts the session's packets from 0.
    pub sequence: u32,
    /// When it was sent, in the format that `error` names.
    pub sent: u64,
    /// The sender's clock.
    pub error: ErrorEstimate,
    /// Tells sessions of one address and port apart; 0 for senders that know none.
    pub session: u16,
}

/// What the reflector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Counts the answers of the session, or copies the probe's number.
    pub sequence: u32,
    /// When the answer was sent, in the format that `error` names.
    pub sent: u64,
    /// The reflector's clock.
    pub error: ErrorEstimate,
    /// The probe's session.
    pub session: u16,
    /// When the probe came.
    pub received: u64,
    /// The probe, as it came.
    pub probe: Probe,
    /// The probe's time to live as it came; 255 where it is unknown.
    pub ttl: u8,
}

/// Where fields are, in bytes from the beginning; sequence numbers of packets are at 0.
struct Layout {
    length: usize,
    sent: usize,
    received: usize,
    probe_sequence: usize,
    probe_sent: usize,
    ttl: usize,
}

const OPEN_LAYOUT: Layout =
    Layout { length: OPEN, sent: 4, received: 16, probe_sequence: 24, probe_sent: 28, ttl: 40 };
const SIGNED_LAYOUT: Layout =
    Layout { length: SIGNED, sent: 16, received: 32, probe_sequence: 48, probe_sent: 64, ttl: 80 };

const fn layout(key: Option<&Key>) -> &'static Layout {
    if key.is_some() { &SIGNED_LAYOUT } else { &OPEN_LAYOUT }
}

/// The length of a packet without what may follow it.
#[must_use]
pub const fn length(key: Option<&Key>) -> usize {
    layout(key).length
}

impl Probe {
    /// Writes it to the beginning of `bytes`, which have to be [`length`] or more; what follows stays.
    pub fn encode(&self, key: Option<&Key>, bytes: &mut [u8]) {
        let at = layout(key);
        bytes[..at.length].fill(0);
        put(bytes, 0, self.sequence.to_be_bytes());
        put_time(bytes, at.sent, self.sent, self.error);
        put(bytes, at.sent + 10, self.session.to_be_bytes());
        if let Some(key) = key {
            key.sign(bytes);
        }
    }

    /// Reads one; `None` if it is too short or not signed as it has to be.
    #[must_use]
    pub fn decode(key: Option<&Key>, bytes: &[u8]) -> Option<Self> {
        let at = layout(key);
        let whole = bytes.len() >= at.length && key.is_none_or(|key| key.signed(bytes));
        if !whole {
            return None;
        }
        let (sent, error) = time(bytes, at.sent)?;
        let session = u16::from_be_bytes(get(bytes, at.sent + 10)?);
        Some(Self { sequence: u32::from_be_bytes(get(bytes, 0)?), sent, error, session })
    }
}

impl Reply {
    /// Writes it to the beginning of `bytes`, which have to be [`length`] or more; what follows stays.
    pub fn encode(&self, key: Option<&Key>, bytes: &mut [u8]) {
        let at = layout(key);
        bytes[..at.length].fill(0);
        put(bytes, 0, self.sequence.to_be_bytes());
        put_time(bytes, at.sent, self.sent, self.error);
        put(bytes, at.sent + 10, self.session.to_be_bytes());
        put(bytes, at.received, self.received.to_be_bytes());
        put(bytes, at.probe_sequence, self.probe.sequence.to_be_bytes());
        put_time(bytes, at.probe_sent, self.probe.sent, self.probe.error);
        bytes[at.ttl] = self.ttl;
        if let Some(key) = key {
            key.sign(bytes);
        }
    }

    /// Reads one; `None` if it is too short or not signed as it has to be.
    #[must_use]
    pub fn decode(key: Option<&Key>, bytes: &[u8]) -> Option<Self> {
        let at = layout(key);
        // The beginning is as a probe's.
        let Probe { sequence, sent, error, session } = Probe::decode(key, bytes)?;
        let (probe_sent, probe_error) = time(bytes, at.probe_sent)?;
        let probe = Probe {
            sequence: u32::from_be_bytes(get(bytes, at.probe_sequence)?),
            sent: probe_sent,
            error: probe_error,
            session,
        };
        let received = u64::from_be_bytes(get(bytes, at.received)?);
        Some(Self { sequence, sent, error, session, received, probe, ttl: *bytes.get(at.ttl)? })
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

fn put_time(bytes: &mut [u8], at: usize, sent: u64, error: ErrorEstimate) {
    put(bytes, at, sent.to_be_bytes());
    put(bytes, at + 8, error.encode().to_be_bytes());
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn time(bytes: &[u8], at: usize) -> Option<(u64, ErrorEstimate)> {
    let error = ErrorEstimate::decode(u16::from_be_bytes(get(bytes, at + 8)?));
    Some((u64::from_be_bytes(get(bytes, at)?), error))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn keys() -> [Option<Key>; 2] {
        [None, Key::new(b"secret")]
    }

    prop_compose! {
        fn probes()(sequence: u32, sent: u64, error: u16, session: u16) -> Probe {
            Probe { sequence, sent, error: ErrorEstimate::decode(error), session }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(probe in probes(), own in probes(), received: u64, ttl: u8, more in 0usize..50) {
            let Probe { sequence, sent, error, session } = own;
            let reply = Reply { sequence, sent, error, session, received, ttl, probe: Probe { session, ..probe } };
            for key in keys() {
                let mut bytes = vec![9; length(key.as_ref()) + more];
                probe.encode(key.as_ref(), &mut bytes);
                prop_assert_eq!(Probe::decode(key.as_ref(), &bytes), Some(probe));
                reply.encode(key.as_ref(), &mut bytes);
                prop_assert_eq!(Reply::decode(key.as_ref(), &bytes), Some(reply));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            for key in keys() {
                let whole = key.is_none() && bytes.len() >= OPEN;
                prop_assert_eq!(Probe::decode(key.as_ref(), &bytes).is_some(), whole);
                prop_assert_eq!(Reply::decode(key.as_ref(), &bytes).is_some(), whole);
            }
        }
    }

    #[test]
    fn fields_are_where_the_standard_has_them() {
        let error = ErrorEstimate::decode(0x8001);
        let probe =
            Probe { sequence: 0x0102_0304, sent: 0x1112_1314_1516_1718, error, session: 0x2122 };
        let mut bytes = [0; OPEN];
        probe.encode(None, &mut bytes);
        let head =
            [1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x80, 1, 0x21, 0x22];
        assert_eq!(bytes[..16], head);
        assert!(bytes[16..].iter().all(|byte| *byte == 0));
    }
}

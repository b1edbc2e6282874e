//! What a reflector answers. Knows no socket and reads no clock.

use std::{fmt, net::SocketAddr};

use super::{
    auth::Key,
    packet::{self, Probe, Reply},
    sessions::{Allowance, Sessions},
    timestamp::ErrorEstimate,
    tlv,
};

/// What a reflector allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most sessions remembered.
    pub sessions: usize,
    /// Most answers per second.
    pub rate: u32,
}

/// When a packet came, by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// In nanoseconds since 1970, by the clock that answers tell.
    pub unix_ns: i64,
    /// By the monotonic clock.
    pub monotonic_ns: u64,
    /// The packet's time to live, if known.
    pub ttl: Option<u8>,
}

/// What became of the packets that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered.
    pub answered: u64,
    /// Too short, or not signed as they had to be.
    pub refused: u64,
    /// Beyond the rate.
    pub over_rate: u64,
    /// Of a session that there was no room for.
    pub over_sessions: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, refused, over_rate, over_sessions } = self;
        write!(
            f,
            "answered {answered}; refused {refused}, beyond the rate {over_rate}, beyond the number of sessions \
             {over_sessions}"
        )
    }
}

/// A reflector that counts each session's packets.
#[derive(Debug)]
pub struct Reflector {
    key: Option<Key>,
    sessions: Sessions,
    allowance: Allowance,
    counts: Counts,
}

impl Reflector {
    /// A reflector that has seen nothing.
    #[must_use]
    pub fn new(key: Option<Key>, limits: &Limits, now_ns: u64) -> Self {
        Self {
            key,
            sessions: Sessions::new(limits.sessions),
            allowance: Allowance::new(limits.rate, now_ns),
            counts: Counts::default(),
        }
    }

    /// What became of the packets.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Turns a packet into its answer, of the same length; false if there is none. `clock` gives the time when the
    /// answer is all but ready, and how good it is.
    pub fn answer(
        &mut self,
        bytes: &mut [u8],
        from: SocketAddr,
        arrival: Arrival,
        clock: impl FnOnce() -> (i64, ErrorEstimate),
    ) -> bool {
        let key = self.key.as_ref();
        let Some(probe) = Probe::decode(key, bytes) else {
            self.counts.refused += 1;
            return false;
        };
        if !self.allowance.take(arrival.monotonic_ns) {
            self.counts.over_rate += 1;
            return false;
        }
        let Some(sequence) = self.sessions.count(from, probe.session, arrival.monotonic_ns) else {
            self.counts.over_sessions += 1;
            return false;
        };
        tlv::flag(&mut bytes[packet::length(key)..], key.is_some());
        // Times are told in the format of who asks.
        let format = probe.error.format;
        let (now_ns, error) = clock();
        Reply {
            sequence,
            sent: format.encode(now_ns),
            error: ErrorEstimate { format, ..error },
            session: probe.session,
            received: format.encode(arrival.unix_ns),
            probe,
            ttl: arrival.ttl.unwrap_or(u8::MAX),
        }
        .encode(key, bytes);
        self.counts.answered += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::load::stamp::timestamp::Format;

    const LIMITS: Limits = Limits { sessions: 2, rate: 1000 };
    const ARRIVAL: Arrival = Arrival { unix_ns: 1_000, monotonic_ns: 5, ttl: Some(63) };

    fn clock() -> (i64, ErrorEstimate) {
        (2_000, ErrorEstimate::new(true, Format::Ntp, 1_000))
    }

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn probe(format: Format, session: u16) -> Probe {
        Probe { sequence: 40, sent: 77, error: ErrorEstimate::new(false, format, 1), session }
    }

    #[test]
    fn an_answer_tells_both_times_in_the_askers_format() {
        for format in [Format::Ntp, Format::Ptp] {
            let mut reflector = Reflector::new(None, &LIMITS, 0);
            let mut bytes = [0; packet::OPEN];
            probe(format, 9).encode(None, &mut bytes);
            assert!(reflector.answer(&mut bytes, from(1), ARRIVAL, clock));
            let reply = Reply::decode(None, &bytes).expect("a reply");
            assert_eq!((reply.sequence, reply.ttl, reply.probe), (0, 63, probe(format, 9)));
            let times = [reply.received, reply.sent].map(|bits| reply.error.format.decode(bits, 0));
            assert_eq!((times, reply.error.synchronized), ([1_000, 2_000], true));
        }
    }

    #[test]
    fn packets_beyond_the_limits_are_counted() {
        let mut reflector = Reflector::new(None, &LIMITS, 0);
        for port in 1..=200 {
            let mut bytes = [0; packet::OPEN];
            probe(Format::Ntp, 9).encode(None, &mut bytes);
            assert_eq!(reflector.answer(&mut bytes, from(port), ARRIVAL, clock), port <= 2);
        }
        assert!(!reflector.answer(&mut [0; 43], from(1), ARRIVAL, clock));
        let counts = Counts { answered: 2, refused: 1, over_rate: 100, over_sessions: 98 };
        assert_eq!(reflector.counts(), counts);
    }

    #[test]
    fn who_has_no_key_is_not_answered() {
        let key = Key::new(b"secret");
        let mut reflector = Reflector::new(key.clone(), &LIMITS, 0);
        let mut bytes = [0; packet::SIGNED + 8];
        probe(Format::Ptp, 9).encode(None, &mut bytes);
        assert!(!reflector.answer(&mut bytes, from(1), ARRIVAL, clock));
        probe(Format::Ptp, 9).encode(key.as_ref(), &mut bytes);
        assert!(reflector.answer(&mut bytes, from(1), ARRIVAL, clock));
        assert!(Reply::decode(key.as_ref(), &bytes).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_not(mut bytes in vec(any::<u8>(), 0..300)) {
            let mut reflector = Reflector::new(None, &LIMITS, 0);
            let whole = bytes.len() >= packet::OPEN;
            prop_assert_eq!(reflector.answer(&mut bytes, from(1), ARRIVAL, clock), whole);
        }
    }
}

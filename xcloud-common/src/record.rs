//! What the kernel says when an exchange is complete.

use crate::{
    sample::{Sample, flag, kind},
    slot::{self, FIRST, PAYLOAD, Stamp, Tuple, state},
};

/// Bytes of the ring: room for 8 700 records, most of a second at the default rate.
pub const RING_BYTES: u32 = 1 << 20;

/// One end of one exchange, as its last hook puts it into the ring: words copied from a slot that another CPU may be
/// taking over. The hook judges nothing; [`Record::sample`] does, where time is cheaper.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// `E` in the upper half, TSval in the lower, as the last hook found the slot.
    pub key: u64,
    /// First hook passed by the data.
    pub first: Stamp,
    /// Second hook passed by the data.
    pub second: Stamp,
    /// First hook passed by the answer.
    pub third: Stamp,
    /// Before the uplink queue; another exchange's when not measured.
    pub queue: Stamp,
    /// The key again, read after all stamps.
    pub key_after: u64,
    /// The last hook, `CLOCK_MONOTONIC` nanoseconds.
    pub last_ns: u64,
    /// [`crate::identity::answer_digest`] of the answering packet.
    pub answer: u32,
    /// The slot's tag and [`state`] bits.
    pub state: u32,
    /// Interface of the pod.
    pub pod_ifindex: u32,
    /// Interface of the uplink at the last uplink hook; 0 when not known.
    pub uplink_ifindex: u32,
    /// The answering packet's source port in the upper half, its destination port in the lower.
    pub ports: u32,
    /// The answering packet's source and destination as they lie in it; of IPv4 only the first two words are written.
    pub addresses: [u32; 8],
    /// [`about`] it.
    pub about: u32,
}

impl Record {
    /// Observations it stands for: a packet that is both acknowledgement and response counts for both kinds.
    #[must_use]
    pub const fn observations(&self) -> u64 {
        observations(self.lane(), self.state)
    }

    const fn lane(&self) -> usize {
        (self.about & PAYLOAD_LANE) as usize
    }

    /// What it says. `None`: the slot changed hands while it was copied, or its stamps are out of the order of travel.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each half of the key")]
    pub fn sample(&self) -> Option<Sample> {
        let tag = slot::tag(self.key);
        let stamps = [self.first, self.second, self.third];
        let age = |stamp| slot::age(stamp, self.last_ns);
        let [first_ns, second_ns, third_ns] =
            stamps.map(|stamp| self.last_ns.wrapping_sub(age(stamp)));
        let from_the_future = age(self.first) >> (slot::STAMP_BITS - 1) != 0;
        let whole = self.key_after == self.key
            && slot::marks(self.state, tag)
            && !from_the_future
            && stamps.iter().all(|stamp| slot::owned(*stamp, tag))
            && age(self.first) >= age(self.second)
            && age(self.second) >= age(self.third);
        whole.then(|| Sample {
            first_ns,
            second_ns,
            third_ns,
            last_ns: self.last_ns,
            queue_ns: if slot::owned(self.queue, tag) {
                self.last_ns.wrapping_sub(age(self.queue))
            } else {
                0
            },
            end_seq: (self.key >> 32) as u32,
            tsval: self.key as u32,
            answer: self.answer,
            pod_ifindex: self.pod_ifindex,
            uplink_ifindex: self.uplink_ifindex,
            tuple: self.tuple(),
            kinds: self.kinds(),
            flags: self.flags(),
            shift: (self.about >> SHIFT_AT) as u8,
        })
    }

    const fn kinds(&self) -> u8 {
        if self.lane() != FIRST {
            kind::RESPONSE
        } else if self.state & state::SYN != 0 {
            kind::HANDSHAKE
        } else if self.observations() == 2 {
            kind::ACK | kind::RESPONSE
        } else {
            kind::ACK
        }
    }

    const fn flags(&self) -> u8 {
        let far = if self.about & FAR != 0 { flag::FAR } else { 0 };
        let resent = if self.state & state::RESENT != 0 { flag::RESENT } else { 0 };
        let at_socket = self.about & AT_SOCKET != 0 || self.state & state::AT_SOCKET != 0;
        far | resent | if at_socket { flag::AT_SOCKET } else { 0 }
    }

    /// Both ends: the answer's sender is local at the far node, its receiver at the near one.
    #[expect(clippy::cast_possible_truncation, reason = "a port is one half of the word")]
    fn tuple(&self) -> Tuple {
        let [a, b, c, d, e, f, g, h] = self.addresses;
        let mapped = |word| [0, 0, 0xffff_u32.to_be(), word];
        let (source, destination) = if self.about & IPV6 == 0 {
            (mapped(a), mapped(b))
        } else {
            ([a, b, c, d], [e, f, g, h])
        };
        let (source_port, destination_port) = ((self.ports >> 16) as u16, self.ports as u16);
        if self.about & FAR == 0 {
            Tuple {
                local: destination,
                remote: source,
                local_port: destination_port,
                remote_port: source_port,
            }
        } else {
            Tuple {
                local: source,
                remote: destination,
                local_port: source_port,
                remote_port: destination_port,
            }
        }
    }
}

const PAYLOAD_LANE: u32 = 1;
const FAR: u32 = 2;
const IPV6: u32 = 4;
/// Bit of [`Record::about`]: the answer was seen at the pod's socket, not at an interface.
pub const AT_SOCKET: u32 = 8;
const SHIFT_AT: u32 = 8;

/// What a record says in one word: which answer it is, at which end, between what addresses, and that one exchange in
/// `2^shift` was selected.
#[inline(always)]
#[must_use]
pub const fn about(lane: usize, far: bool, ipv6: bool, shift: u32) -> u32 {
    ((lane == PAYLOAD) as u32 * PAYLOAD_LANE)
        | (far as u32 * FAR)
        | (ipv6 as u32 * IPV6)
        | shift << SHIFT_AT
}

/// How many observations the answer of this lane stands for, by the slot's [`state`] bits.
#[inline(always)]
#[must_use]
pub const fn observations(lane: usize, state: u32) -> u64 {
    const BOTH: u32 = state::PAYLOAD | state::ANSWERED_WITH_PAYLOAD;
    1 + (lane == FIRST && state & (BOTH | state::SYN) == BOTH) as u64
}

const _: () = assert!(size_of::<Record>() == 112);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: u16 = slot::tag(slot::key(7, 8));

    /// Stamps at 10, 20 and 30, the answer at 40.
    const WHOLE: Record = Record {
        key: slot::key(7, 8),
        first: slot::stamp(TAG, 10),
        second: slot::stamp(TAG, 20),
        third: slot::stamp(TAG, 30),
        queue: 0,
        key_after: slot::key(7, 8),
        last_ns: 40,
        answer: 1,
        pod_ifindex: 2,
        uplink_ifindex: 3,
        ports: 80 << 16 | 40_000,
        addresses: [0x0a, 0x0b, 0, 0, 0, 0, 0, 0],
        state: slot::mark(TAG, 0),
        about: about(FIRST, false, false, 5),
    };

    #[test]
    fn a_whole_record_says_when_and_between_whom() {
        let sample = WHOLE.sample().unwrap();
        let stamps = [sample.first_ns, sample.second_ns, sample.third_ns, sample.last_ns];
        assert_eq!((stamps, sample.queue_ns), ([10, 20, 30, 40], 0));
        assert_eq!((sample.end_seq, sample.tsval), (7, 8));
        assert_eq!((sample.tuple.local[3], sample.tuple.local_port), (0x0b, 40_000));
        assert_eq!((sample.tuple.remote[3], sample.tuple.remote_port), (0x0a, 80));
        let far = Record { about: about(FIRST, true, false, 5), ..WHOLE }.sample().unwrap();
        assert_eq!((far.tuple.local, far.tuple.remote), (sample.tuple.remote, sample.tuple.local));
    }

    #[test]
    fn what_another_exchange_wrote_makes_no_sample() {
        let other = slot::stamp(TAG ^ 2, 20);
        for torn in [
            Record { key_after: slot::key(9, 8), ..WHOLE },
            Record { first: other, ..WHOLE },
            Record { second: other, ..WHOLE },
            Record { third: other, ..WHOLE },
        ] {
            assert_eq!(torn.sample(), None, "{torn:?}");
        }
        assert_eq!(Record { queue: other, ..WHOLE }.sample().unwrap().queue_ns, 0);
    }

    #[test]
    fn the_slots_state_says_what_the_answer_is() {
        const BOTH: u32 = state::PAYLOAD | state::ANSWERED_WITH_PAYLOAD;
        for (lane, bits, kinds) in [
            (FIRST, state::SYN, kind::HANDSHAKE),
            (FIRST, state::SYN | BOTH, kind::HANDSHAKE),
            (FIRST, 0, kind::ACK),
            (FIRST, state::PAYLOAD, kind::ACK),
            (FIRST, state::ANSWERED_WITH_PAYLOAD, kind::ACK),
            (FIRST, BOTH, kind::ACK | kind::RESPONSE),
            (PAYLOAD, state::PAYLOAD, kind::RESPONSE),
        ] {
            let record = Record {
                state: slot::mark(TAG, bits | state::RESENT),
                about: about(lane, true, false, 5),
                ..WHOLE
            };
            let sample = record.sample().unwrap();
            assert_eq!((sample.kinds, sample.flags), (kinds, flag::FAR | flag::RESENT), "{bits}");
            assert_eq!(record.observations(), sample.observations());
            assert_eq!(sample.shift, 5);
        }
    }

    proptest! {
        #[test]
        fn stamps_come_back_in_their_order_or_not_at_all(first in 0u64..1 << 40, steps in [-9i64..9, -9..9, -9..9]) {
            let mut at = first + 100;
            let [second, third, last_ns] = steps.map(|step| {
                at = at.wrapping_add_signed(step);
                at
            });
            let stamp = |ns| slot::stamp(TAG, ns);
            let record = Record {
                first: stamp(first + 100), second: stamp(second), third: stamp(third), last_ns, ..WHOLE
            };
            let ordered = steps.iter().all(|step| *step >= 0);
            prop_assert!(record.sample().is_some() == ordered);
            if let Some(sample) = record.sample() {
                prop_assert_eq!(
                    [sample.first_ns, sample.second_ns, sample.third_ns],
                    [first + 100, second, third]
                );
            }
        }
    }
}

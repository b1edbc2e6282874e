//! Where an exchange waits between its first and its last hook.
//!
//! A slot is found by the hash of `E` alone, holds one exchange and is taken over by the next that hashes there.
//! No lock guards it. Instead every word that must belong to the exchange carries a 16-bit tag of it, written
//! with the value in one store: a stamp that another CPU wrote for the slot's previous tenant has another tag
//! and reads as absent. Nothing is cleared, nothing is torn.

/// Slots per direction; a power of two. With 64 bytes each, both directions take 4 MiB: where they did not fit into the
/// reference host's share of the last cache, a first touch of a slot cost 140 ns instead of 15.
pub const SLOTS: u32 = 1 << 15;

/// An exchange unanswered for longer than this is given up without counting as a loss when its slot is taken.
pub const UNANSWERED_NS: u64 = 4_000_000_000;

/// The longest an exchange may take: 60 s, far below the 78 hours that a stamp's 48 bits of nanoseconds tell apart.
pub const LIFETIME_NS: u64 = 60_000_000_000;

/// A moment and whose it is: tag in the upper 16 bits, the low 48 bits of `CLOCK_MONOTONIC` nanoseconds below.
pub type Stamp = u64;

/// Bits of a [`Stamp`] that hold the time.
pub const STAMP_BITS: u32 = 48;

/// Both ends of a pod's connection, for labels only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The pod on this node, in memory order; IPv4 in its IPv6-mapped form.
    pub local: [u32; 4],
    /// Its peer.
    pub remote: [u32; 4],
    /// Pod's port, host byte order.
    pub local_port: u16,
    /// Peer's port, host byte order.
    pub remote_port: u16,
}

/// The bytes of an address as [`Tuple`] holds it, in network order.
#[must_use]
pub fn octets(address: [u32; 4]) -> [u8; 16] {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(address) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    octets
}

/// An address from its bytes in network order.
#[must_use]
pub fn address(octets: [u8; 16]) -> [u32; 4] {
    let mut address = [0; 4];
    for (word, bytes) in address.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    address
}

/// First answer.
pub const FIRST: usize = 0;
/// First answer with payload, when the first answer had none.
pub const PAYLOAD: usize = 1;

/// One exchange under way, in one cache line: a slot is seldom in the nearest cache, and waiting for memory is most of
/// what a selected packet costs. `first` to `third` are hooks in the order of travel: `P_out, U_out, U_in` at the near
/// node, `U_in, P_in, P_out` at the far one; the fourth emits and is not stored.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// `E` in the upper half, TSval in the lower: the join key. Zero: never used.
    pub key: u64,
    /// First hook passed by the data.
    pub first: Stamp,
    /// Second hook passed by the data.
    pub second: Stamp,
    /// First hook passed by the first answer.
    pub third: Stamp,
    /// Before the uplink queue: the data at the near node, the first answer at the far node.
    pub queue: Stamp,
    /// Digest of the first answer; valid when `third` is.
    pub answer: u32,
    /// Tag and [`state`] bits.
    pub state: u32,
    /// Tag and, by lane, whether it was emitted. Only the last hook writes it.
    pub done: u32,
    /// Interface of the pod.
    pub pod_ifindex: u32,
    /// Interface the data left by, at the near node.
    pub uplink_ifindex: u32,
    /// Direction-free digest of the connection at the pod side.
    pub pod_flow: u16,
    /// The same at the uplink side, which differs behind NAT.
    pub uplink_flow: u16,
}

/// What a slot keeps of a second answer: the response that came after a mere acknowledgement. Apart from [`Slot`],
/// since few exchanges have one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// First hook passed by the second answer.
    pub third: Stamp,
    /// The second answer before the far node's uplink queue.
    pub queue: Stamp,
    /// Digest of the second answer; valid when `third` is.
    pub answer: u32,
    /// Keeps the layout free of implicit padding.
    pub reserved: u32,
}

/// Bits in the lower half of [`Slot::state`].
pub mod state {
    /// The data is a SYN.
    pub const SYN: u32 = 1;
    /// The data has payload, so an answer with payload is a response.
    pub const PAYLOAD: u32 = 2;
    /// Sent again; only an answer that echoes exactly this TSval is its own.
    pub const RESENT: u32 = 4;
    /// Sent again and not to be told apart: no answer counts.
    pub const DEAD: u32 = 8;
    /// The first answer carried payload, so it is the response too.
    pub const ANSWERED_WITH_PAYLOAD: u32 = 16;
    /// The data was seen at the pod's socket, not at an interface.
    pub const AT_SOCKET: u32 = 32;
}

/// Joins `E` and TSval.
#[inline(always)]
#[must_use]
pub const fn key(end_seq: u32, tsval: u32) -> u64 {
    (end_seq as u64) << 32 | tsval as u64
}

/// The tag of an exchange, never zero, so that a slot never used matches nothing.
#[inline(always)]
#[must_use]
pub const fn tag(key: u64) -> u16 {
    ((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16) | 1
}

/// A moment marked with its owner.
#[inline(always)]
#[must_use]
pub const fn stamp(tag: u16, now_ns: u64) -> Stamp {
    (tag as u64) << STAMP_BITS | now_ns & ((1 << STAMP_BITS) - 1)
}

/// Whether a stamp is this exchange's.
#[inline(always)]
#[must_use]
pub const fn owned(stamp: Stamp, tag: u16) -> bool {
    (stamp >> STAMP_BITS) as u16 == tag
}

/// Nanoseconds from a stamp to `now_ns`; right for anything under 78 hours.
#[inline(always)]
#[must_use]
pub const fn age(stamp: Stamp, now_ns: u64) -> u64 {
    now_ns.wrapping_sub(stamp) & ((1 << STAMP_BITS) - 1)
}

/// The same tag for the 32-bit words.
#[inline(always)]
#[must_use]
pub const fn mark(tag: u16, bits: u32) -> u32 {
    (tag as u32) << 16 | bits & 0xffff
}

/// Whether a marked word is this exchange's.
#[inline(always)]
#[must_use]
pub const fn marks(word: u32, tag: u16) -> bool {
    (word >> 16) as u16 == tag
}

/// The bits of a marked word, none when it is not this exchange's.
#[inline(always)]
#[must_use]
pub const fn marked(word: u32, tag: u16) -> u32 {
    if marks(word, tag) { word & 0xffff } else { 0 }
}

const _: () =
    assert!(size_of::<Slot>() == 64 && size_of::<Late>() == 24 && size_of::<Tuple>() == 36);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_tells_its_age_and_owner(key: u64, then: u64, age_ns in 0u64..(1 << 47)) {
            let tag = tag(key);
            let stamp = stamp(tag, then);
            prop_assert!(owned(stamp, tag));
            prop_assert_eq!(age(stamp, then.wrapping_add(age_ns)), age_ns);
        }

        #[test]
        fn another_exchanges_words_read_as_absent(key: u64, other: u64, bits in 0u32..0x1_0000) {
            prop_assume!(tag(key) != tag(other));
            prop_assert!(!owned(stamp(tag(key), bits.into()), tag(other)));
            prop_assert_eq!(marked(mark(tag(key), bits), tag(other)), 0);
        }

        #[test]
        fn a_slot_never_used_is_nobodys(key: u64) {
            prop_assert!(!owned(0, tag(key)));
            prop_assert_eq!(marked(0, tag(key)), 0);
        }
    }
}

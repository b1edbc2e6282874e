//! Which packets are chosen, and how an answering packet is named.
//!
//! Both rest on fields that NAT, encapsulation, GSO and GRO leave alone, so every hook on both nodes decides the
//! same without talking to the others.

/// Spreads the end of a segment, `E`, over 32 bits (the finaliser of MurmurHash3).
///
/// Only `E` goes in, not TSval: an acknowledgement names `E` alone, so it is selected or passed over before any
/// memory is touched, and every retransmission of a selected segment is selected too, so none goes unnoticed.
#[inline(always)]
#[must_use]
pub const fn hash(end_seq: u32) -> u32 {
    let mut h = end_seq;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Whether an exchange is selected when one in `2^shift` is. Nested: what is selected at a shift is selected at
/// every smaller one. The top bits decide, so that the slot index, taken from the low bits, stays evenly spread.
#[inline(always)]
#[must_use]
pub const fn selected(hash: u32, shift: u32) -> bool {
    shift == 0 || hash >> (32 - (shift & 31)) == 0
}

/// The largest useful shift: one exchange in 65 536.
pub const MAX_SHIFT: u32 = 16;

/// Names an answering packet. The window, header length and payload bit tell apart an acknowledgement, a later
/// window update and a response that carry the same sequence number within one TSval tick. GSO copies all of them
/// to the first wire segment and GRO refuses to merge packets that differ in window or header length
/// (`net/ipv4/tcp_offload.c`), so both nodes compute the same.
#[inline(always)]
#[must_use]
pub const fn answer_digest(
    seq: u32,
    tsval: u32,
    window: u16,
    header_len: u8,
    payload: bool,
) -> u32 {
    let shape = ((window as u32) << 16) | ((header_len as u32) << 1) | payload as u32;
    // Three products that need not wait for each other: the packet path waits for the clock and for memory already.
    hash(
        seq.wrapping_mul(0x9e37_79b1)
            ^ tsval.wrapping_mul(0x85eb_ca77).rotate_left(11)
            ^ shape.wrapping_mul(0xc2b2_ae3d).rotate_left(21),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn selection_is_nested(e: u32, shift in 1..=MAX_SHIFT) {
            if selected(hash(e), shift) {
                prop_assert!(selected(hash(e), shift - 1));
            }
        }

        #[test]
        fn an_answer_differs_from_its_window_update(seq: u32, ts: u32, w: u16, other: u16) {
            prop_assume!(w != other);
            prop_assert_ne!(answer_digest(seq, ts, w, 32, false), answer_digest(seq, ts, other, 32, false));
        }
    }

    #[test]
    fn selection_takes_its_share_of_consecutive_segments() {
        for shift in [0, 1, 4, 8] {
            let chosen = (0..1u32 << 20).filter(|i| selected(hash(i * 1448), shift)).count();
            let want = f64::from(1u32 << 20) / f64::from(1u32 << shift);
            let ratio = chosen as f64 / want;
            assert!((0.95..1.05).contains(&ratio), "shift {shift}: {ratio}");
        }
    }

    #[test]
    fn selected_exchanges_use_the_whole_slot_table() {
        let mut used = std::collections::HashSet::new();
        for e in (0..1u32 << 22).filter(|e| selected(hash(*e), 6)) {
            used.insert(hash(e) & 0xff);
        }
        assert_eq!(used.len(), 256);
    }
}

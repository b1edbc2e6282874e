//! Which packet another may carry, encrypted, by what the kernel says of their buffers.

/// Most bytes that a carrier adds: outer IPv6, UDP, its own headers, padding and tag.
const MOST_ADDED: u32 = 160;

/// A packet as this node's kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Address of its `sk_buff`.
    pub address: u64,
    /// `skb->hash`.
    pub hash: u32,
    /// Bytes.
    pub len: u32,
}

impl Buffer {
    /// Whether this buffer was or became that of `inside`, which it encrypts: the address is the same, and it is longer by
    /// what carriers add.
    #[inline(always)]
    #[must_use]
    pub const fn may_carry(&self, inside: &Self) -> bool {
        let added = self.len.wrapping_sub(inside.len);
        self.address == inside.address && added != 0 && added <= MOST_ADDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: Buffer = Buffer { address: 0xffff_8880_0000_0100, hash: 7, len: 100 };

    #[test]
    fn a_carrier_is_the_same_buffer_and_longer_by_what_carriers_add() {
        for (added, fits) in [(0, false), (1, true), (60, true), (160, true), (161, false)] {
            let carrier = Buffer { len: INSIDE.len + added, ..INSIDE };
            assert_eq!(carrier.may_carry(&INSIDE), fits, "{added} bytes more");
            let other = Buffer { address: INSIDE.address + 256, ..carrier };
            assert!(!other.may_carry(&INSIDE), "{added} bytes more, in another buffer");
        }
        let shorter = Buffer { len: INSIDE.len - 1, ..INSIDE };
        assert!(!shorter.may_carry(&INSIDE));
    }
}

//! What leaves by the uplinks, by who sent it and where it goes: the kernel programs add up, user space reads.
//!
//! Each CPU has two banks of cells. Programs add to the bank that [`Bank`]'s switch names; user space turns the switch,
//! waits until no program can still be at the other bank, then reads and clears that one. So nobody needs a lock, and
//! nothing is counted twice or not at all.

use crate::config::MAX_UPLINKS;

/// Cells of one bank: 128 KiB. A power of two.
pub const CELLS: usize = 1 << 11;

/// Banks of one CPU.
pub const BANKS: u32 = 2;

/// What is known of a packet's inside.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An IP packet as its sender sent it, or with addresses translated.
    #[default]
    Plain,
    /// A packet in VXLAN, Geneve or IP: the source is the inner packet's, the destination the outer's.
    Carried,
    /// WireGuard or IPsec: both addresses are the outer packet's, and the payload is not known.
    Encrypted,
    /// No IP packet; there are no addresses.
    NoIp,
    /// Of packets whose own cell was another's: nothing is known but the uplink.
    Rest,
}

impl Kind {
    /// All kinds in index order, with their names in reports.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Plain, "plain"),
        (Self::Carried, "carried"),
        (Self::Encrypted, "encrypted"),
        (Self::NoIp, "no_ip"),
        (Self::Rest, "rest"),
    ];
}

/// Bits of a key's last word that name the uplink; the kind is above them.
const UPLINK_BITS: u32 = 29;

/// Who sent to whom, by which uplink. Words, so that the kernel side compares it without a loop.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    words: [u64; 5],
}

impl Key {
    /// Addresses are as [`crate::slot::Tuple`] holds them; `came_in_by` is the interface that the packet came in by, 0
    /// for the node's own.
    #[inline(always)]
    #[must_use]
    pub const fn new(
        source: [u32; 4],
        destination: [u32; 4],
        came_in_by: u32,
        uplink: u32,
        kind: Kind,
    ) -> Self {
        let place = (kind as u32) << UPLINK_BITS | uplink & ((1 << UPLINK_BITS) - 1);
        Self {
            words: [
                join(source[0], source[1]),
                join(source[2], source[3]),
                join(destination[0], destination[1]),
                join(destination[2], destination[3]),
                join(came_in_by, place),
            ],
        }
    }

    /// The key of what could not be told apart at an uplink.
    #[inline(always)]
    #[must_use]
    pub const fn rest(uplink: u32) -> Self {
        Self::new([0; 4], [0; 4], 0, uplink, Kind::Rest)
    }

    /// Sender's address.
    #[must_use]
    pub const fn source(&self) -> [u32; 4] {
        let [(a, b), (c, d)] = [part(self.words[0]), part(self.words[1])];
        [a, b, c, d]
    }

    /// Address that the uplink sends to.
    #[must_use]
    pub const fn destination(&self) -> [u32; 4] {
        let [(a, b), (c, d)] = [part(self.words[2]), part(self.words[3])];
        [a, b, c, d]
    }

    /// Index of the interface that the packet came in by; 0 for the node's own packets and where a tunnel forgot it.
    #[must_use]
    pub const fn came_in_by(&self) -> u32 {
        part(self.words[4]).0
    }

    /// Index of the uplink.
    #[inline(always)]
    #[must_use]
    pub const fn uplink(&self) -> u32 {
        part(self.words[4]).1 & ((1 << UPLINK_BITS) - 1)
    }

    /// What is known of the packets' inside; none for bits that no program writes.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let index = (part(self.words[4]).1 >> UPLINK_BITS) as usize;
        Kind::ALL.get(index).map(|(kind, _)| *kind)
    }

    #[inline(always)]
    const fn is(&self, other: &Self) -> bool {
        let (a, b) = (&self.words, &other.words);
        (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) == 0
    }

    /// Spreads keys over cells.
    #[inline(always)]
    const fn hash(&self) -> usize {
        const A: u64 = 0x9e37_79b9_7f4a_7c15;
        const B: u64 = 0xc2b2_ae3d_27d4_eb4f;
        let words = &self.words;
        let source = (words[0].rotate_left(17) ^ words[1]).wrapping_mul(A);
        let destination = (words[2].rotate_left(29) ^ words[3]).wrapping_mul(B);
        let mixed = (source ^ destination.rotate_left(32) ^ words[4]).wrapping_mul(A);
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are used")]
        {
            (mixed ^ mixed >> 32) as usize
        }
    }
}

#[inline(always)]
const fn join(upper: u32, lower: u32) -> u64 {
    (upper as u64) << 32 | lower as u64
}

#[expect(clippy::cast_possible_truncation, reason = "each half is 32 bits")]
#[inline(always)]
const fn part(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// What was sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Bytes of all packets, each with all its headers from the link's on.
    pub wire_bytes: u64,
    /// Packets, after super-segments are cut.
    pub packets: u64,
    /// Bytes behind the TCP or UDP header.
    pub payload_bytes: u64,
}

impl Sums {
    /// Adds another's, up to what 64 bits hold.
    #[inline(always)]
    pub const fn add(&mut self, more: Self) {
        self.wire_bytes = self.wire_bytes.saturating_add(more.wire_bytes);
        self.packets = self.packets.saturating_add(more.packets);
        self.payload_bytes = self.payload_bytes.saturating_add(more.payload_bytes);
    }

    /// What a buffer of `len` bytes is on the wire, that leaves as `segments` packets with headers of `header` bytes
    /// each: all but the first have theirs beside those bytes.
    #[inline(always)]
    #[must_use]
    pub const fn of_buffer(len: u32, segments: u32, header: u32, payload: u32) -> Self {
        let packets = if segments == 0 { 1 } else { segments as u64 };
        Self {
            wire_bytes: len as u64 + (packets - 1) * header as u64,
            packets,
            payload_bytes: payload as u64,
        }
    }
}

/// The sums of one key, in one cache line. Free while it counts no packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Whose they are.
    pub key: Key,
    /// They.
    pub sums: Sums,
}

/// One bank of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    /// Cells by hash; a key has two that it may lie in.
    pub cells: [Cell; CELLS],
    /// What found both taken, one cell an uplink.
    pub rest: [Cell; MAX_UPLINKS],
}

impl Bank {
    /// Adds a packet. Only one program at a time runs on a CPU, so only one adds to its bank.
    #[inline(always)]
    pub const fn add(&mut self, key: &Key, sums: Sums) {
        let at = key.hash() & (CELLS - 2);
        if !self.cells[at].take(key, sums) && !self.cells[at + 1].take(key, sums) {
            self.add_to_rest(&Key::rest(key.uplink()), sums);
        }
    }

    #[inline(always)]
    const fn add_to_rest(&mut self, key: &Key, sums: Sums) {
        let mut at = 0;
        while at < MAX_UPLINKS - 1 {
            if self.rest[at].take(key, sums) {
                return;
            }
            at += 1;
        }
        // More uplinks than there may be: the last cell is for all that is left.
        let last = &mut self.rest[MAX_UPLINKS - 1];
        last.key = Key::rest(0);
        last.sums.add(sums);
    }
}

impl Cell {
    /// Adds to it if it is this key's or free.
    #[inline(always)]
    const fn take(&mut self, key: &Key, sums: Sums) -> bool {
        if self.sums.packets == 0 {
            self.key = *key;
        } else if !self.key.is(key) {
            return false;
        }
        self.sums.add(sums);
        true
    }
}

const _: () = assert!(size_of::<Cell>() == 64 && size_of::<Bank>() == 64 * (CELLS + MAX_UPLINKS));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bank() -> Box<Bank> {
        let free = Cell::default();
        Box::new(Bank { cells: [free; CELLS], rest: [free; MAX_UPLINKS] })
    }

    fn all(bank: &Bank) -> impl Iterator<Item = &Cell> {
        bank.cells.iter().chain(&bank.rest).filter(|cell| cell.sums.packets > 0)
    }

    #[test]
    fn tables_are_in_the_order_of_their_enum() {
        assert!(Kind::ALL.iter().enumerate().all(|(index, (kind, _))| *kind as usize == index));
    }

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        let key = Key::new([1, 2, 3, 4], [5, 6, 7, 8], 9, 10, Kind::Encrypted);
        assert_eq!((key.source(), key.destination()), ([1, 2, 3, 4], [5, 6, 7, 8]));
        assert_eq!((key.came_in_by(), key.uplink(), key.kind()), (9, 10, Some(Kind::Encrypted)));
        assert_eq!(Key { words: [u64::MAX; 5] }.kind(), None);
    }

    #[test]
    fn a_super_segment_has_its_headers_once_for_each_packet() {
        // Ten segments of 1448 bytes behind 66 bytes of headers.
        let sums = Sums::of_buffer(66 + 14_480, 10, 66, 14_480);
        assert_eq!((sums.wire_bytes, sums.packets), (10 * 1514, 10));
        assert_eq!(
            Sums::of_buffer(60, 0, 0, 0),
            Sums { wire_bytes: 60, packets: 1, payload_bytes: 0 }
        );
    }

    #[test]
    fn few_keys_are_all_told_apart() {
        let mut bank = bank();
        for pod in 0..32 {
            for peer in 0..4 {
                let key = Key::new([0, 0, 0, pod], [0, 0, 0, peer], pod, 2, Kind::Plain);
                bank.add(&key, Sums::of_buffer(100, 1, 0, 50));
            }
        }
        assert!(bank.rest.iter().all(|cell| cell.sums.packets == 0));
        assert_eq!(all(&bank).count(), 128);
    }

    proptest! {
        #[test]
        fn whatever_collides_the_sums_of_each_uplink_stay_exact(
            packets in prop::collection::vec((0u32..20_000, 0u32..4, 40u32..1_500), 1..9_000),
        ) {
            let mut bank = bank();
            let mut wanted = [Sums::default(); 4];
            for (peer, uplink, len) in packets {
                let sums = Sums::of_buffer(len, 1, 0, len - 40);
                let key = Key::new([0; 4], [0, 0, 0, peer], 0, uplink, Kind::Plain);
                bank.add(&key, sums);
                wanted[uplink as usize].add(sums);
            }
            for (uplink, wanted) in (0u32..).zip(wanted) {
                let mut found = Sums::default();
                let own = all(&bank).filter(|cell| cell.key.uplink() == uplink);
                own.for_each(|cell| found.add(cell.sums));
                prop_assert_eq!(found, wanted);
            }
        }
    }
}

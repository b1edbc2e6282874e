//! What a CNI segment is made of: the layout that the stage profile's probes and user space agree on.

/// Where a packet's time on a node goes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Looking the route up.
    Routing,
    /// Netfilter's hooks, without connection tracking: iptables and nftables rules.
    Netfilter,
    /// Connection tracking.
    Conntrack,
    /// Putting on an outer header and routing by it.
    Encapsulation,
    /// From a WireGuard device to its socket: waiting for the worker, and encrypting.
    Encryption,
    /// Any of these after the uplink's departure hook: a tunnel device watched as uplink. No part of the CNI segment.
    AfterUplink,
}

/// How many there are.
pub const STAGES: usize = 6;

/// Room for them in a [`Cell`]: a power of two, so that a mask shows the verifier that an index is in range.
pub const CELL_STAGES: usize = 8;

impl Stage {
    /// All stages in index order, with their names in reports.
    pub const ALL: [(Self, &'static str); STAGES] = [
        (Self::Routing, "routing"),
        (Self::Netfilter, "netfilter"),
        (Self::Conntrack, "conntrack"),
        (Self::Encapsulation, "encapsulation"),
        (Self::Encryption, "encryption"),
        (Self::AfterUplink, "after_uplink"),
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The stage with this index.
    #[inline(always)]
    #[must_use]
    pub const fn from_index(index: u64) -> Option<Self> {
        Some(match index {
            0 => Self::Routing,
            1 => Self::Netfilter,
            2 => Self::Conntrack,
            3 => Self::Encapsulation,
            4 => Self::Encryption,
            5 => Self::AfterUplink,
            _ => return None,
        })
    }
}

/// The stages of the data of the exchange in the slot of the same index. One cell holds one exchange, as its slot does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// [`crate::slot::key`] of the exchange; another's when no probe saw this one.
    pub key: u64,
    /// Nanoseconds by [`Stage`].
    pub ns: [u32; CELL_STAGES],
}

/// The stages under way on one CPU, innermost last, all of one packet. A stage's time is what passes while it is the
/// innermost, so what runs inside another is counted once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Address of the packet's `sk_buff`.
    pub skb: u64,
    /// When the innermost stage became so.
    pub since_ns: u64,
    /// One byte a stage, its index plus one, the innermost lowest: eight at most, and deeper ones push the outermost out.
    stack: u64,
    /// Whose time it is.
    pub packet: Packet,
}

/// A selected packet whose exchange has a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// [`crate::slot::key`] of the exchange whose data it is.
    pub key: u64,
    /// Index of the slot.
    pub index: u32,
    /// [`Packet::FAR`] and [`Packet::AFTER_UPLINK`].
    pub flags: u32,
}

impl Packet {
    /// The slot is of data that came in.
    pub const FAR: u32 = 1;
    /// It has passed the uplink's departure hook already.
    pub const AFTER_UPLINK: u32 = 2;

    /// Where time spent in `stage` counts.
    #[inline(always)]
    #[must_use]
    pub const fn counted_as(&self, stage: Stage) -> Stage {
        if self.flags & Self::AFTER_UPLINK != 0 { Stage::AfterUplink } else { stage }
    }
}

impl Current {
    /// Whether stages of this packet are under way.
    #[inline(always)]
    #[must_use]
    pub const fn is_in(&self, skb: u64) -> bool {
        self.stack != 0 && self.skb == skb
    }

    /// A packet's first stage begins. Whatever was under way is forgotten: its end was missed.
    #[inline(always)]
    pub const fn begin(&mut self, skb: u64, packet: Packet, stage: Stage, now_ns: u64) {
        self.skb = skb;
        self.packet = packet;
        self.since_ns = now_ns;
        self.stack = stage as u64 + 1;
    }

    /// A stage begins inside another; returns what that one took so far.
    #[inline(always)]
    pub const fn enter(&mut self, stage: Stage, now_ns: u64) -> Option<(Stage, u64)> {
        let spent = self.spent(now_ns);
        self.stack = self.stack << 8 | (stage as u64 + 1);
        spent
    }

    /// The innermost stage ends, if it is this one; returns what it took since it became the innermost.
    #[inline(always)]
    pub const fn leave(&mut self, stage: Stage, now_ns: u64) -> Option<(Stage, u64)> {
        if !self.innermost_is(stage) {
            return None;
        }
        let spent = self.spent(now_ns);
        self.stack >>= 8;
        spent
    }

    /// Whether this stage is the innermost; where not, its end is one whose beginning was not seen.
    #[inline(always)]
    #[must_use]
    pub const fn innermost_is(&self, stage: Stage) -> bool {
        self.stack & 0xff == stage as u64 + 1
    }

    /// The packet goes on to the next device: every stage ends.
    #[inline(always)]
    pub const fn end(&mut self, now_ns: u64) -> Option<(Stage, u64)> {
        let spent = self.spent(now_ns);
        self.stack = 0;
        spent
    }

    #[inline(always)]
    const fn spent(&mut self, now_ns: u64) -> Option<(Stage, u64)> {
        let ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns = now_ns;
        match (self.stack & 0xff).checked_sub(1) {
            Some(index) => match Stage::from_index(index) {
                Some(stage) => Some((stage, ns)),
                None => None,
            },
            None => None,
        }
    }
}

impl Cell {
    /// Adds time to the stage of this index; the first for an exchange clears what the cell held of another.
    #[inline(always)]
    pub const fn add(&mut self, key: u64, index: usize, ns: u64) {
        if self.key != key {
            *self = Self { key, ns: [0; CELL_STAGES] };
        }
        #[expect(clippy::cast_possible_truncation, reason = "four seconds at most")]
        let ns = if ns > u32::MAX as u64 { u32::MAX } else { ns as u32 };
        let sum = &mut self.ns[index & (CELL_STAGES - 1)];
        *sum = sum.saturating_add(ns);
    }
}

const _: () = assert!(size_of::<Cell>() == 40 && size_of::<Current>() == 40);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKET: Packet = Packet { key: 7, index: 0, flags: 0 };

    /// Runs steps at given times: a stage entered, left, or the packet's departure.
    fn play(steps: &[(u64, Option<Stage>, bool)]) -> [u32; CELL_STAGES] {
        let (mut current, mut cell) = (Current::default(), Cell::default());
        for &(now_ns, stage, enters) in steps {
            let spent = match (stage, enters) {
                (Some(stage), true) if current.is_in(1) => current.enter(stage, now_ns),
                (Some(stage), true) => {
                    current.begin(1, PACKET, stage, now_ns);
                    None
                }
                (Some(stage), false) => current.leave(stage, now_ns),
                (None, _) => current.end(now_ns),
            };
            if let Some((stage, ns)) = spent {
                cell.add(PACKET.key, PACKET.counted_as(stage) as usize, ns);
            }
        }
        cell.ns
    }

    #[test]
    fn what_runs_inside_a_stage_is_counted_once() {
        use Stage::{Conntrack, Encapsulation, Netfilter};
        let ns = play(&[
            (100, Some(Encapsulation), true),
            (110, Some(Netfilter), true),
            (113, Some(Conntrack), true),
            (120, Some(Conntrack), false),
            (124, Some(Netfilter), false),
            (130, None, true),
            // The function returns long after the packet went on to the next device.
            (900, Some(Encapsulation), false),
        ]);
        assert_eq!(ns, [0, 3 + 4, 7, 10 + 6, 0, 0, 0, 0]);
    }

    #[test]
    fn an_end_without_its_beginning_ends_nothing() {
        use Stage::{Netfilter, Routing};
        let ns = play(&[
            (5, Some(Routing), false),
            (10, Some(Netfilter), true),
            (12, Some(Routing), false),
            (20, Some(Netfilter), false),
        ]);
        assert_eq!(ns[Netfilter as usize], 10);
    }

    #[test]
    fn a_packet_past_the_uplink_is_no_part_of_the_cni() {
        let mut cell = Cell { key: 9, ns: [1; CELL_STAGES] };
        let packet = Packet { flags: Packet::AFTER_UPLINK, ..PACKET };
        cell.add(packet.key, packet.counted_as(Stage::Encryption) as usize, 5);
        assert_eq!(cell, Cell { key: 7, ns: [0, 0, 0, 0, 0, 5, 0, 0] });
    }

    proptest! {
        #[test]
        fn stages_add_up_to_the_time_from_first_entry_to_departure(gaps in prop::collection::vec(0u64..1000, 1..8)) {
            let stages = [Stage::Encapsulation, Stage::Netfilter, Stage::Conntrack];
            let mut now_ns = 0;
            let mut steps: Vec<_> = gaps.iter().enumerate().map(|(at, gap)| {
                let step = (now_ns, Some(stages[at % 3]), true);
                now_ns += gap;
                step
            }).collect();
            steps.push((now_ns, None, true));
            prop_assert_eq!(play(&steps).iter().map(|ns| u64::from(*ns)).sum::<u64>(), now_ns);
        }
    }
}

//! What each hook does to a slot. The near and the far node run the same four steps in the order of travel:
//! [`open`], [`pass`], [`answer`], [`finish`]; they differ only in which hook takes which step and on which side of
//! the node's address translation it stands.

mod maybe;

use core::ptr::{NonNull, addr_of, addr_of_mut};

use xcloud_common::{
    brief::{Brief, Stage},
    counter::Counter,
    identity,
    record::{self, Record},
    slot::{self, FIRST, Late, PAYLOAD, SLOTS, Slot, state},
    table::Table,
};

pub use self::maybe::MaybeSlot;
use crate::packet::{Facts, Headers, tcp};

/// Which end of the exchange this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The data's sender is a pod here.
    Near,
    /// The data's receiver is a pod here.
    Far,
}

/// A selected segment, where and when it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What decided the selection.
    pub headers: Headers,
    /// The rest.
    pub facts: Facts,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub now_ns: u64,
    /// The interface.
    pub ifindex: u32,
}

/// A slot in memory that other CPUs use too: every access is one volatile load or store of a whole word.
#[derive(Clone, Copy, Debug)]
pub struct SlotRef {
    /// As it was when the packet came.
    brief: Brief,
    table: NonNull<Table>,
    hash: u32,
}

macro_rules! get {
    ($slot:ident.$part:ident.$field:ident) => {
        // SAFETY: SlotRef::new's caller promised that the table is valid and aligned.
        unsafe { addr_of!((*$slot.$part()).$field).read_volatile() }
    };
    ($slot:ident.$field:ident) => {
        get!($slot.slot.$field)
    };
}

macro_rules! set {
    ($slot:ident.$part:ident.$field:ident, $value:expr) => {
        // SAFETY: as for get.
        unsafe { addr_of_mut!((*$slot.$part()).$field).write_volatile($value) }
    };
    ($slot:ident.$field:ident, $value:expr) => {
        set!($slot.slot.$field, $value)
    };
}

impl SlotRef {
    /// Takes the slot of this hash in hand. Of the slot itself nothing is read, only what is known of it.
    ///
    /// # Safety
    /// The table must stay valid and aligned as long as the result is used.
    #[inline(always)]
    #[must_use]
    pub unsafe fn new(table: NonNull<Table>, hash: u32) -> Self {
        // SAFETY: the caller's promise.
        Self { brief: unsafe { brief_at(table, hash).read_volatile() }, table, hash }
    }

    #[inline(always)]
    fn slot(self) -> *mut Slot {
        // SAFETY: the index is one of the array's.
        unsafe { addr_of_mut!((*self.table.as_ptr()).slots).cast::<Slot>().add(index(self.hash)) }
    }

    #[inline(always)]
    fn late(self) -> *mut Late {
        // SAFETY: as above.
        unsafe { addr_of_mut!((*self.table.as_ptr()).late).cast::<Late>().add(index(self.hash)) }
    }

    /// Whether its exchange's data ends at the sequence number of this hash. The slot itself is not touched.
    #[inline(always)]
    #[must_use]
    pub const fn is_of(self, hash: u32) -> bool {
        self.brief.is_of(hash)
    }

    /// Says how far its exchange got.
    #[inline(always)]
    fn reached(self, stage: Stage) {
        self.tell(self.brief.at(stage));
    }

    #[inline(always)]
    fn tell(self, brief: Brief) {
        // SAFETY: the promise to new.
        unsafe { brief_at(self.table, self.hash).write_volatile(brief) }
    }

    #[inline(always)]
    fn bits(self, tag: u16) -> u32 {
        slot::marked(get!(self.state), tag)
    }

    #[inline(always)]
    fn emitted(self, tag: u16) -> u32 {
        slot::marked(get!(self.done), tag)
    }
}

#[inline(always)]
const fn index(hash: u32) -> usize {
    (hash & (SLOTS - 1)) as usize
}

#[inline(always)]
fn brief_at(table: NonNull<Table>, hash: u32) -> *mut Brief {
    // SAFETY: the index is one of the array's.
    unsafe { addr_of_mut!((*table.as_ptr()).briefs).cast::<Brief>().add(index(hash)) }
}

/// First hook of the data: takes the slot. Returns what to count. Unless the slot holds the same segment it is written
/// and not read, so nobody waits for its memory.
#[inline(always)]
pub fn open(slot: SlotRef, seen: &Seen, end: End) -> [Option<Counter>; 2] {
    let key = slot::key(seen.headers.end_seq, seen.facts.tsval);
    let hash = identity::hash(seen.headers.end_seq);
    let mut bits = data_bits(&seen.headers);
    let lost = match earlier_copy(slot, hash, seen, end) {
        Some(old) if old == key => return [sent_again(slot, key), None],
        Some(_) => {
            bits |= state::RESENT;
            (slot.brief.stage() != Stage::Settled).then_some(Counter::Retransmit)
        }
        None => given_up(slot.brief, seen.now_ns),
    };
    let tag = slot::tag(key);
    set!(slot.state, slot::mark(tag, bits));
    match end {
        End::Near => {
            set!(slot.pod_flow, seen.facts.flow);
            set!(slot.pod_ifindex, seen.ifindex);
        }
        End::Far => set!(slot.uplink_flow, seen.facts.flow),
    }
    set!(slot.first, slot::stamp(tag, seen.now_ns));
    set!(slot.key, key);
    slot.tell(Brief::opened(hash, seen.now_ns));
    [Some(Counter::Opened), lost]
}

#[inline(always)]
fn data_bits(headers: &Headers) -> u32 {
    if headers.flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
        state::SYN
    } else if headers.payload {
        state::PAYLOAD
    } else {
        0
    }
}

/// The key of an earlier copy of the same segment, if the slot holds one.
#[inline(always)]
fn earlier_copy(slot: SlotRef, hash: u32, seen: &Seen, end: End) -> Option<u64> {
    if slot.brief.stage() == Stage::Unused || !slot.is_of(hash) {
        return None;
    }
    let old = get!(slot.key);
    let flow = match end {
        End::Near => get!(slot.pod_flow),
        End::Far => get!(slot.uplink_flow),
    };
    let same = old >> 32 == u64::from(seen.headers.end_seq)
        && slot::age(get!(slot.first), seen.now_ns) < slot::LIFETIME_NS
        && flow == seen.facts.flow;
    same.then_some(old)
}

/// The same segment with the same TSval: no answer tells the copies apart (Karn). One that was answered already
/// stands.
#[inline(always)]
fn sent_again(slot: SlotRef, key: u64) -> Option<Counter> {
    if slot.brief.stage() == Stage::Settled {
        return None;
    }
    let tag = slot::tag(key);
    set!(slot.state, slot::mark(tag, slot.bits(tag) | state::DEAD));
    slot.reached(Stage::Settled);
    Some(Counter::Retransmit)
}

/// What becomes of the exchange whose slot is taken. One that never reached its second hook was none of ours:
/// traffic within the node or of the host itself.
#[inline(always)]
fn given_up(brief: Brief, now_ns: u64) -> Option<Counter> {
    match brief.stage() {
        Stage::Unused | Stage::Settled => None,
        Stage::Passed if brief.is_young(now_ns) => Some(Counter::Collision),
        Stage::Opened | Stage::Passed => Some(Counter::Unanswered),
    }
}

/// Whether the data in the slot is this packet.
#[inline(always)]
fn is_data_of(slot: SlotRef, seen: &Seen) -> Option<u16> {
    let key = slot::key(seen.headers.end_seq, seen.facts.tsval);
    if get!(slot.key) == key { Some(slot::tag(key)) } else { None }
}

/// The key of the exchange whose data this packet is, and whether that data has passed its second hook already: what
/// the stage profile asks.
#[inline(always)]
#[must_use]
pub fn data_of(slot: SlotRef, seen: &Seen) -> Option<(u64, bool)> {
    let tag = is_data_of(slot, seen)?;
    let key = slot::key(seen.headers.end_seq, seen.facts.tsval);
    Some((key, slot::owned(get!(slot.second), tag)))
}

/// Second hook of the data. The near node keeps the last passage (the outermost uplink), the far node the first
/// (a copy made by the network changes nothing).
#[inline(always)]
pub fn pass(slot: SlotRef, seen: &Seen, end: End) -> Option<Counter> {
    let tag = is_data_of(slot, seen)?;
    let first_flow = match end {
        End::Near => get!(slot.pod_flow),
        End::Far => get!(slot.uplink_flow),
    };
    // Without TSval only 32 bits name the data; then the connection has to agree, which rules NAT out.
    if seen.facts.tsval == 0 && seen.facts.flow != first_flow {
        return Some(Counter::OtherFlow);
    }
    match end {
        End::Near => {
            set!(slot.uplink_flow, seen.facts.flow);
            set!(slot.uplink_ifindex, seen.ifindex);
        }
        End::Far => {
            if slot::owned(get!(slot.second), tag) {
                return None;
            }
            set!(slot.pod_flow, seen.facts.flow);
            set!(slot.pod_ifindex, seen.ifindex);
        }
    }
    set!(slot.second, slot::stamp(tag, seen.now_ns));
    if slot.brief.stage() == Stage::Opened {
        slot.reached(Stage::Passed);
    }
    None
}

/// [`pass`] at the far node's socket.
#[inline(always)]
pub fn pass_at_socket(slot: SlotRef, seen: &Seen) -> Option<Counter> {
    let tag = is_data_of(slot, seen)?;
    if !slot::owned(get!(slot.second), tag) {
        set!(slot.state, slot::mark(tag, slot.bits(tag) | state::AT_SOCKET));
    }
    pass(slot, seen, End::Far)
}

/// The key of the data in the slot if this packet acknowledges exactly its end.
#[inline(always)]
fn asked(slot: SlotRef, seen: &Seen) -> Option<u64> {
    let key = get!(slot.key);
    (key >> 32 == u64::from(seen.headers.ack)).then_some(key)
}

/// Before the uplink queue, the data's passage at the near node.
#[inline(always)]
pub fn queue_data(slot: SlotRef, seen: &Seen) {
    if let Some(tag) = is_data_of(slot, seen) {
        set!(slot.queue, slot::stamp(tag, seen.now_ns));
    }
}

/// Before the uplink queue, the answer's passage at the far node.
#[inline(always)]
pub fn queue_answer(slot: SlotRef, seen: &Seen) {
    let Some(key) = asked(slot, seen) else { return };
    let tag = slot::tag(key);
    let stamp = slot::stamp(tag, seen.now_ns);
    match lane_of(slot, seen, tag) {
        Some(FIRST) => set!(slot.queue, stamp),
        Some(_) => set!(slot.late.queue, stamp),
        None => {}
    }
}

/// First hook of an answer: decides whether it is one. Returns what to count when it is not.
#[inline(always)]
pub fn answer(slot: SlotRef, seen: &Seen, end: End) -> Option<Counter> {
    let key = asked(slot, seen)?;
    let tag = slot::tag(key);
    let bits = slot.bits(tag);
    if !slot::owned(get!(slot.second), tag)
        || slot::age(get!(slot.first), seen.now_ns) >= slot::LIFETIME_NS
        || bits & state::DEAD != 0
        || (bits & state::SYN != 0) != (seen.headers.flags & tcp::SYN != 0)
    {
        return None;
    }
    let flow = match end {
        End::Near => get!(slot.uplink_flow),
        End::Far => get!(slot.pod_flow),
    };
    if flow != seen.facts.flow {
        return Some(Counter::OtherFlow);
    }
    if matches!(end, End::Far) {
        // A socket, where the data may have been seen, has no interface on the node.
        set!(slot.pod_ifindex, seen.ifindex);
    }
    let first = !slot::owned(get!(slot.third), tag);
    let response = seen.headers.payload
        && bits & (state::PAYLOAD | state::ANSWERED_WITH_PAYLOAD) == state::PAYLOAD
        && !slot::owned(get!(slot.late.third), tag);
    if !first && !response {
        return None;
    }
    if !echoes(key, bits, seen.facts.tsecr) {
        return Some(Counter::OtherCopy);
    }
    let stamp = slot::stamp(tag, seen.now_ns);
    if first {
        if seen.headers.payload {
            set!(slot.state, slot::mark(tag, bits | state::ANSWERED_WITH_PAYLOAD));
        }
        set!(slot.answer, seen.facts.answer);
        set!(slot.third, stamp);
    } else {
        set!(slot.late.answer, seen.facts.answer);
        set!(slot.late.third, stamp);
    }
    None
}

/// Whether the answer was caused by this copy of the data. A delayed acknowledgement echoes the oldest segment it
/// covers (RFC 7323, 4.3), so an older TSecr is fine unless there is an older copy.
#[inline(always)]
fn echoes(key: u64, bits: u32, tsecr: u32) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let tsval = key as u32;
    if tsval == 0 {
        return true;
    }
    let behind = tsval.wrapping_sub(tsecr);
    behind == 0 || (bits & state::RESENT == 0 && tsecr != 0 && behind < 1 << 31)
}

/// The lane of an answer that passed its first hook.
#[inline(always)]
fn lane_of(slot: SlotRef, seen: &Seen, tag: u16) -> Option<usize> {
    let answer = seen.facts.answer;
    if slot::owned(get!(slot.third), tag) && get!(slot.answer) == answer {
        Some(FIRST)
    } else if slot::owned(get!(slot.late.third), tag) && get!(slot.late.answer) == answer {
        Some(PAYLOAD)
    } else {
        None
    }
}

/// Last hook of an answer: what it is, once. `None` when it is no answer of this slot's exchange.
#[inline(always)]
pub fn finish(slot: SlotRef, seen: &Seen, end: End) -> Option<Ending> {
    let key = asked(slot, seen)?;
    let tag = slot::tag(key);
    let lane = lane_of(slot, seen, tag)?;
    let flow = match end {
        End::Near => get!(slot.pod_flow),
        End::Far => get!(slot.uplink_flow),
    };
    let done = slot.emitted(tag);
    if flow != seen.facts.flow || done & (1 << lane) != 0 {
        return None;
    }
    set!(slot.done, slot::mark(tag, done | 1 << lane));
    slot.reached(Stage::Settled);
    Some(Ending { key, lane, state: get!(slot.state), end })
}

/// What [`finish`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    key: u64,
    lane: usize,
    state: u32,
    end: End,
}

impl Ending {
    /// Observations it stands for.
    #[inline(always)]
    #[must_use]
    pub const fn observations(&self) -> u64 {
        record::observations(self.lane, self.state)
    }

    /// Writes all of the record but the addresses: the slot's words as they are now.
    #[inline(always)]
    pub fn write(&self, slot: SlotRef, seen: &Seen, shift: u32, out: &mut Record) {
        let near = matches!(self.end, End::Near);
        out.key = self.key;
        out.first = get!(slot.first);
        out.second = get!(slot.second);
        out.third = if self.lane == FIRST { get!(slot.third) } else { get!(slot.late.third) };
        // The near queue is the data's, whichever answer ends the exchange.
        out.queue =
            if near || self.lane == FIRST { get!(slot.queue) } else { get!(slot.late.queue) };
        out.last_ns = seen.now_ns;
        out.answer = seen.facts.answer;
        out.state = self.state;
        out.pod_ifindex = get!(slot.pod_ifindex);
        out.uplink_ifindex = if near { get!(slot.uplink_ifindex) } else { seen.ifindex };
        out.ports = seen.headers.ports;
        out.about = record::about(self.lane, !near, seen.headers.ipv6, shift);
        out.key_after = get!(slot.key);
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

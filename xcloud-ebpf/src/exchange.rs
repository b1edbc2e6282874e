//! What each hook does to a slot. The near and the far node run the same four steps in the order of travel:
//! [`open`], [`pass`], [`answer`], [`finish`]; they differ only in which hook takes which step and on which side of
//! the node's address translation it stands.

use core::ptr::{NonNull, addr_of, addr_of_mut};

use xcloud_common::{
    counter::Counter,
    sample::{Sample, flag, kind},
    slot::{self, FIRST, PAYLOAD, Slot, Tuple, state},
};

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
pub struct SlotRef(NonNull<Slot>);

macro_rules! get {
    ($slot:expr, $($field:tt)+) => {
        // SAFETY: SlotRef::new's caller promised a valid, aligned slot.
        unsafe { addr_of!((*$slot.0.as_ptr()).$($field)+).read_volatile() }
    };
}

macro_rules! set {
    ($slot:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: as for get.
        unsafe { addr_of_mut!((*$slot.0.as_ptr()).$($field)+).write_volatile($value) }
    };
}

impl SlotRef {
    /// Wraps a slot.
    ///
    /// # Safety
    /// `slot` must stay valid and aligned as long as the result is used.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn new(slot: NonNull<Slot>) -> Self {
        Self(slot)
    }

    /// The end of the data that the slot's exchange waits for an answer to.
    #[inline(always)]
    #[must_use]
    pub fn end_seq(self) -> u32 {
        (get!(self, key) >> 32) as u32
    }

    #[inline(always)]
    fn bits(self, tag: u16) -> u32 {
        slot::marked(get!(self, state), tag)
    }

    #[inline(always)]
    fn emitted(self, tag: u16) -> u32 {
        slot::marked(get!(self, done), tag)
    }
}

/// First hook of the data: takes the slot. Returns what to count.
#[inline(always)]
pub fn open(slot: SlotRef, seen: &Seen, end: End) -> [Option<Counter>; 2] {
    let key = slot::key(seen.headers.end_seq, seen.facts.tsval);
    let old = get!(slot, key);
    let mut bits = data_bits(&seen.headers);
    let mut lost = None;
    if old != 0 {
        let tag = slot::tag(old);
        let age = slot::age(get!(slot, first), seen.now_ns);
        if again(slot, old, age, seen, end) {
            if old == key {
                return [sent_again(slot, tag), None];
            }
            bits |= state::RESENT;
            if slot.emitted(tag) == 0 && slot.bits(tag) & state::DEAD == 0 {
                lost = Some(Counter::Retransmit);
            }
        } else {
            lost = given_up(slot, tag, age);
        }
    }
    let tag = slot::tag(key);
    set!(slot, slot::mark(tag, bits), state);
    match end {
        End::Near => {
            set!(slot, seen.facts.flow, pod_flow);
            set!(slot, seen.ifindex, pod_ifindex);
        }
        End::Far => set!(slot, seen.facts.flow, uplink_flow),
    }
    set!(slot, slot::stamp(tag, seen.now_ns), first);
    set!(slot, key, key);
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

/// Whether the slot holds an earlier copy of the same segment.
#[inline(always)]
fn again(slot: SlotRef, old: u64, age: u64, seen: &Seen, end: End) -> bool {
    let flow = match end {
        End::Near => get!(slot, pod_flow),
        End::Far => get!(slot, uplink_flow),
    };
    old >> 32 == u64::from(seen.headers.end_seq)
        && age < slot::LIFETIME_NS
        && flow == seen.facts.flow
}

/// The same segment with the same TSval: no answer tells the copies apart (Karn). One that was answered already
/// stands.
#[inline(always)]
fn sent_again(slot: SlotRef, tag: u16) -> Option<Counter> {
    let bits = slot.bits(tag);
    if slot.emitted(tag) != 0 || bits & state::DEAD != 0 {
        return None;
    }
    set!(slot, slot::mark(tag, bits | state::DEAD), state);
    Some(Counter::Retransmit)
}

/// What becomes of the exchange whose slot is taken. One that never reached its second hook was none of ours:
/// traffic within the node or of the host itself.
#[inline(always)]
fn given_up(slot: SlotRef, tag: u16, age: u64) -> Option<Counter> {
    if slot.emitted(tag) != 0 || slot.bits(tag) & state::DEAD != 0 {
        return None;
    }
    if age < slot::UNANSWERED_NS && slot::owned(get!(slot, second), tag) {
        Some(Counter::Collision)
    } else {
        Some(Counter::Unanswered)
    }
}

/// Whether the data in the slot is this packet.
#[inline(always)]
fn is_data_of(slot: SlotRef, seen: &Seen) -> Option<u16> {
    let key = slot::key(seen.headers.end_seq, seen.facts.tsval);
    if get!(slot, key) == key { Some(slot::tag(key)) } else { None }
}

/// Second hook of the data. The near node keeps the last passage (the outermost uplink), the far node the first
/// (a copy made by the network changes nothing).
#[inline(always)]
pub fn pass(slot: SlotRef, seen: &Seen, end: End) -> Option<Counter> {
    let tag = is_data_of(slot, seen)?;
    let first_flow = match end {
        End::Near => get!(slot, pod_flow),
        End::Far => get!(slot, uplink_flow),
    };
    // Without TSval only 32 bits name the data; then the connection has to agree, which rules NAT out.
    if seen.facts.tsval == 0 && seen.facts.flow != first_flow {
        return Some(Counter::OtherFlow);
    }
    match end {
        End::Near => {
            set!(slot, seen.facts.flow, uplink_flow);
            set!(slot, seen.ifindex, uplink_ifindex);
        }
        End::Far => {
            if slot::owned(get!(slot, second), tag) {
                return None;
            }
            set!(slot, seen.facts.flow, pod_flow);
            set!(slot, seen.ifindex, pod_ifindex);
        }
    }
    set!(slot, slot::stamp(tag, seen.now_ns), second);
    None
}

/// Before the uplink queue, the data's passage at the near node.
#[inline(always)]
pub fn queue_data(slot: SlotRef, seen: &Seen) {
    if let Some(tag) = is_data_of(slot, seen) {
        set!(slot, slot::stamp(tag, seen.now_ns), queue);
    }
}

/// Before the uplink queue, the answer's passage at the far node.
#[inline(always)]
pub fn queue_answer(slot: SlotRef, seen: &Seen) {
    let tag = slot::tag(get!(slot, key));
    let stamp = slot::stamp(tag, seen.now_ns);
    match lane_of(slot, seen, tag) {
        Some(FIRST) => set!(slot, stamp, queue),
        Some(_) => set!(slot, stamp, queue_payload),
        None => {}
    }
}

/// First hook of an answer: decides whether it is one. Returns what to count when it is not.
#[inline(always)]
pub fn answer(slot: SlotRef, seen: &Seen, end: End) -> Option<Counter> {
    let key = get!(slot, key);
    let tag = slot::tag(key);
    let bits = slot.bits(tag);
    if !slot::owned(get!(slot, second), tag)
        || slot::age(get!(slot, first), seen.now_ns) >= slot::LIFETIME_NS
        || bits & state::DEAD != 0
        || (bits & state::SYN != 0) != (seen.headers.flags & tcp::SYN != 0)
    {
        return None;
    }
    let flow = match end {
        End::Near => get!(slot, uplink_flow),
        End::Far => get!(slot, pod_flow),
    };
    if flow != seen.facts.flow {
        return Some(Counter::OtherFlow);
    }
    let first = !slot::owned(get!(slot, third), tag);
    let response = seen.headers.payload
        && bits & (state::PAYLOAD | state::ANSWERED_WITH_PAYLOAD) == state::PAYLOAD
        && !slot::owned(get!(slot, third_payload), tag);
    if !first && !response {
        return None;
    }
    if !echoes(key, bits, seen.facts.tsecr) {
        return Some(Counter::OtherCopy);
    }
    let stamp = slot::stamp(tag, seen.now_ns);
    if first {
        if seen.headers.payload {
            set!(slot, slot::mark(tag, bits | state::ANSWERED_WITH_PAYLOAD), state);
        }
        set!(slot, seen.facts.answer, answer);
        set!(slot, stamp, third);
    } else {
        set!(slot, seen.facts.answer, answer_payload);
        set!(slot, stamp, third_payload);
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
    if slot::owned(get!(slot, third), tag) && get!(slot, answer) == answer {
        Some(FIRST)
    } else if slot::owned(get!(slot, third_payload), tag) && get!(slot, answer_payload) == answer {
        Some(PAYLOAD)
    } else {
        None
    }
}

/// Last hook of an answer: what it is, once. `None` when it is no answer of this slot's exchange.
#[inline(always)]
pub fn finish(slot: SlotRef, seen: &Seen, end: End) -> Option<Ending> {
    let key = get!(slot, key);
    let tag = slot::tag(key);
    let lane = lane_of(slot, seen, tag)?;
    let flow = match end {
        End::Near => get!(slot, pod_flow),
        End::Far => get!(slot, uplink_flow),
    };
    let done = slot.emitted(tag);
    if flow != seen.facts.flow || done & (1 << lane) != 0 {
        return None;
    }
    set!(slot, slot::mark(tag, done | 1 << lane), done);
    let bits = slot.bits(tag);
    let kinds = if lane == PAYLOAD {
        kind::RESPONSE
    } else if bits & state::SYN != 0 {
        kind::HANDSHAKE
    } else if bits & state::ANSWERED_WITH_PAYLOAD != 0 && bits & state::PAYLOAD != 0 {
        kind::ACK | kind::RESPONSE
    } else {
        kind::ACK
    };
    let resent = if bits & state::RESENT != 0 { flag::RESENT } else { 0 };
    let far = if matches!(end, End::Far) { flag::FAR } else { 0 };
    Some(Ending { key, lane, kinds, flags: resent | far })
}

/// What [`finish`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    key: u64,
    lane: usize,
    /// [`kind`] bits.
    pub kinds: u8,
    flags: u8,
}

impl Ending {
    /// Observations it stands for.
    #[inline(always)]
    #[must_use]
    pub const fn observations(&self) -> u64 {
        self.kinds.count_ones() as u64
    }

    /// Writes the sample. `false`: the slot changed hands meanwhile or its stamps are out of order, so there is none.
    #[inline(always)]
    pub fn write(
        &self,
        slot: SlotRef,
        seen: &Seen,
        shift: u32,
        tuple: &Tuple,
        out: &mut Sample,
    ) -> bool {
        let tag = slot::tag(self.key);
        let now = seen.now_ns;
        let third = if self.lane == FIRST { get!(slot, third) } else { get!(slot, third_payload) };
        // The near queue is the data's, whichever answer ends the exchange.
        let near = self.flags & flag::FAR == 0;
        let queue =
            if near || self.lane == FIRST { get!(slot, queue) } else { get!(slot, queue_payload) };
        let (first, second) = (get!(slot, first), get!(slot, second));
        let moment = |stamp| now.wrapping_sub(slot::age(stamp, now));
        out.first_ns = moment(first);
        out.second_ns = moment(second);
        out.third_ns = moment(third);
        out.last_ns = now;
        out.queue_ns = if slot::owned(queue, tag) { moment(queue) } else { 0 };
        #[expect(clippy::cast_possible_truncation, reason = "each half of the key")]
        {
            out.end_seq = (self.key >> 32) as u32;
            out.tsval = self.key as u32;
            out.shift = shift as u8;
        }
        out.answer = seen.facts.answer;
        out.pod_ifindex = get!(slot, pod_ifindex);
        out.uplink_ifindex = if near { get!(slot, uplink_ifindex) } else { seen.ifindex };
        out.tuple = *tuple;
        out.kinds = self.kinds;
        out.flags = self.flags;
        out.reserved = [0; 5];
        get!(slot, key) == self.key
            && slot::owned(first, tag)
            && slot::owned(second, tag)
            && slot::owned(third, tag)
            && out.first_ns <= out.second_ns
            && out.second_ns <= out.third_ns
            && out.third_ns <= now
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

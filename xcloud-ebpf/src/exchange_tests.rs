use core::ptr::NonNull;

use proptest::prelude::*;
use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::{SLOTS, UNANSWERED_NS},
};

use super::*;

const POD: u32 = 11;
const UPLINK: u32 = 22;

/// One node's slot and clock.
struct Node {
    table: Box<Table>,
    end: End,
    now: u64,
}

/// Data that ends at `end`, or an answer to it.
#[derive(Clone, Copy, Debug)]
struct Packet {
    end: u32,
    tsval: u32,
    tsecr: u32,
    flags: u8,
    payload: bool,
    flow: u16,
    answer: u32,
}

const DATA: Packet =
    Packet { end: 5000, tsval: 100, tsecr: 7, flags: tcp::ACK, payload: true, flow: 9, answer: 1 };
const ACK: Packet = Packet { tsval: 50, tsecr: 100, payload: false, answer: 2, ..DATA };
const RESPONSE: Packet = Packet { payload: true, answer: 3, ..ACK };

impl Node {
    fn new(end: End) -> Self {
        // SAFETY: plain words, for which zero is valid; that is how the kernel creates the map.
        let table = unsafe { Box::new_zeroed().assume_init() };
        Self { table, end, now: 1 << 47 }
    }

    fn slot(&mut self) -> SlotRef {
        // SAFETY: it lives as long as the node.
        unsafe { SlotRef::new(NonNull::from(&mut *self.table), identity::hash(DATA.end)) }
    }

    fn see(&mut self, packet: Packet, after: u64) -> Seen {
        self.now += after;
        let headers = Headers {
            seq: packet.end.wrapping_sub(u32::from(packet.payload)),
            end_seq: packet.end,
            ports: 0,
            ack: packet.end,
            flags: packet.flags,
            header_len: 32,
            payload: packet.payload,
            ipv6: false,
            ip: 0,
            tcp: 20,
        };
        let facts = Facts {
            tsval: packet.tsval,
            tsecr: packet.tsecr,
            flow: packet.flow,
            answer: packet.answer,
        };
        Seen { headers, facts, now_ns: self.now, ifindex: POD }
    }

    fn open(&mut self, packet: Packet, after: u64) -> [Option<Counter>; 2] {
        let seen = self.see(packet, after);
        open(self.slot(), &seen, self.end)
    }

    fn pass(&mut self, packet: Packet, after: u64) -> Option<Counter> {
        let seen = Seen { ifindex: UPLINK, ..self.see(packet, after) };
        pass(self.slot(), &seen, self.end)
    }

    fn answer(&mut self, packet: Packet, after: u64) -> Option<Counter> {
        let seen = self.see(packet, after);
        answer(self.slot(), &seen, self.end)
    }

    fn finish(&mut self, packet: Packet, after: u64) -> Option<Sample> {
        let seen = self.see(packet, after);
        let slot = self.slot();
        let ending = finish(slot, &seen, self.end)?;
        // SAFETY: plain words.
        let mut record = unsafe { core::mem::zeroed() };
        ending.write(slot, &seen, 3, &mut record);
        record.sample()
    }
}

fn steps(sample: &Sample) -> [u64; 3] {
    [
        sample.second_ns - sample.first_ns,
        sample.third_ns - sample.second_ns,
        sample.last_ns - sample.third_ns,
    ]
}

#[test]
fn a_request_is_acknowledged_then_answered() {
    for end in [End::Near, End::Far] {
        let mut node = Node::new(end);
        assert_eq!(node.open(DATA, 0), [Some(Counter::Opened), None]);
        assert_eq!(node.pass(DATA, 10), None);
        assert_eq!(node.answer(ACK, 200), None);
        let acked = node.finish(ACK, 5).unwrap();
        assert_eq!((acked.kinds, steps(&acked)), (kind::ACK, [10, 200, 5]));
        assert_eq!(node.answer(RESPONSE, 1000), None);
        let answered = node.finish(RESPONSE, 6).unwrap();
        assert_eq!((answered.kinds, steps(&answered)), (kind::RESPONSE, [10, 1205, 6]));
        assert_eq!((answered.end_seq, answered.tsval, answered.shift), (5000, 100, 3));
        assert_eq!(answered.flags & flag::FAR != 0, end == End::Far);
    }
}

#[test]
fn an_answer_with_payload_is_both() {
    let mut node = Node::new(End::Near);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    node.answer(RESPONSE, 1);
    assert_eq!(node.finish(RESPONSE, 1).unwrap().kinds, kind::ACK | kind::RESPONSE);
    assert_eq!(node.finish(RESPONSE, 1), None, "a copy made by the network counts once");
    node.answer(Packet { answer: 4, ..RESPONSE }, 1);
    assert_eq!(node.finish(Packet { answer: 4, ..RESPONSE }, 1), None);
}

#[test]
fn both_answers_may_be_under_way_at_once() {
    let mut node = Node::new(End::Near);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    node.answer(ACK, 1);
    node.answer(RESPONSE, 1);
    assert_eq!(node.finish(ACK, 1).unwrap().kinds, kind::ACK);
    assert_eq!(node.finish(RESPONSE, 1).unwrap().kinds, kind::RESPONSE);
}

#[test]
fn only_a_syn_ack_ends_a_handshake() {
    let syn = Packet { flags: tcp::SYN, payload: false, ..DATA };
    let mut node = Node::new(End::Near);
    node.open(syn, 0);
    node.pass(syn, 1);
    node.answer(ACK, 1);
    assert_eq!(node.finish(ACK, 1), None);
    let syn_ack = Packet { flags: tcp::SYN | tcp::ACK, ..ACK };
    node.answer(syn_ack, 1);
    assert_eq!(node.finish(syn_ack, 1).unwrap().kinds, kind::HANDSHAKE);
    let request = Packet { answer: 8, ..RESPONSE };
    node.answer(request, 1);
    assert_eq!(node.finish(request, 1), None);
}

#[test]
fn another_copy_counts_only_when_the_answer_echoes_it() {
    let again = Packet { tsval: 300, ..DATA };
    let mut node = Node::new(End::Near);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    assert_eq!(node.open(again, 200), [Some(Counter::Opened), Some(Counter::Retransmit)]);
    node.pass(again, 1);
    assert_eq!(node.answer(ACK, 1), Some(Counter::OtherCopy));
    assert_eq!(node.finish(ACK, 1), None);
    let echo = Packet { tsecr: 300, answer: 5, ..ACK };
    assert_eq!(node.answer(echo, 1), None);
    let sample = node.finish(echo, 1).unwrap();
    assert_eq!((sample.tsval, sample.flags & flag::RESENT), (300, flag::RESENT));
}

#[test]
fn copies_that_nothing_tells_apart_are_dropped_and_counted_once() {
    for tsval in [0, 100] {
        let data = Packet { tsval, ..DATA };
        let mut node = Node::new(End::Near);
        node.open(data, 0);
        node.pass(data, 1);
        assert_eq!(node.open(data, 1), [Some(Counter::Retransmit), None]);
        assert_eq!(node.open(data, 1), [None, None]);
        node.answer(ACK, 1);
        assert_eq!(node.finish(ACK, 1), None);
    }
}

#[test]
fn a_copy_after_the_answer_changes_nothing() {
    let mut node = Node::new(End::Far);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    node.answer(ACK, 1);
    assert!(node.finish(ACK, 1).is_some());
    assert_eq!(node.open(DATA, 1), [None, None]);
    node.answer(RESPONSE, 1);
    assert!(node.finish(RESPONSE, 1).is_some());
}

#[test]
fn a_delayed_acknowledgement_may_echo_an_older_segment() {
    let mut node = Node::new(End::Far);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    assert_eq!(node.answer(Packet { tsecr: 99, ..ACK }, 1), None);
    assert!(node.finish(ACK, 1).is_some());
}

#[test]
fn another_connection_with_the_same_sequence_number_is_refused() {
    let mut node = Node::new(End::Near);
    node.open(DATA, 0);
    node.pass(DATA, 1);
    assert_eq!(node.answer(Packet { flow: 77, ..ACK }, 1), Some(Counter::OtherFlow));
    assert_eq!(node.finish(ACK, 1), None);
}

#[test]
fn taking_a_slot_is_a_loss_only_while_an_answer_may_come() {
    let other = Packet { end: 9000, flow: 10, ..DATA };
    let mut node = Node::new(End::Near);
    node.open(DATA, 0);
    assert_eq!(node.open(other, 1)[1], Some(Counter::Unanswered), "it never left the node");
    node.pass(other, 1);
    assert_eq!(node.open(DATA, 1)[1], Some(Counter::Collision));
    node.pass(DATA, 1);
    assert_eq!(node.open(other, 2 * UNANSWERED_NS)[1], Some(Counter::Unanswered));
}

/// Two exchanges and one slot: whatever the order of their hooks, a sample names times of one exchange only.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Pass,
    Answer,
    Finish,
}

proptest! {
    #[test]
    fn a_sample_never_mixes_exchanges(
        events in proptest::collection::vec((0usize..3, 0usize..4), 1..60),
        far: bool,
    ) {
        let steps = [Step::Open, Step::Pass, Step::Answer, Step::Finish];
        let mut node = Node::new(if far { End::Far } else { End::Near });
        let mut seen: [Vec<u64>; 3] = Default::default();
        for (which, step) in events {
            let (offset, flow) = (u32::try_from(which).unwrap(), 9 + u16::try_from(which).unwrap());
            let data = Packet { end: 5000 + offset * SLOTS, tsval: 100 + offset, flow, ..DATA };
            let answer = Packet { end: data.end, flow: data.flow, tsecr: data.tsval, ..RESPONSE };
            let sample = match steps[step] {
                Step::Open => { node.open(data, 1); None }
                Step::Pass => { node.pass(data, 1); None }
                Step::Answer => { node.answer(answer, 1); None }
                Step::Finish => node.finish(answer, 1),
            };
            seen[which].push(node.now);
            if let Some(sample) = sample {
                prop_assert_eq!(sample.end_seq, data.end);
                for moment in [sample.first_ns, sample.second_ns, sample.third_ns, sample.last_ns] {
                    prop_assert!(seen[which].contains(&moment));
                }
                prop_assert!(sample.first_ns < sample.second_ns && sample.second_ns < sample.third_ns);
            }
        }
    }
}

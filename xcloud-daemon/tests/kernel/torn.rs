//! A slot that changes hands under its answer: no sample, but a count.

use std::mem::offset_of;

use aya::maps::Array;
use xcloud_common::{
    counter::Counter,
    identity,
    slot::{SLOTS, Slot},
};

use crate::{
    craft::DATA,
    harness::{self, Kernel},
};

/// What another CPU does that takes the slot between two hooks: the second stamp is no longer the exchange's.
fn tear(kernel: &mut Kernel, end_seq: u32) {
    let map = kernel.ebpf.map_mut("NEAR").expect("NEAR");
    let mut slots: Array<_, [u8; size_of::<Slot>()]> = Array::try_from(map).expect("an array");
    let index = identity::hash(end_seq) & (SLOTS - 1);
    let mut slot = slots.get(&index, 0).expect("a slot");
    let tag = offset_of!(Slot, second) + 7;
    slot[tag] ^= 0x80;
    slots.set(index, slot, 0).expect("a slot");
}

#[test]
fn a_slot_torn_under_its_answer_gives_no_sample_and_is_counted() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let answer = DATA.answered().frame();
    kernel.run("pod_out", &DATA.frame());
    kernel.run("uplink_out", &DATA.frame());
    kernel.run("uplink_in", &answer);
    tear(&mut kernel, DATA.end());
    kernel.run("pod_in", &answer);
    assert_eq!(kernel.samples(), []);
    assert_eq!((kernel.torn(), kernel.count(Counter::Emitted)), (1, 1));
}

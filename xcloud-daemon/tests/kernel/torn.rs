//! A slot that changes hands under its answer: no sample, but a count.

use std::num::NonZeroUsize;

use aya::maps::Map;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use xcloud_common::{counter::Counter, identity, slot::SLOTS, table::Table};

use crate::{
    craft::DATA,
    harness::{self, Kernel},
};

/// What another CPU does that takes the slot between two hooks: the second stamp is no longer the exchange's.
fn tear(kernel: &Kernel, end_seq: u32) {
    let Some(Map::Array(map)) = kernel.ebpf.map("NEAR") else { panic!("no array NEAR") };
    let size = NonZeroUsize::new(size_of::<Table>()).expect("a table has a size");
    let (access, shared) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
    // SAFETY: the kernel chooses the place; nothing else in this process refers to it.
    let table = unsafe { mmap(None, size, access, shared, map.fd(), 0) }.expect("NEAR in memory");
    let index = identity::hash(end_seq) & (SLOTS - 1);
    // SAFETY: the map's value is a table, and no program runs now.
    unsafe { table.cast::<Table>().as_mut().slots[index as usize].second ^= 1 << 63 }
    // SAFETY: mapped above.
    unsafe { munmap(table, size.get()) }.expect("unmapped");
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
    tear(&kernel, DATA.end());
    kernel.run("pod_in", &answer);
    assert_eq!(kernel.samples(), []);
    assert_eq!((kernel.torn(), kernel.count(Counter::Emitted)), (1, 1));
}

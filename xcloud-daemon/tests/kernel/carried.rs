//! What an encrypted packet carries is known by its buffer. Test runs take theirs from one cache, one after the other, so
//! most of them get the address of the one before; all have a hash of 0.

use nix::time::{ClockId, clock_gettime};
use xcloud_common::counter::Counter;

use crate::{
    craft::{DATA, Segment, in_udp},
    harness::{self, Kernel},
};

/// Enough for the same address to come twice in a row in some of them.
const ROUNDS: u32 = 64;
/// What WireGuard adds to a packet at least: IPv4, UDP, its own header and tag.
const ADDED: usize = 20 + 8 + 16 + 16;

/// A packet of WireGuard's data, `len` bytes from its Ethernet header on.
fn encrypted(len: usize) -> Vec<u8> {
    let head = [4, 0, 0, 0, 7, 7, 7, 7];
    in_udp(51_820, &head, &vec![0x5a; len - 14 - 20 - 8 - head.len()])
}

/// Now, on the clock that packets are stamped with.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).expect("it is positive")
}

/// A request of this round, and its answer.
fn exchange(round: u32) -> (Segment, Segment) {
    let data = Segment { seq: 70_000 + 1_000 * round, ..DATA };
    (data, data.answered())
}

/// In how many rounds an answer that the uplink saw only as a packet of `len` bytes is known where it enters the pod.
fn answers_known(kernel: &mut Kernel, rounds: std::ops::Range<u32>, added: usize) -> usize {
    let known = rounds.filter(|round| {
        let (data, answer) = exchange(*round);
        kernel.run("pod_out", &data.frame());
        kernel.run("uplink_out", &data.frame());
        kernel.run("uplink_in", &encrypted(answer.frame().len() + added));
        kernel.run("pod_in", &answer.frame());
        !kernel.samples().is_empty()
    });
    known.count()
}

#[test]
fn an_answer_takes_the_arrival_of_a_carrier_that_fits_and_of_no_other() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    assert_ne!(answers_known(&mut kernel, 0..ROUNDS, ADDED), 0, "no buffer came twice");
    for (kind, added) in (1..).zip([0, 161, 1_000]) {
        let rounds = kind * ROUNDS..(kind + 1) * ROUNDS;
        assert_eq!(answers_known(&mut kernel, rounds, added), 0, "{added} bytes more");
    }
}

/// In how many rounds data is said to have come in when a packet longer by `added` bytes did.
fn earlier_arrivals(kernel: &mut Kernel, rounds: std::ops::Range<u32>, added: usize) -> usize {
    let earlier = rounds.filter(|round| {
        let (data, answer) = exchange(*round);
        kernel.run("uplink_in", &encrypted(data.frame().len() + added));
        let between = now_ns();
        kernel.run("uplink_in", &data.frame());
        kernel.run("pod_in", &data.frame());
        kernel.run("pod_out", &answer.frame());
        kernel.run("uplink_out", &answer.frame());
        let samples = kernel.samples();
        let [sample] = samples[..] else { panic!("one sample, not {samples:?}") };
        sample.first_ns < between
    });
    earlier.count()
}

#[test]
fn data_takes_the_arrival_of_a_carrier_that_fits_and_of_no_other() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    assert_ne!(earlier_arrivals(&mut kernel, 0..ROUNDS, ADDED), 0, "no buffer came twice");
    for (kind, added) in (1..).zip([0, 161, 1_000]) {
        let rounds = kind * ROUNDS..(kind + 1) * ROUNDS;
        assert_eq!(earlier_arrivals(&mut kernel, rounds, added), 0, "{added} bytes more");
    }
}

#[test]
fn data_that_leaves_encrypted_is_known_by_its_buffer() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    kernel.run("uplink_in", &encrypted(200));
    let known = (0..ROUNDS).filter(|round| {
        let (data, answer) = exchange(*round);
        kernel.run("pod_out", &data.frame());
        kernel.run("uplink_out", &encrypted(data.frame().len() + ADDED));
        kernel.run("uplink_in", &answer.frame());
        kernel.run("pod_in", &answer.frame());
        !kernel.samples().is_empty()
    });
    assert_ne!(known.count(), 0, "no buffer came twice");
}

#[test]
fn what_leaves_encrypted_and_is_no_pods_is_counted_once() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    for program in ["uplink_queue", "uplink_out"] {
        kernel.run(program, &encrypted(200));
    }
    assert_eq!(kernel.count(Counter::EncryptedUnmatched), 1);
}

//! Banks are switched, and much is sent.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use xcloud_common::egress::Sums;

use super::{
    Counting,
    net::{Path, address, sent, tcp, total},
};
use crate::harness;

#[test]
fn what_is_sent_while_banks_are_switched_counts_once() {
    if !harness::available() {
        return;
    }
    let path = Path::new(false);
    path.node.sh("ip link set wan gso_max_segs 1");
    path.settle();
    let mut counting = Counting::at(&path.node, "wan");
    let before = sent(&path.node, "wan");
    let over = AtomicBool::new(false);
    let peer = &address(false, 3, 2);
    let (mut sums, switches) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut sums, mut switches) = (Sums::default(), 0);
            while !over.load(Ordering::Acquire) {
                sums.add(total(counting.left().values()));
                switches += 1;
            }
            (sums, switches)
        });
        // Two at once, so that both processors send.
        thread::scope(|scope| {
            for from in [&path.pod, &path.node] {
                let to = &path.peer;
                scope.spawn(move || tcp(from, to, peer, 16 << 20));
            }
        });
        over.store(true, Ordering::Release);
        reader.join().expect("the reader")
    });
    path.settle();
    let moved = sent(&path.node, "wan").since(before);
    sums.add(total(counting.left().values()));
    assert!(switches > 1, "{switches}");
    assert_eq!((sums.wire_bytes, sums.packets), moved);
}

#[test]
#[ignore = "moves 10 GB"]
fn ten_gigabytes_of_super_segments_are_counted_to_the_byte() {
    if !harness::available() {
        return;
    }
    const BYTES: u64 = 10_000_000_000;
    let path = Path::new(false);
    path.settle();
    let mut counting = Counting::at(&path.node, "wan");
    let before = (sent(&path.node, "wan"), sent(&path.router, "out"));
    let start = Instant::now();
    tcp(&path.pod, &path.peer, &address(false, 3, 2), BYTES);
    let took = start.elapsed();
    path.settle();
    let (buffers, packets) =
        (sent(&path.node, "wan").since(before.0).1, sent(&path.router, "out").since(before.1));
    let sums = total(counting.left().values());
    println!("{sums:?} in {took:.1?}; the uplink itself counted {buffers} buffers");
    assert_eq!((sums.wire_bytes, sums.packets), packets);
    assert!(sums.payload_bytes >= BYTES);
}

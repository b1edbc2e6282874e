#![allow(clippy::cast_possible_truncation, reason = "lengths of packets made here")]

use etherparse::PacketBuilder;
use proptest::prelude::*;
use xcloud_common::slot::octets;

use super::*;
use crate::{
    packet::tests::{Case, build, cases},
    tunnel::tests::{TUNNELS, Wrapping, wrap, wrappings},
};

const ETHERNET: u32 = 14;

/// The entry of a frame that leaves as it is.
fn of_frame(frame: &[u8]) -> (Key, Sums) {
    let leaving =
        Leaving { len: frame.len() as u32, came_in_by: 7, uplink: 2, ..Leaving::default() };
    entry(&&frame[ETHERNET as usize..], &leaving, &TUNNELS)
}

fn text(address: [u32; 4]) -> String {
    std::net::Ipv6Addr::from(octets(address)).to_canonical().to_string()
}

proptest! {
    #[test]
    fn a_segments_bytes_are_its_senders(case in cases()) {
        let frame = build(&Case { vlans: 0, ..case });
        let (key, sums) = of_frame(&frame);
        let wanted = if case.ipv6 { ("fd00:1::3", "fd00:9::7") } else { ("10.1.2.3", "10.9.8.7") };
        prop_assert_eq!((&*text(key.source()), &*text(key.destination())), wanted);
        prop_assert_eq!((key.came_in_by(), key.uplink(), key.kind()), (7, 2, Some(Kind::Plain)));
        prop_assert_eq!((sums.wire_bytes, sums.packets), (frame.len() as u64, 1));
        prop_assert_eq!(sums.payload_bytes, case.payload as u64);
    }

    #[test]
    fn a_carried_segments_bytes_are_its_inner_senders(case in cases(), wrapping in wrappings()) {
        // Headers farther away than the programs copy are not looked at.
        prop_assume!(!matches!(wrapping, Wrapping::Geneve { options: 20.. }));
        let frame = build(&Case { vlans: 0, ..case });
        let carrier = wrap(wrapping, &frame, ETHERNET as usize);
        let (key, sums) = of_frame(&carrier);
        prop_assert_eq!(text(key.source()), if case.ipv6 { "fd00:1::3" } else { "10.1.2.3" });
        prop_assert_ne!(text(key.destination()), if case.ipv6 { "fd00:9::7" } else { "10.9.8.7" });
        prop_assert_eq!(key.kind(), Some(Kind::Carried));
        prop_assert_eq!((sums.wire_bytes, sums.payload_bytes), (carrier.len() as u64, case.payload as u64));
    }

    #[test]
    fn a_super_segment_counts_what_its_pieces_would(case in cases(), pieces in 2u32..40) {
        let piece = Case { vlans: 0, payload: 1_000, ip_options: 0, ..case };
        let whole = Case { payload: 1_000 * pieces as usize, ..piece };
        let (piece, whole) = (build(&piece), build(&whole));
        let leaving = Leaving {
            len: whole.len() as u32,
            segments: pieces,
            header: piece.len() as u32 - 1_000,
            came_in_by: 7,
            uplink: 2,
        };
        let (key, sums) = entry(&&whole[ETHERNET as usize..], &leaving, &TUNNELS);
        let (one_key, one) = of_frame(&piece);
        prop_assert_eq!(key, one_key);
        let times = |bytes: u64| bytes * u64::from(pieces);
        prop_assert_eq!(sums.wire_bytes, times(one.wire_bytes));
        prop_assert_eq!((sums.packets, sums.payload_bytes), (pieces.into(), times(1_000)));
    }

    #[test]
    fn any_bytes_are_counted_whole(bytes: Vec<u8>, len: u32, segments in 0u32..100, header in 0u32..200) {
        let leaving = Leaving { len, segments, header, ..Leaving::default() };
        let (_, sums) = entry(&&bytes[..], &leaving, &TUNNELS);
        let packets = u64::from(segments.max(1));
        prop_assert_eq!(sums.packets, packets);
        prop_assert!(sums.wire_bytes <= u64::from(len) + (packets - 1) * u64::from(header));
    }
}

#[test]
fn the_jumbo_header_of_a_super_segment_is_not_on_the_wire() {
    // IPv6 without a length, hop-by-hop with the jumbo option, TCP.
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
    packet.extend([0xfd; 32]);
    packet.extend([6, 0, 0xc2, 4, 0, 1, 0x86, 0xc0]);
    packet.extend([0; 12]);
    packet.extend([0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    let headers = ETHERNET + 40 + JUMBO_HEADER + 20;
    let leaving =
        Leaving { len: headers + 100_000, segments: 100, header: headers, ..Leaving::default() };
    let (_, sums) = entry(&&packet[..], &leaving, &TUNNELS);
    let each = u64::from(headers - JUMBO_HEADER) + 1_000;
    assert_eq!((sums.wire_bytes, sums.payload_bytes), (100 * each, 100_000));
}

#[test]
fn what_is_encrypted_has_no_payload_that_is_known() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64)
        .udp(51_820, 51_820)
        .write(&mut frame, &[&[4, 0, 0, 0][..], &[9; 96]].concat())
        .expect("writing to memory");
    let (key, sums) = of_frame(&frame);
    assert_eq!((key.kind(), sums.payload_bytes), (Some(Kind::Encrypted), 0));
    assert_eq!((sums.wire_bytes, &*text(key.source())), (frame.len() as u64, "100.64.0.1"));
}

#[test]
fn a_datagram_and_its_fragments_are_counted_with_what_they_carry() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 1, 0, 2], [10, 2, 0, 2], 64)
        .udp(40_000, 53)
        .write(&mut frame, &[0; 100])
        .expect("writing to memory");
    assert_eq!(of_frame(&frame).1.payload_bytes, 100);
    frame[21] = 185;
    assert_eq!(of_frame(&frame).1.payload_bytes, 108, "a later fragment has no UDP header");
}

#[test]
fn what_is_no_ip_is_counted_by_its_uplink() {
    let arp = [&[2; 12][..], &[8, 6], &[0, 1, 8, 0, 6, 4, 0, 1], &[0; 20]].concat();
    let (key, sums) = of_frame(&arp);
    assert_eq!((key.kind(), key.uplink()), (Some(Kind::NoIp), 2));
    assert_eq!(sums, Sums { wire_bytes: arp.len() as u64, packets: 1, payload_bytes: 0 });
    let short = of_frame(&[0; 14]);
    assert_eq!(short.0.kind(), Some(Kind::NoIp));
    let cut = wrap(Wrapping::Vxlan, &[0; 20], 14);
    assert_eq!(of_frame(&cut[..60]).1.wire_bytes, 60);
}

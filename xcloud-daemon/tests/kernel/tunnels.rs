//! What a tunnel carries is measured like a plain packet.

use xcloud_common::config::{Config, Tunnels};

use crate::{
    craft::{DATA, Segment, VXLAN_PORT, in_udp, vxlan},
    harness::{self, Kernel},
};

const GENEVE_PORT: u16 = 6081;

fn geneve(frame: &[u8]) -> Vec<u8> {
    in_udp(GENEVE_PORT, &[2, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 1, 9, 9, 9, 9], frame)
}

/// In IPv4, whatever the inner packet is.
fn ip_in_ip(frame: &[u8]) -> Vec<u8> {
    let packet = &frame[14..];
    let protocol = if packet[0] >> 4 == 6 { 41 } else { 4 };
    let length = u16::try_from(packet.len()).expect("a packet is small");
    let outer = etherparse::Ipv4Header::new(length, 64, protocol.into(), [1; 4], [2; 4]);
    let mut ethernet = vec![2; 12];
    ethernet.extend([8, 0]);
    [&ethernet, &outer.expect("it fits").to_bytes()[..], packet].concat()
}

/// In IPv6 with an encapsulation limit, as the kernel's tunnels do.
fn ip_in_ipv6(frame: &[u8]) -> Vec<u8> {
    let packet = &frame[14..];
    let protocol = if packet[0] >> 4 == 6 { 41 } else { 4 };
    let outer = etherparse::Ipv6Header {
        payload_length: u16::try_from(packet.len() + 8).expect("a packet is small"),
        next_header: 60.into(),
        hop_limit: 64,
        ..Default::default()
    };
    let mut ethernet = vec![2; 12];
    ethernet.extend([0x86, 0xdd]);
    [&ethernet, &outer.to_bytes()[..], &[protocol, 0, 4, 1, 4, 1, 1, 0], packet].concat()
}

fn load() -> Kernel {
    let mut kernel = Kernel::load();
    let tunnels = Tunnels { vxlan: [VXLAN_PORT, 0, 0, 0], geneve: [GENEVE_PORT, 0, 0, 0] };
    kernel.configure(Config { tunnels, ..Config::default() });
    kernel
}

#[test]
fn an_exchange_in_a_tunnel_is_seen_at_both_nodes() {
    if !harness::available() {
        return;
    }
    let wrappings = [vxlan, geneve, ip_in_ip, ip_in_ipv6];
    for (number, wrap) in (0u32..).zip(wrappings) {
        for ipv6 in [false, true] {
            let mut kernel = load();
            let data = Segment { ipv6, seq: 70_000 + 10 * number, ..DATA };
            let answer = Segment { payload: 40, ..data.answered() };
            let plain = |segment: Segment| segment.frame();
            let wrapped = |segment: Segment| wrap(&segment.frame());
            for (program, packet) in [
                ("pod_out", plain(data)),
                ("uplink_queue", wrapped(data)),
                ("uplink_out", wrapped(data)),
                ("uplink_in", wrapped(answer)),
                ("pod_in", plain(answer)),
            ] {
                kernel.run(program, &packet);
            }
            let near = kernel.samples();
            assert_eq!(near.len(), 1, "near, wrapping {number}, IPv6 {ipv6}");
            assert!(near[0].queue_ns > 0);
            for (program, packet) in [
                ("uplink_in", wrapped(data)),
                ("pod_in", plain(data)),
                ("pod_out", plain(answer)),
                ("uplink_queue", wrapped(answer)),
                ("uplink_out", wrapped(answer)),
            ] {
                kernel.run(program, &packet);
            }
            let far = kernel.samples();
            assert_eq!(far.len(), 1, "far, wrapping {number}, IPv6 {ipv6}");
            let name = |s: &xcloud_common::sample::Sample| (s.end_seq, s.tsval, s.answer);
            assert_eq!(name(&near[0]), name(&far[0]));
        }
    }
}

#[test]
fn a_tunnel_nobody_named_is_left_alone() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    kernel.run("uplink_in", &vxlan(&DATA.frame()));
    assert_eq!(kernel.count(xcloud_common::counter::Counter::Opened), 0);
}

#[test]
fn a_tunnel_in_a_tunnel_is_left_alone() {
    if !harness::available() {
        return;
    }
    let mut kernel = load();
    for twice in [ip_in_ip(&vxlan(&DATA.frame())), vxlan(&ip_in_ip(&DATA.frame()))] {
        kernel.run("uplink_in", &twice);
        assert_eq!(kernel.count(xcloud_common::counter::Counter::Opened), 0);
    }
}

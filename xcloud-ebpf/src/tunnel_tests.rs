use etherparse::{IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::packet::{
    Headers,
    tests::{Case, build, cases},
};

const VXLAN_PORT: u16 = 8472;
const GENEVE_PORT: u16 = 6081;
pub(crate) const TUNNELS: Tunnels =
    Tunnels { vxlan: [4789, VXLAN_PORT, 0, 0], geneve: [GENEVE_PORT, 0, 0, 0] };

#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrapping {
    Vxlan,
    Geneve { options: u8 },
    GeneveWithoutEthernet,
    InIpv4,
    InIpv6,
    InIpv6WithLimit,
}

pub(crate) fn wrappings() -> impl Strategy<Value = Wrapping> {
    prop_oneof![
        Just(Wrapping::Vxlan),
        (0u8..64).prop_map(|options| Wrapping::Geneve { options }),
        Just(Wrapping::GeneveWithoutEthernet),
        Just(Wrapping::InIpv4),
        Just(Wrapping::InIpv6),
        Just(Wrapping::InIpv6WithLimit),
    ]
}

/// The frame, as another node's tunnel sends it.
pub(crate) fn wrap(wrapping: Wrapping, frame: &[u8], ip: usize) -> Vec<u8> {
    let packet = &frame[ip..];
    let (protocol, ethertype) = if packet[0] >> 4 == 6 { (41, 0x86ddu16) } else { (4, 0x0800) };
    let udp = |port, head: &[u8], payload: &[u8]| {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64)
            .udp(50_000, port)
            .write(&mut bytes, &[head, payload].concat())
            .unwrap();
        bytes
    };
    let ethernet = |ethertype: u16| {
        let mut bytes = vec![2; 12];
        bytes.extend(ethertype.to_be_bytes());
        bytes
    };
    match wrapping {
        Wrapping::Vxlan => udp(VXLAN_PORT, &[8, 0, 0, 0, 0, 16, 0, 0], frame),
        Wrapping::Geneve { options } => {
            let mut head = vec![options, 0, 0x65, 0x58, 0, 0, 1, 0];
            head.resize(8 + 4 * usize::from(options), 0x77);
            udp(GENEVE_PORT, &head, frame)
        }
        Wrapping::GeneveWithoutEthernet => {
            let [high, low] = ethertype.to_be_bytes();
            udp(GENEVE_PORT, &[0, 0, high, low, 0, 0, 1, 0], packet)
        }
        Wrapping::InIpv4 => {
            let length = u16::try_from(packet.len()).unwrap();
            let outer = Ipv4Header::new(length, 64, IpNumber(protocol), [1; 4], [2; 4]).unwrap();
            [&ethernet(0x0800), &outer.to_bytes()[..], packet].concat()
        }
        Wrapping::InIpv6 | Wrapping::InIpv6WithLimit => {
            let limit = matches!(wrapping, Wrapping::InIpv6WithLimit);
            let options: &[u8] = if limit { &[protocol, 0, 4, 1, 4, 1, 1, 0] } else { &[] };
            let outer = Ipv6Header {
                payload_length: u16::try_from(packet.len() + options.len()).unwrap(),
                next_header: IpNumber(if limit { 60 } else { protocol }),
                hop_limit: 64,
                ..Default::default()
            };
            [&ethernet(0x86dd), &outer.to_bytes()[..], options, packet].concat()
        }
    }
}

fn headers(packet: &[u8]) -> Headers {
    Headers::parse(&packet, Link::Ip, u32::try_from(packet.len()).unwrap()).unwrap()
}

fn framed(case: &Case) -> (Vec<u8>, usize) {
    let frame = build(case);
    let (ip, _) = packet::ip_header(&&frame[..], Link::Ethernet).unwrap();
    (frame, ip)
}

proptest! {
    #[test]
    fn the_packet_carried_is_found(case in cases(), wrapping in wrappings()) {
        let case = Case { vlans: case.vlans.min(1), ..case };
        let (frame, ip) = framed(&case);
        let carrier = wrap(wrapping, &frame, ip);
        let found = inner(&&carrier[..], Link::Ethernet, &TUNNELS).unwrap();
        prop_assert_eq!(headers(&carrier[found..]), headers(&frame[ip..]));
        let bare = inner(&&carrier[14..], Link::Ip, &TUNNELS).unwrap();
        prop_assert_eq!(bare + 14, found);
    }

    #[test]
    fn a_carrier_cut_short_is_never_read(case in cases(), wrapping in wrappings(), cut in 0usize..80) {
        let (frame, ip) = framed(&Case { vlans: 0, ..case });
        let carrier = wrap(wrapping, &frame, ip);
        let _ = inner(&&carrier[..cut.min(carrier.len())], Link::Ethernet, &TUNNELS);
    }

    #[test]
    fn any_bytes_are_looked_into_or_not(bytes: Vec<u8>) {
        for link in [Link::Ethernet, Link::Ip] {
            let _ = inner(&&bytes[..], link, &TUNNELS);
        }
    }
}

#[test]
fn other_ports_and_plain_packets_carry_nothing() {
    let case = Case {
        ipv6: false,
        vlans: 0,
        ip_options: 0,
        seq: 1,
        ack: 2,
        window: 3,
        ports: (4, 5),
        timestamps: None,
        leading_nops: 0,
        payload: 10,
        fin: false,
    };
    let (frame, ip) = framed(&case);
    assert_eq!(inner(&&frame[..], Link::Ethernet, &TUNNELS), None);
    let carrier = wrap(Wrapping::Vxlan, &frame, ip);
    assert_eq!(inner(&&carrier[..], Link::Ethernet, &Tunnels::default()), None);
}

/// UDP from one port to another.
fn in_udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64)
        .udp(ports.0, ports.1)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

#[test]
fn ipsec_in_udp_is_known_at_both_sides_of_a_translator() {
    const SPI: &[u8] = &[0xc0, 1, 2, 3, 0, 0, 0, 1, 9, 9, 9, 9];
    const IKE: &[u8] = &[0, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9, 9];
    const KEEPALIVE: &[u8] = &[0xff];
    for (ports, payload, opaque) in [
        ((4500, 4500), SPI, true),
        ((31_000, 4500), SPI, true),
        ((4500, 31_000), SPI, true),
        ((31_000, 31_000), SPI, false),
        ((4500, 31_000), IKE, false),
        ((4500, 31_000), KEEPALIVE, false),
    ] {
        let packet = in_udp(ports, payload);
        assert_eq!(is_opaque(&&packet[..], Link::Ip), opaque, "{ports:?}, {payload:?}");
    }
}

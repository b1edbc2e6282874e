#![allow(clippy::cast_possible_truncation, reason = "lengths of packets made here")]

use etherparse::{IpFragOffset, Ipv4Options, PacketBuilder, TcpOptionElement as Opt};
use proptest::prelude::*;

use super::*;

/// A packet to build and what should be read from it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) ipv6: bool,
    pub(crate) vlans: u8,
    pub(crate) ip_options: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) ports: (u16, u16),
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) leading_nops: u8,
    pub(crate) payload: usize,
    pub(crate) fin: bool,
}

const CLIENT: [u8; 4] = [10, 1, 2, 3];
const SERVER: [u8; 4] = [10, 9, 8, 7];
const CLIENT6: [u8; 16] = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
const SERVER6: [u8; 16] = [0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    (
        (any::<bool>(), 0u8..3, 0u8..11),
        (any::<u32>(), any::<u32>(), any::<u16>()),
        any::<(u16, u16)>(),
        proptest::option::of(any::<(u32, u32)>()),
        (0u8..8, 0usize..3000, any::<bool>()),
    )
        .prop_map(|(ip, tcp, ports, timestamps, rest)| Case {
            ipv6: ip.0,
            vlans: ip.1,
            ip_options: ip.2,
            seq: tcp.0,
            ack: tcp.1,
            window: tcp.2,
            ports,
            timestamps,
            leading_nops: rest.0,
            payload: rest.1,
            fin: rest.2,
        })
}

pub(crate) fn build(case: &Case) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let mut v4 =
        etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, CLIENT, SERVER).unwrap();
    v4.options = Ipv4Options::try_from(&vec![1u8; 4 * usize::from(case.ip_options)][..]).unwrap();
    let ip = if case.ipv6 {
        etherparse::IpHeaders::Ipv6(
            etherparse::Ipv6Header {
                hop_limit: 64,
                source: CLIENT6,
                destination: SERVER6,
                ..Default::default()
            },
            Default::default(),
        )
    } else {
        etherparse::IpHeaders::Ipv4(v4, Default::default())
    };
    let (first, second) = (7.try_into().unwrap(), 9.try_into().unwrap());
    let step = match case.vlans {
        0 => link.ip(ip),
        1 => link.single_vlan(first).ip(ip),
        _ => link.double_vlan(first, second).ip(ip),
    };
    let mut options = vec![Opt::Noop; usize::from(case.leading_nops)];
    if let Some((value, echo)) = case.timestamps {
        options.push(Opt::Timestamp(value, echo));
    }
    let mut step = step
        .tcp(case.ports.0, case.ports.1, case.seq, case.window)
        .ack(case.ack)
        .options(&options)
        .unwrap();
    if case.fin {
        step = step.fin();
    }
    let mut bytes = Vec::new();
    step.write(&mut bytes, &vec![0x5a; case.payload]).unwrap();
    bytes
}

fn parse(bytes: &[u8]) -> Result<Headers, Skip> {
    Headers::parse(&bytes, Link::Ethernet, bytes.len() as u32)
}

fn facts(bytes: &[u8], headers: &Headers) -> Option<Facts> {
    headers.facts(&bytes, &headers.ip_header(&bytes)?)
}

proptest! {
    #[test]
    fn what_was_built_is_read(case in cases()) {
        let bytes = build(&case);
        let headers = parse(&bytes).unwrap();
        let end = case.seq.wrapping_add(case.payload as u32).wrapping_add(u32::from(case.fin));
        prop_assert_eq!((headers.seq, headers.end_seq, headers.ack), (case.seq, end, case.ack));
        prop_assert_eq!(headers.payload, case.payload > 0);
        let facts = facts(&bytes, &headers).unwrap();
        prop_assert_eq!((facts.tsval, facts.tsecr), case.timestamps.unwrap_or_default());
        prop_assert_eq!(headers.ports, u32::from(case.ports.0) << 16 | u32::from(case.ports.1));
        let mut addresses = [0; 8];
        headers.copy_addresses(&headers.ip_header(&&bytes[..]).unwrap(), &mut addresses);
        let octets: Vec<u8> = addresses.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let wanted = if case.ipv6 { [CLIENT6, SERVER6].concat() } else { [CLIENT, SERVER].concat() };
        prop_assert_eq!(&octets[..wanted.len()], wanted);
    }

    #[test]
    fn a_device_without_link_header_shows_the_same(case in cases()) {
        let bytes = build(&case);
        let framed = parse(&bytes).unwrap();
        let bare = &bytes[framed.ip..];
        let headers = Headers::parse(&bare, Link::Ip, bare.len() as u32).unwrap();
        prop_assert_eq!((headers.seq, headers.end_seq, headers.ports), (framed.seq, framed.end_seq, framed.ports));
    }

    #[test]
    fn a_packet_cut_inside_its_headers_is_never_read(case in cases(), cut in 0usize..200) {
        let bytes = build(&case);
        let whole = parse(&bytes).unwrap();
        let cut = cut.min(whole.tcp + 19);
        prop_assert!(parse(&bytes[..cut]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, len: u32) {
        for link in [Link::Ethernet, Link::Ip] {
            if let Ok(headers) = Headers::parse(&&bytes[..], link, len) {
                let _ = facts(&bytes, &headers);
            }
        }
    }

    #[test]
    fn both_directions_are_one_flow(mut case in cases()) {
        let there = build(&case);
        let flow = facts(&there, &parse(&there).unwrap()).unwrap().flow;
        case.ports = (case.ports.1, case.ports.0);
        let mut back = build(&case);
        let ip = parse(&back).unwrap().ip;
        let (source, length) = if case.ipv6 { (ip + 8, 16) } else { (ip + 12, 4) };
        let (first, second) = back[source..source + 2 * length].split_at_mut(length);
        first.swap_with_slice(second);
        prop_assert_eq!(facts(&back, &parse(&back).unwrap()).unwrap().flow, flow);
    }
}

fn plain() -> Case {
    Case {
        ipv6: false,
        vlans: 0,
        ip_options: 0,
        seq: 1000,
        ack: 5,
        window: 7,
        ports: (40000, 80),
        timestamps: Some((77, 66)),
        leading_nops: 2,
        payload: 100,
        fin: false,
    }
}

#[test]
fn fragments_are_told_apart() {
    for (offset, more) in [(0, true), (185, false)] {
        let mut bytes = build(&plain());
        let field = IpFragOffset::try_new(offset).unwrap().value() | if more { 0x2000 } else { 0 };
        bytes[20..22].copy_from_slice(&field.to_be_bytes());
        assert_eq!(parse(&bytes), Err(Skip::Fragment));
    }
}

#[test]
fn a_length_of_zero_is_taken_from_the_kernel() {
    for ipv6 in [false, true] {
        let mut bytes = build(&Case { ipv6, ..plain() });
        let length = if ipv6 { 18..20 } else { 16..18 };
        bytes[length].fill(0);
        assert_eq!(parse(&bytes).unwrap().end_seq, 1100);
    }
}

#[test]
fn padding_of_small_frames_is_no_payload() {
    let mut bytes = build(&Case { payload: 0, ..plain() });
    bytes.resize(80, 0);
    assert!(!parse(&bytes).unwrap().is_data());
}

#[test]
fn resets_other_protocols_and_contradictions_are_left_out() {
    let mut reset = build(&plain());
    reset[14 + 20 + 13] |= tcp::RST;
    assert_eq!(parse(&reset), Err(Skip::Other));
    let mut udp = build(&plain());
    udp[14 + 9] = 17;
    assert_eq!(parse(&udp), Err(Skip::Other));
    let mut arp = build(&plain());
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(parse(&arp), Err(Skip::Other));
    let mut short_header = build(&plain());
    short_header[14 + 20 + 12] = 0x40;
    assert_eq!(parse(&short_header), Err(Skip::Malformed));
    let mut longer_than_the_packet_says = build(&plain());
    longer_than_the_packet_says[16..18].copy_from_slice(&30u16.to_be_bytes());
    assert_eq!(parse(&longer_than_the_packet_says), Err(Skip::Malformed));
}

#[test]
fn extension_headers_are_looked_through() {
    let case = Case { ipv6: true, ..plain() };
    let bytes = build(&case);
    let expected = parse(&bytes).unwrap();
    for chain in [&[0u8][..], &[0, 43, 60], &[51], &[0, 60, 43, 51, 60, 60]] {
        let mut extended = bytes[..54].to_vec();
        extended[20] = chain[0];
        for (index, kind) in chain.iter().enumerate() {
            let next = chain.get(index + 1).copied().unwrap_or(6);
            // 16 bytes each: one unit of 8 beyond the first, or two of 4 beyond the first two.
            extended.extend([next, if *kind == 51 { 2 } else { 1 }]);
            extended.extend([0; 14]);
        }
        extended.extend(&bytes[54..]);
        let length = (extended.len() - 54) as u16;
        extended[18..20].copy_from_slice(&length.to_be_bytes());
        let headers = parse(&extended).unwrap();
        assert_eq!(
            (headers.end_seq, headers.ports),
            (expected.end_seq, expected.ports),
            "{chain:?}"
        );
    }
    let mut fragment = bytes.clone();
    fragment[20] = 44;
    assert_eq!(parse(&fragment), Err(Skip::Fragment));
    let mut endless = bytes[..54].to_vec();
    endless[20] = 0;
    endless.extend([0; 400]);
    assert_eq!(parse(&endless), Err(Skip::Other));
}

#[test]
fn broken_options_read_as_no_timestamp() {
    let options = 14 + 20 + 20;
    for broken in [[8, 10, 1, 0], [2, 0, 1, 1], [2, 1, 1, 1], [30, 200, 1, 1], [0, 8, 10, 0]] {
        let mut bytes = build(&plain());
        bytes[options..options + 4].copy_from_slice(&broken);
        let facts = facts(&bytes, &parse(&bytes).unwrap()).unwrap();
        let expected = if broken[0] == 8 { u32::from_be_bytes([1, 0, 0, 0]) } else { 0 };
        assert_eq!(facts.tsval >> 24, expected >> 24, "{broken:?}");
    }
}

//! Crafted packets, one test run each: what the classifier of the fall-back adds to which row.

use xcloud_common::{
    config::{Config, Tunnels},
    egress::{Kind, Sums},
};

use super::{Counting, net::total};
use crate::{
    craft::{self, DATA, Segment},
    harness::{self, Kernel},
};

fn counting() -> Counting {
    let tunnels = Tunnels { vxlan: [craft::VXLAN_PORT, 0, 0, 0], ..Tunnels::default() };
    Counting::load(Config { tunnels, ..Config::default() })
}

#[test]
fn each_kind_of_packet_has_its_row() {
    if !harness::available() {
        return;
    }
    let mut counting = counting();
    let six = Segment { ipv6: true, ..DATA };
    let arp = [&[2; 12][..], &[8, 6], &[0, 1, 8, 0, 6, 4, 0, 1], &[0; 32]].concat();
    let hidden = craft::in_udp(51_820, &[4, 0, 0, 0, 7, 7, 7, 7], &[0x5a; 100]);
    for (packet, kind, payload) in [
        (DATA.frame(), Kind::Plain, 100),
        (six.frame(), Kind::Plain, 100),
        (craft::udp(), Kind::Plain, 100),
        (craft::vxlan(&DATA.frame()), Kind::Carried, 100),
        (hidden, Kind::Encrypted, 0),
        (arp, Kind::NoIp, 0),
    ] {
        counting.kernel.run("uplink_out", &packet);
        let left = counting.left();
        let (key, sums) = left.iter().next().expect("a row");
        let wire_bytes = packet.len() as u64;
        assert_eq!(*sums, Sums { wire_bytes, packets: 1, payload_bytes: payload }, "{kind:?}");
        assert_eq!((left.len(), key.kind()), (1, Some(kind)));
    }
    counting.kernel.run("uplink_out_ip", &DATA.frame()[14..]);
    assert_eq!(total(counting.left().values()).wire_bytes, DATA.frame().len() as u64 - 14);
}

#[test]
fn more_destinations_than_cells_are_still_counted_whole() {
    if !harness::available() {
        return;
    }
    let mut counting = counting();
    let (mut packet, mut sent) = (craft::udp(), 0);
    for destination in 0..6_000u16 {
        packet[32..34].copy_from_slice(&destination.to_be_bytes());
        counting.kernel.run("uplink_out", &packet);
        sent += 1;
    }
    let left = counting.left();
    let rest = left.iter().filter(|(key, _)| key.kind() == Some(Kind::Rest));
    let rest = total(rest.map(|(_, sums)| sums));
    assert!(rest.packets > 0 && left.len() > 1_000, "{} rows, {rest:?}", left.len());
    let sums = total(left.values());
    assert_eq!((sums.packets, sums.wire_bytes), (sent, sent * packet.len() as u64));
}

#[test]
fn unless_it_is_asked_for_nothing_is_counted() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    kernel.run("uplink_out", &DATA.frame());
    let refused = xcloud::kernel::egress::Egress::take(&mut kernel.ebpf);
    assert!(refused.is_err_and(|error| error.to_string().contains("without the account")));
}

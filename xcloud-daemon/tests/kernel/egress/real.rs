//! Real traffic by real devices.

use xcloud_common::{
    egress::{Key, Kind, Sums},
    slot::octets,
};

use super::{
    Counting, VXLAN_PORT,
    net::{Path, address, index, sent, tcp, total, udp},
};
use crate::harness;

/// Enough for some hundred super-segments, little enough for an emulated machine.
const BYTES: u64 = 8 << 20;

/// TCP from the node and from its pod, and datagrams of both, alone and many in one buffer.
fn traffic(path: &Path, ipv6: bool) {
    let peer = address(ipv6, 3, 2);
    for from in [&path.node, &path.pod] {
        tcp(from, &path.peer, &peer, BYTES);
        udp(from, &peer, 100, 1, 500);
        udp(from, &peer, 1_000, 20, 50);
    }
}

fn text(address: [u32; 4]) -> String {
    std::net::Ipv6Addr::from(octets(address)).to_canonical().to_string()
}

fn equals_the_uplinks_own_counters(ipv6: bool) {
    if !harness::available() {
        return;
    }
    let path = Path::new(ipv6);
    path.node.sh("ip link set wan gso_max_segs 1");
    path.settle();
    let mut counting = Counting::at(&path.node, "wan");
    let before = sent(&path.node, "wan");
    traffic(&path, ipv6);
    path.settle();
    let moved = sent(&path.node, "wan").since(before);
    let sums = total(counting.left().values());
    assert!(sums.payload_bytes > 2 * BYTES, "{sums:?}");
    assert_eq!((sums.wire_bytes, sums.packets), moved);
}

#[test]
fn without_super_segments_it_equals_the_uplinks_own_counters() {
    equals_the_uplinks_own_counters(false);
}

#[test]
fn so_it_does_over_ipv6() {
    equals_the_uplinks_own_counters(true);
}

/// Traffic whose super-segments the uplink sends as they are, beside the packets that the router's next device sends.
fn equals_what_super_segments_become(ipv6: bool) {
    if !harness::available() {
        return;
    }
    let path = Path::new(ipv6);
    path.settle();
    let mut counting = Counting::at(&path.node, "wan");
    let before = (sent(&path.node, "wan"), sent(&path.router, "out"));
    traffic(&path, ipv6);
    path.settle();
    let (buffers, packets) =
        (sent(&path.node, "wan").since(before.0).1, sent(&path.router, "out").since(before.1));
    let left = counting.left();
    let to_peer = |key: &Key| text(key.destination()) == address(ipv6, 3, 2);
    let sums = total(left.iter().filter(|(key, _)| to_peer(key)).map(|(_, sums)| sums));
    assert_eq!((sums.wire_bytes, sums.packets), packets);
    assert!(sums.packets > 3 * buffers, "the uplink was given super-segments");
}

#[test]
fn super_segments_count_as_the_packets_they_become() {
    equals_what_super_segments_become(false);
}

#[test]
fn so_they_do_over_ipv6() {
    equals_what_super_segments_become(true);
}

#[test]
fn each_senders_bytes_are_its_own() {
    if !harness::available() {
        return;
    }
    let path = Path::new(false);
    let mut counting = Counting::at(&path.node, "wan");
    let peer = address(false, 3, 2);
    udp(&path.node, &peer, 300, 1, 10);
    udp(&path.pod, &peer, 700, 1, 20);
    let left = counting.left();
    let uplink = index(&path.node, "wan");
    // The helper sends 7 bytes less; 42 are headers.
    for (source, came_in_by, packets, payload) in [
        (address(false, 2, 1), 0, 10, 293),
        (address(false, 1, 1), index(&path.node, "vp"), 20, 693),
    ] {
        let of = |key: &&Key| text(key.source()) == source && key.kind() == Some(Kind::Plain);
        let rows: Vec<_> = left.keys().filter(of).collect();
        let [key] = rows[..] else { panic!("one row, not {rows:?}") };
        assert_eq!((key.came_in_by(), key.uplink()), (came_in_by, uplink));
        assert_eq!(text(key.destination()), peer);
        let wanted = Sums {
            wire_bytes: packets * (payload + 42),
            packets,
            payload_bytes: packets * payload,
        };
        assert_eq!(left[key], wanted);
    }
}

#[test]
fn in_vxlan_both_headers_count_for_each_packet() {
    if !harness::available() {
        return;
    }
    let path = Path::new(false);
    for (namespace, host, network, far) in
        [(&path.node, 1, 2, address(false, 3, 2)), (&path.peer, 2, 3, address(false, 2, 1))]
    {
        let (local, other) = (address(false, network, host), 3 - host);
        namespace.sh(&format!(
            "ip link add vx type vxlan id 7 local {local} remote {far} dstport {VXLAN_PORT}
             sysctl -qw net.ipv6.conf.vx.disable_ipv6=1
             ip link set vx address 02:00:00:00:04:0{host} mtu 1400 up
             ip addr add {}/24 dev vx
             ip neigh add {} lladdr 02:00:00:00:04:0{other} dev vx nud permanent",
            address(false, 4, host),
            address(false, 4, other)
        ));
    }
    path.peer.sh(&format!("ip route add 10.9.1.0/24 via {}", address(false, 4, 1)));
    path.settle();
    let mut counting = Counting::at(&path.node, "wan");
    let before = (sent(&path.node, "wan"), sent(&path.router, "out"));
    tcp(&path.pod, &path.peer, &address(false, 4, 2), BYTES);
    path.settle();
    let (buffers, packets) =
        (sent(&path.node, "wan").since(before.0).1, sent(&path.router, "out").since(before.1));
    let left = counting.left();
    let sums = total(left.values());
    assert_eq!((sums.wire_bytes, sums.packets), packets, "{left:?}");
    assert!(sums.packets > 3 * buffers, "the uplink was given super-segments");
    let data = |key: &&Key| text(key.source()) == address(false, 1, 1);
    let key = left.keys().find(data).expect("the pod's row");
    assert_eq!((key.kind(), text(key.destination())), (Some(Kind::Carried), address(false, 3, 2)));
    // On a busy machine some is sent twice.
    let payload = left[key].payload_bytes;
    assert!((BYTES..BYTES + BYTES / 4).contains(&payload), "{payload}");
}

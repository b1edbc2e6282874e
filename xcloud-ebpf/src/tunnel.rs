//! Where the packet of a pod starts in the packet that carries it between nodes: VXLAN (RFC 7348), Geneve (RFC 8926),
//! IP in IP (RFC 2003, RFC 2473). What is encrypted cannot be looked into.

use xcloud_common::config::Tunnels;

use crate::packet::{self, Bytes, ETHERTYPE_QINQ, ETHERTYPE_VLAN, Link, View};

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_ESP: u8 = 50;
const ESP_IN_UDP_PORT: u16 = 4500;
/// Type 4 and three zeros.
const WIREGUARD_DATA: u32 = 0x0400_0000;
const DESTINATION_OPTIONS: u8 = 60;
const ETHERNET_HEADER: usize = 14;
const UDP_HEADER: usize = 8;
/// Of VXLAN, and of Geneve without options.
const TUNNEL_HEADER: usize = 8;
/// VXLAN's flag that a network identifier is there; always set.
const VXLAN_IDENTIFIER: u8 = 8;
/// A packet for the tunnel's end itself.
const GENEVE_CONTROL: u8 = 0x80;
const TRANSPARENT_ETHERNET: u16 = 0x6558;

/// Offset of the inner IP header, if the packet carries another.
#[inline(always)]
pub fn inner<B: Bytes>(bytes: &B, link: Link, tunnels: &Tunnels) -> Option<usize> {
    let (protocol, payload) = outer(bytes, link)?;
    match protocol {
        PROTOCOL_IPV4 | PROTOCOL_IPV6 => Some(payload),
        PROTOCOL_UDP => {
            let port = bytes.view::<UDP_HEADER>(payload)?.u16(2);
            if tunnels.vxlan.contains(&port) {
                vxlan(bytes, payload + UDP_HEADER)
            } else if tunnels.geneve.contains(&port) {
                geneve(bytes, payload + UDP_HEADER)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Whether the packet, in which [`inner`] finds none, carries another that is encrypted: IPsec (RFC 4303), also in UDP
/// from or to its port, as a translator changes one of both (RFC 3948), or WireGuard's data, which has its type in the
/// first four bytes whatever port its peers chose.
#[inline(always)]
pub fn is_opaque<B: Bytes>(bytes: &B, link: Link) -> bool {
    let Some((protocol, payload)) = outer(bytes, link) else { return false };
    match (protocol, bytes.view::<{ UDP_HEADER + 4 }>(payload)) {
        (PROTOCOL_ESP, _) => true,
        (PROTOCOL_UDP, Some(udp)) => {
            let (ports, head) = ([udp.u16(0), udp.u16(2)], udp.u32(UDP_HEADER));
            ports.contains(&ESP_IN_UDP_PORT) && head != 0 || head == WIREGUARD_DATA
        }
        _ => false,
    }
}

/// Protocol and offset of what the outer IP header carries.
#[inline(always)]
fn outer<B: Bytes>(bytes: &B, link: Link) -> Option<(u8, usize)> {
    let (ip, ipv6) = packet::ip_header(bytes, link).ok()?;
    if !ipv6 {
        let header = bytes.view::<20>(ip)?;
        let length = usize::from(header.u8(0) & 0xf) * 4;
        let whole = header.u16(6) & 0x3fff == 0;
        return (whole && length >= 20).then(|| (header.u8(9), ip + length));
    }
    let header = bytes.view::<48>(ip)?;
    match header.u8(6) {
        // The kernel's IPv6 tunnels put their encapsulation limit (RFC 2473, 4.1.1) here.
        DESTINATION_OPTIONS if header.u8(41) == 0 => Some((header.u8(40), ip + 48)),
        protocol => Some((protocol, ip + 40)),
    }
}

#[inline(always)]
fn vxlan<B: Bytes>(bytes: &B, at: usize) -> Option<usize> {
    let header = bytes.view::<TUNNEL_HEADER>(at)?;
    if header.u8(0) & VXLAN_IDENTIFIER == 0 {
        return None;
    }
    ethernet_payload(bytes, at + TUNNEL_HEADER)
}

#[inline(always)]
fn geneve<B: Bytes>(bytes: &B, at: usize) -> Option<usize> {
    let header = bytes.view::<TUNNEL_HEADER>(at)?;
    let (version, options) = (header.u8(0) >> 6, usize::from(header.u8(0) & 0x3f) * 4);
    if version != 0 || header.u8(1) & GENEVE_CONTROL != 0 {
        return None;
    }
    let payload = at + TUNNEL_HEADER + options;
    match header.u16(2) {
        TRANSPARENT_ETHERNET => ethernet_payload(bytes, payload),
        packet::ETHERTYPE_IPV4 | packet::ETHERTYPE_IPV6 => Some(payload),
        _ => None,
    }
}

/// What follows an inner Ethernet header, with one VLAN tag at most. That it is IP shows in its first byte.
#[inline(always)]
fn ethernet_payload<B: Bytes>(bytes: &B, at: usize) -> Option<usize> {
    match bytes.view::<ETHERNET_HEADER>(at)?.u16(12) {
        packet::ETHERTYPE_IPV4 | packet::ETHERTYPE_IPV6 => Some(at + ETHERNET_HEADER),
        ETHERTYPE_VLAN | ETHERTYPE_QINQ => Some(at + ETHERNET_HEADER + 4),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
pub(crate) mod tests;

//! From a departing packet's headers to whose bytes they are and how many of them are payload.

use xcloud_common::{
    config::Tunnels,
    egress::{Key, Kind, Sums},
};

use crate::{
    packet::{Bytes, Link, View, offset_u32},
    tunnel,
};

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: u32 = 8;
/// Of a hop-by-hop header that holds only a jumbo payload's length (RFC 2675): the kernel puts it into IPv6
/// super-segments over 64 KiB, and takes it out again when it cuts them.
const JUMBO_HEADER: u32 = 8;
/// Extension headers looked through.
const MAX_EXTENSIONS: usize = 4;
/// Headers farther away are not looked at; one less than a power of two.
const FARTHEST: usize = 255;

/// What the kernel says of a buffer that is about to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Its bytes, from the link's header on.
    pub len: u32,
    /// Packets it will be cut into; 0 or 1 where it is one.
    pub segments: u32,
    /// Headers of each of these, from the link's on; 0 where it is one.
    pub header: u32,
    /// Interface it came in by.
    pub came_in_by: u32,
    /// Uplink it leaves by.
    pub uplink: u32,
}

/// Whose a departing buffer is and what it is on the wire; `bytes` begin at its IP header.
#[inline(always)]
pub fn entry<B: Bytes>(bytes: &B, leaving: &Leaving, tunnels: &Tunnels) -> (Key, Sums) {
    let outer = ip_header(bytes, 0);
    let (kind, inner) = kind(bytes, outer.as_ref(), tunnels);
    let Some(outer) = outer else {
        let key = Key::new([0; 4], [0; 4], leaving.came_in_by, leaving.uplink, Kind::NoIp);
        return (key, Sums::of_buffer(leaving.len, leaving.segments, leaving.header, 0));
    };
    let visible = if kind == Kind::Carried { inner } else { Some(outer) };
    let source = visible.unwrap_or(outer).source;
    let key = Key::new(source, outer.destination, leaving.came_in_by, leaving.uplink, kind);
    if leaving.segments <= 1 {
        let payload = match visible {
            Some(ip) if kind != Kind::Encrypted => ip.payload(bytes, leaving.len),
            _ => 0,
        };
        return (key, Sums::of_buffer(leaving.len, 1, 0, payload));
    }
    let jumbo = if outer.is_jumbo(bytes) { JUMBO_HEADER } else { 0 };
    let (len, header) =
        (leaving.len - jumbo.min(leaving.len), leaving.header.saturating_sub(jumbo));
    let payload = if kind == Kind::Encrypted { 0 } else { len.saturating_sub(header) };
    (key, Sums::of_buffer(len, leaving.segments, header, payload))
}

/// What the packet is, and the IP header of one that it carries.
#[inline(always)]
fn kind<B: Bytes>(bytes: &B, outer: Option<&Ip>, tunnels: &Tunnels) -> (Kind, Option<Ip>) {
    let Some(outer) = outer else { return (Kind::NoIp, None) };
    if outer.next == PROTOCOL_TCP {
        return (Kind::Plain, None);
    }
    match tunnel::inner(bytes, Link::Ip, tunnels) {
        Some(at) => (Kind::Carried, ip_header(bytes, at)),
        None if tunnel::is_opaque(bytes, Link::Ip) => (Kind::Encrypted, None),
        None => (Kind::Plain, None),
    }
}

/// What an IP header says.
#[derive(Clone, Copy, Debug)]
struct Ip {
    at: usize,
    ipv6: bool,
    /// Length of the header, without extensions.
    header: usize,
    /// Protocol, or the first extension.
    next: u8,
    /// Length of all of the packet, 0 where it does not say.
    total: u32,
    /// No first fragment, so there is no further header.
    later_fragment: bool,
    source: [u32; 4],
    destination: [u32; 4],
}

#[inline(always)]
fn ip_header<B: Bytes>(bytes: &B, at: usize) -> Option<Ip> {
    let mapped = |word| [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), word];
    let header = bytes.view::<IPV4_HEADER>(at)?;
    match header.u8(0) >> 4 {
        4 => Some(Ip {
            at,
            ipv6: false,
            header: usize::from(header.u8(0) & 0xf) * 4,
            next: header.u8(9),
            total: header.u16(2).into(),
            later_fragment: header.u16(6) & 0x1fff != 0,
            source: mapped(header.word(12)),
            destination: mapped(header.word(16)),
        }),
        6 => {
            let header = bytes.view::<IPV6_HEADER>(at)?;
            let address = |at: usize| {
                [header.word(at), header.word(at + 4), header.word(at + 8), header.word(at + 12)]
            };
            let stated = u32::from(header.u16(4));
            Some(Ip {
                at,
                ipv6: true,
                header: IPV6_HEADER,
                next: header.u8(6),
                total: if stated == 0 { 0 } else { stated + offset_u32(IPV6_HEADER) },
                later_fragment: false,
                source: address(8),
                destination: address(24),
            })
        }
        _ => None,
    }
}

impl Ip {
    /// Bytes behind the TCP or UDP header; `len` counts where the header does not say its packet's length.
    #[inline(always)]
    fn payload<B: Bytes>(&self, bytes: &B, len: u32) -> u32 {
        let Some((protocol, at, later_fragment)) = self.transport(bytes) else { return 0 };
        let total = if self.total == 0 { len } else { self.total };
        let rest = total.saturating_sub(offset_u32(at - self.at));
        match protocol {
            PROTOCOL_TCP | PROTOCOL_UDP if later_fragment => rest,
            PROTOCOL_TCP => {
                let header = bytes.view::<20>(at).map_or(0, |tcp| u32::from(tcp.u8(12) >> 4) * 4);
                rest.saturating_sub(header)
            }
            PROTOCOL_UDP => rest.saturating_sub(UDP_HEADER),
            _ => 0,
        }
    }

    /// Protocol of the transport header, where it is, and whether it is not there since this is a later fragment.
    #[inline(always)]
    fn transport<B: Bytes>(&self, bytes: &B) -> Option<(u8, usize, bool)> {
        let (mut next, mut at, mut later) =
            (self.next, near(self.at + self.header)?, self.later_fragment);
        if !self.ipv6 {
            return Some((next, at, later));
        }
        for _ in 0..MAX_EXTENSIONS {
            let unit = match next {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => 8,
                AUTHENTICATION => 4,
                FRAGMENT => 0,
                _ => break,
            };
            let extension = bytes.view::<8>(at)?;
            if next == FRAGMENT {
                later = extension.u16(2) & 0xfff8 != 0;
            }
            next = extension.u8(0);
            at = near(at + usize::from(extension.u8(1)) * unit + 8)?;
        }
        Some((next, at, later))
    }

    #[inline(always)]
    fn is_jumbo<B: Bytes>(&self, bytes: &B) -> bool {
        const JUMBO_OPTION: u8 = 0xc2;
        self.ipv6
            && self.next == HOP_BY_HOP
            && self.total == 0
            && bytes.view::<8>(self.at + IPV6_HEADER).is_some_and(|one| one.u8(2) == JUMBO_OPTION)
    }
}

/// An offset that is looked at; the mask is for the verifier, which then sees all rounds of a loop as one.
#[inline(always)]
fn near(offset: usize) -> Option<usize> {
    (offset <= FARTHEST).then_some(offset & FARTHEST)
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;

//! From bytes to the few facts about a TCP segment that the measurement needs.
//!
//! Two steps, because most packets need only the first: [`Headers::parse`] finds what decides whether the packet is
//! selected, [`Headers::facts`] the rest. Bytes are hostile: every read is checked, every loop bounded.

use xcloud_common::identity;

/// Bytes of a packet from its first header on, however they are reached.
pub trait Bytes {
    /// Some of them, known to be there.
    type View: View;

    /// Whether to look through extension headers and unusual option layouts. Where not, such packets are
    /// [`Skip::Malformed`] and the caller tries again on a copy: the verifier follows the loops once instead of once
    /// for every place that headers can start at.
    const THOROUGH: bool;

    /// The `N` bytes from `offset` on; `None` when the packet ends before.
    ///
    /// One check for many reads: it is what the packet path spends its time on.
    fn view<const N: usize>(&self, offset: usize) -> Option<Self::View>;
}

/// Bytes that are there. Reads must stay within the `N` asked for.
pub trait View {
    /// One byte.
    fn u8(&self, at: usize) -> u8;
    /// Two bytes in network order.
    fn u16(&self, at: usize) -> u16;
    /// Four bytes in network order.
    fn u32(&self, at: usize) -> u32;
    /// Four bytes as they lie in memory.
    fn word(&self, at: usize) -> u32 {
        self.u32(at).to_be()
    }
}

impl<'a> Bytes for &'a [u8] {
    type View = &'a [u8];

    const THOROUGH: bool = true;

    fn view<const N: usize>(&self, offset: usize) -> Option<&'a [u8]> {
        self.get(offset..offset.checked_add(N)?)
    }
}

impl View for &[u8] {
    fn u8(&self, at: usize) -> u8 {
        self[at]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self[at], self[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes([self[at], self[at + 1], self[at + 2], self[at + 3]])
    }
}

/// What the first byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header: TUN, WireGuard, IPIP and other devices without link layer.
    Ip,
}

/// Why a packet is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Not TCP over IP, or a reset.
    Other,
    /// A fragment.
    Fragment,
    /// Ends inside its headers, or they contradict each other.
    Malformed,
    /// Carries another packet.
    Carrier,
    /// Carries another packet, encrypted.
    Opaque,
}

/// TCP flag bits (RFC 9293, 3.1).
pub mod tcp {
    /// No more data.
    pub const FIN: u8 = 1;
    /// Synchronise.
    pub const SYN: u8 = 2;
    /// Reset.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// IPv4 follows.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// IPv6 follows.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// One VLAN tag follows (802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// An outer VLAN tag follows (802.1ad).
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
const PROTOCOL_TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// Extension headers looked through; RFC 8504 lets a node limit them, and more than these is not seen in practice.
const MAX_EXTENSIONS: usize = 6;
/// All of them together: more than any stack sends, one less than a power of two.
const MAX_EXTENSION_BYTES: usize = 511;
/// TCP options looked at; with 40 bytes and NOP padding no sane stack sends more.
const MAX_OPTIONS: usize = 12;

/// What decides whether a segment is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Sequence number of the first byte.
    pub seq: u32,
    /// Sequence number after the last; SYN and FIN count one.
    pub end_seq: u32,
    /// Source port in the upper half, destination port in the lower.
    pub ports: u32,
    /// Acknowledgement number; meaningless without [`tcp::ACK`].
    pub ack: u32,
    /// Flag bits.
    pub flags: u8,
    /// Length of the TCP header.
    pub header_len: u8,
    /// Whether there is payload.
    pub payload: bool,
    /// Whether the addresses are IPv6.
    pub ipv6: bool,
    /// Offset of the IP header.
    pub ip: usize,
    /// Offset of the TCP header.
    pub tcp: usize,
}

/// The rest of what the measurement needs to know of a selected segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// TSval, 0 without the option (RFC 7323).
    pub tsval: u32,
    /// TSecr, 0 without the option.
    pub tsecr: u32,
    /// Digest of addresses and ports, the same in both directions.
    pub flow: u16,
    /// [`identity::answer_digest`] of this packet.
    pub answer: u32,
}

impl Headers {
    /// Finds the TCP header. `len` is the packet's whole length as the kernel has it, which counts when the IP header
    /// cannot say it (BIG TCP).
    ///
    /// # Errors
    /// Says why the packet is of no use.
    #[inline(always)]
    pub fn parse<B: Bytes>(bytes: &B, link: Link, len: u32) -> Result<Self, Skip> {
        let (ip, ipv6) = ip_header(bytes, link)?;
        let (tcp, ip_len) = if ipv6 { ipv6_header(bytes, ip)? } else { ipv4_header(bytes, ip)? };
        let ip_len = if ip_len == 0 { len.saturating_sub(offset_u32(ip)) } else { ip_len };
        Self::tcp(bytes, ip, tcp, ipv6, ip_len)
    }

    #[inline(always)]
    fn tcp<B: Bytes>(
        bytes: &B,
        ip: usize,
        tcp: usize,
        ipv6: bool,
        ip_len: u32,
    ) -> Result<Self, Skip> {
        let header = bytes.view::<TCP_HEADER>(tcp).ok_or(Skip::Malformed)?;
        let (seq, flags) = (header.u32(4), header.u8(13));
        let header_len = (header.u8(12) >> 4) * 4;
        let headers = offset_u32(tcp - ip) + u32::from(header_len);
        if header_len < 20 || ip_len < headers {
            return Err(Skip::Malformed);
        }
        if flags & tcp::RST != 0 {
            return Err(Skip::Other);
        }
        let payload = ip_len - headers;
        let controls = u32::from(flags & tcp::SYN != 0) + u32::from(flags & tcp::FIN != 0);
        Ok(Self {
            seq,
            end_seq: seq.wrapping_add(payload).wrapping_add(controls),
            ports: header.u32(0),
            ack: header.u32(8),
            flags,
            header_len,
            payload: payload != 0,
            ipv6,
            ip,
            tcp,
        })
    }

    /// Reads what only a selected segment needs, some of it from its [`Self::ip_header`].
    #[inline(always)]
    pub fn facts<B: Bytes>(&self, bytes: &B, ip: &B::View) -> Option<Facts> {
        let (tsval, tsecr) = self.timestamps(bytes)?;
        let window = bytes.view::<TCP_HEADER>(self.tcp)?.u16(14);
        let answer =
            identity::answer_digest(self.seq, tsval, window, self.header_len, self.payload);
        Some(Facts { tsval, tsecr, flow: self.flow(ip), answer })
    }

    /// Whether it is data: it takes up sequence space.
    #[inline(always)]
    #[must_use]
    pub const fn is_data(&self) -> bool {
        self.end_seq != self.seq
    }

    /// Whether its acknowledgement number counts.
    #[inline(always)]
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        self.flags & tcp::ACK != 0
    }

    #[inline(always)]
    fn flow<V: View>(&self, ip: &V) -> u16 {
        let (from, to) = (self.ports >> 16, self.ports & 0xffff);
        let sides = if self.ipv6 {
            let side = |port, at| {
                let upper = ip.u32(at) ^ ip.u32(at + 4).rotate_left(11);
                let lower = ip.u32(at + 8).rotate_left(5) ^ ip.u32(at + 12);
                spread(upper.wrapping_mul(0x85eb_ca77) ^ lower ^ port)
            };
            side(from, 8).wrapping_add(side(to, 24))
        } else {
            let side = |port: u32, at| spread(ip.u32(at) ^ port.rotate_left(16));
            side(from, 12).wrapping_add(side(to, 16))
        };
        (sides >> 16) as u16
    }

    /// TSval and TSecr, zeros without the option. The layouts that all common stacks send are looked at first.
    #[inline(always)]
    fn timestamps<B: Bytes>(&self, bytes: &B) -> Option<(u32, u32)> {
        const NOP_NOP_TIMESTAMP: u32 = 0x0101_080a;
        const SACK_TIMESTAMP: u32 = 0x0402_080a;
        let options = self.tcp + TCP_HEADER;
        if self.header_len >= 32 {
            let view = bytes.view::<12>(options)?;
            if view.u32(0) == NOP_NOP_TIMESTAMP {
                return Some((view.u32(4), view.u32(8)));
            }
        }
        if self.header_len >= 36 {
            let view = bytes.view::<16>(options)?;
            if view.u32(4) == SACK_TIMESTAMP {
                return Some((view.u32(8), view.u32(12)));
            }
        }
        let length = usize::from(self.header_len) - TCP_HEADER;
        if length == 0 {
            Some((0, 0))
        } else if B::THOROUGH {
            Some(walk_options(bytes, options, length).unwrap_or((0, 0)))
        } else {
            None
        }
    }

    /// The IP header: 40 bytes are IPv6's, or IPv4's and the TCP header's.
    #[inline(always)]
    pub fn ip_header<B: Bytes>(&self, bytes: &B) -> Option<B::View> {
        bytes.view::<IPV6_HEADER>(self.ip)
    }

    /// Copies source and destination as they lie in the IP header; of IPv4 the first two words.
    #[inline(always)]
    pub fn copy_addresses<V: View>(&self, ip: &V, out: &mut [u32; 8]) {
        if self.ipv6 {
            for (index, word) in out.iter_mut().enumerate() {
                *word = ip.word(8 + 4 * index);
            }
        } else {
            (out[0], out[1]) = (ip.word(12), ip.word(16));
        }
    }

    /// Whether either end is this TCP port.
    #[inline(always)]
    #[must_use]
    pub const fn has_port(&self, port: u32) -> bool {
        port != 0 && (self.ports >> 16 == port || self.ports & 0xffff == port)
    }
}

#[inline(always)]
pub(crate) fn offset_u32(offset: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "header offsets are below 64 KiB")]
    {
        offset as u32
    }
}

/// One round of mixing; the upper bits depend on all of the word.
#[inline(always)]
const fn spread(word: u32) -> u32 {
    let product = word.wrapping_mul(0x9e37_79b1);
    (product ^ product >> 15).wrapping_mul(0x2c1b_3c6d)
}

/// Offset of the IP header, and whether it is IPv6.
#[inline(always)]
pub(crate) fn ip_header<B: Bytes>(bytes: &B, link: Link) -> Result<(usize, bool), Skip> {
    match link {
        Link::Ethernet => ethernet(bytes),
        Link::Ip => Ok((0, bytes.view::<20>(0).ok_or(Skip::Malformed)?.u8(0) >> 4 == 6)),
    }
}

/// The same behind an Ethernet header with at most two VLAN tags.
#[inline(always)]
fn ethernet<B: Bytes>(bytes: &B) -> Result<(usize, bool), Skip> {
    let mut offset = 12;
    let mut tags = 0;
    loop {
        match bytes.view::<4>(offset).ok_or(Skip::Malformed)?.u16(0) {
            ETHERTYPE_IPV4 => return Ok((offset + 2, false)),
            ETHERTYPE_IPV6 => return Ok((offset + 2, true)),
            ETHERTYPE_VLAN | ETHERTYPE_QINQ if tags < 2 => {
                offset += 4;
                tags += 1;
            }
            _ => return Err(Skip::Other),
        }
    }
}

/// Offset of the TCP header and the length the IP header states.
#[inline(always)]
fn ipv4_header<B: Bytes>(bytes: &B, ip: usize) -> Result<(usize, u32), Skip> {
    let header = bytes.view::<IPV4_HEADER>(ip).ok_or(Skip::Malformed)?;
    let first = header.u8(0);
    if first >> 4 != 4 || header.u8(9) != PROTOCOL_TCP {
        return Err(Skip::Other);
    }
    // More fragments, or not the first.
    if header.u16(6) & 0x3fff != 0 {
        return Err(Skip::Fragment);
    }
    let length = usize::from(first & 0xf) * 4;
    if length < IPV4_HEADER {
        return Err(Skip::Malformed);
    }
    Ok((ip + length, header.u16(2).into()))
}

/// Likewise; a stated length of zero (jumbo payload, RFC 2675) stays zero.
#[inline(always)]
fn ipv6_header<B: Bytes>(bytes: &B, ip: usize) -> Result<(usize, u32), Skip> {
    let header = bytes.view::<IPV6_HEADER>(ip).ok_or(Skip::Malformed)?;
    let stated = header.u16(4);
    let mut next = header.u8(6);
    let length = if stated == 0 { 0 } else { u32::from(stated) + offset_u32(IPV6_HEADER) };
    let mut extensions = 0;
    let mut looked = 0;
    if !B::THOROUGH && next != PROTOCOL_TCP {
        return Err(match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | AUTHENTICATION => Skip::Malformed,
            FRAGMENT => Skip::Fragment,
            _ => Skip::Other,
        });
    }
    while next != PROTOCOL_TCP {
        if looked == MAX_EXTENSIONS {
            return Err(Skip::Other);
        }
        looked += 1;
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => 8,
            AUTHENTICATION => 4,
            FRAGMENT => return Err(Skip::Fragment),
            _ => return Err(Skip::Other),
        };
        let extension = bytes.view::<8>(ip + IPV6_HEADER + extensions).ok_or(Skip::Malformed)?;
        // In units of 8 bytes without the first, or of 4 bytes without the first two.
        extensions += usize::from(extension.u8(1)) * unit + 8;
        if extensions > MAX_EXTENSION_BYTES {
            return Err(Skip::Other);
        }
        // Always true; it lets the verifier see all rounds of the loop as one.
        extensions &= MAX_EXTENSION_BYTES;
        next = extension.u8(0);
    }
    Ok((ip + IPV6_HEADER + extensions, length))
}

#[inline(always)]
fn walk_options<B: Bytes>(bytes: &B, start: usize, length: usize) -> Option<(u32, u32)> {
    let mut at = 0;
    let mut looked = 0;
    while looked < MAX_OPTIONS && at < length {
        looked += 1;
        // An option in the packet's very last byte is padding.
        let option = bytes.view::<2>(start + at)?;
        match option.u8(0) {
            0 => return None,
            1 => at += 1,
            8 => {
                let view = bytes.view::<10>(start + at)?;
                return (at + 10 <= length).then(|| (view.u32(2), view.u32(6)));
            }
            _ => {
                let size = usize::from(option.u8(1));
                if size < 2 || at + size > length {
                    return None;
                }
                at += size;
            }
        }
        // At most 40 bytes of options; it lets the verifier see all rounds of the loop as one.
        at &= 63;
    }
    None
}

#[cfg(test)]
#[path = "packet_tests.rs"]
pub(crate) mod tests;

//! Software TCP segmentation: cuts a super-segment into what a wire of a given MTU would carry.

use super::packet::{VNET, VnetHeader};

const TCPV4: u8 = 1;
const TCPV6: u8 = 4;
const ECN: u8 = 0x80;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Where the parts of a TCP packet are, counted from the IP header.
struct Layout {
    v6: bool,
    tcp: usize,
    payload: usize,
}

/// Cuts `frame` (virtio-net header and packet) to packets of at most `mtu` bytes, checksums finished. What is not
/// TCP, or fits, comes back as the one packet it is; `None` when the headers make no sense.
pub(crate) fn cut(frame: &[u8], mtu: u16) -> Option<Vec<Vec<u8>>> {
    let vnet = VnetHeader::parse(frame)?;
    let ip = &frame[VNET..];
    if !matches!(vnet.gso_type & !ECN, TCPV4 | TCPV6) {
        return Some(vec![finish_checksum(frame, vnet)?]);
    }
    let layout = layout(ip, vnet)?;
    let room = usize::from(mtu).checked_sub(layout.payload)?;
    let size = usize::from(vnet.gso_size).min(room);
    if size == 0 {
        return None;
    }
    let payload = &ip[layout.payload..];
    let pieces = payload.len().div_ceil(size).max(1);
    let mut out = Vec::with_capacity(pieces);
    for index in 0..pieces {
        let start = index * size;
        let end = payload.len().min(start + size);
        let last = index + 1 == pieces;
        out.push(segment(ip, &layout, start..end, index, last)?);
    }
    Some(out)
}

fn layout(ip: &[u8], vnet: VnetHeader) -> Option<Layout> {
    let tcp = usize::from(vnet.csum_start);
    let header = usize::from(*ip.get(tcp + 12)? >> 4) * 4;
    let v6 = ip.first()? >> 4 == 6;
    let minimum = if v6 { 40 } else { 20 };
    let payload = tcp + header;
    (tcp >= minimum && header >= 20 && payload <= ip.len()).then_some(Layout { v6, tcp, payload })
}

fn segment(
    ip: &[u8],
    layout: &Layout,
    range: std::ops::Range<usize>,
    index: usize,
    last: bool,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(VNET + layout.payload + range.len());
    out.resize(VNET, 0);
    out.extend_from_slice(&ip[..layout.payload]);
    out.extend_from_slice(&ip[layout.payload..][range.clone()]);
    let packet = &mut out[VNET..];
    set_lengths(packet, layout.v6, u16::try_from(index).ok()?)?;
    let tcp = &mut packet[layout.tcp..];
    add_u32(&mut tcp[4..8], u32::try_from(range.start).ok()?);
    if !last {
        tcp[13] &= !(FIN | PSH);
    }
    if index > 0 {
        tcp[13] &= !CWR;
    }
    tcp_checksum(packet, layout);
    Some(out)
}

/// Writes the IP length, and for IPv4 the identification and the header checksum.
fn set_lengths(packet: &mut [u8], v6: bool, index: u16) -> Option<()> {
    let total = u16::try_from(packet.len()).ok()?;
    if v6 {
        packet[4..6].copy_from_slice(&(total - 40).to_be_bytes());
        return Some(());
    }
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(index);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 0x0f) * 4;
    let sum = !fold(sum(packet.get(..header)?, 0));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

fn tcp_checksum(packet: &mut [u8], layout: &Layout) {
    let length = packet.len() - layout.tcp;
    let addresses = if layout.v6 { &packet[8..40] } else { &packet[12..20] };
    // The pseudo header: addresses, length and protocol number.
    let pseudo = sum(addresses, 6 + length as u64);
    let at = layout.tcp + 16;
    packet[at..at + 2].fill(0);
    let value = !fold(sum(&packet[layout.tcp..], pseudo));
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Finishes the checksum of a packet that is not cut, so that it leaves as a wire would carry it.
fn finish_checksum(frame: &[u8], vnet: VnetHeader) -> Option<Vec<u8>> {
    let mut out = frame.to_vec();
    out[..VNET].fill(0);
    if vnet.needs_checksum() {
        let start = VNET + usize::from(vnet.csum_start);
        let at = start + usize::from(vnet.csum_offset);
        // The field already holds the sum of the pseudo header, not inverted.
        let value = !fold(sum(out.get(start..)?, 0));
        // Zero means "no checksum" in UDP; the other form of zero is sent instead.
        let value = if value == 0 { u16::MAX } else { value };
        out.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    }
    Some(out)
}

fn add_u32(field: &mut [u8], value: u32) {
    let old = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    field.copy_from_slice(&old.wrapping_add(value).to_be_bytes());
}

/// Internet checksum, not folded.
fn sum(bytes: &[u8], start: u64) -> u64 {
    let words = bytes.chunks_exact(2);
    let odd = words.remainder().first().map_or(0, |b| u64::from(*b) << 8);
    words.fold(start + odd, |sum, w| sum + u64::from(u16::from_be_bytes([w[0], w[1]])))
}

fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 16) + (sum & 0xffff),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLAGS: usize = 13;

    /// A super-segment with `payload`, `options` bytes of TCP options and a pseudo-header checksum.
    fn super_segment(v6: bool, payload: &[u8], options: usize, gso_size: u16) -> Vec<u8> {
        let header = if v6 { 40 } else { 20 };
        let mut ip = vec![0_u8; header + 20 + options];
        ip[0] = if v6 { 0x60 } else { 0x45 };
        if v6 {
            ip[6] = 6;
            ip[8..40].copy_from_slice(&[7; 32]);
        } else {
            ip[4..6].copy_from_slice(&0xfffe_u16.to_be_bytes());
            ip[9] = 6;
            ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        }
        let tcp = &mut ip[header..];
        tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
        tcp[12] = u8::try_from((20 + options) / 4 * 16).unwrap();
        tcp[FLAGS] = FIN | PSH | CWR | 0x10;
        ip.extend_from_slice(payload);
        let mut frame = vec![0_u8; VNET];
        frame[0] = 1;
        frame[1] = if v6 { TCPV6 } else { TCPV4 };
        frame[4..6].copy_from_slice(&gso_size.to_ne_bytes());
        frame[6..8].copy_from_slice(&u16::try_from(header).unwrap().to_ne_bytes());
        frame[8..10].copy_from_slice(&16_u16.to_ne_bytes());
        frame.extend(ip);
        frame
    }

    fn check(packet: &[u8], v6: bool, options: usize, seq: u32, index: usize) {
        let header = if v6 { 40 } else { 20 };
        if v6 {
            let length = u16::from_be_bytes([packet[4], packet[5]]);
            assert_eq!(usize::from(length), packet.len() - 40);
        } else {
            let length = u16::from_be_bytes([packet[2], packet[3]]);
            assert_eq!(usize::from(length), packet.len());
            assert_eq!(fold(sum(&packet[..20], 0)), 0xffff, "IPv4 header checksum");
            let id = u16::from_be_bytes([packet[4], packet[5]]);
            let wanted = 0xfffe_u16.wrapping_add(u16::try_from(index).unwrap());
            assert_eq!(id, wanted);
        }
        let tcp = &packet[header..];
        assert_eq!(u32::from_be_bytes(tcp[4..8].try_into().unwrap()), seq);
        let addresses = if v6 { &packet[8..40] } else { &packet[12..20] };
        let pseudo = sum(addresses, 6 + tcp.len() as u64);
        assert_eq!(fold(sum(tcp, pseudo)), 0xffff, "TCP checksum");
        assert!(tcp.len() >= 20 + options);
    }

    proptest! {
        #[test]
        fn cut_keeps_every_byte(
            v6: bool,
            payload in proptest::collection::vec(any::<u8>(), 1..20_000),
            words in 0_usize..=10,
            mss in 500_u16..1448,
            mtu in 576_u16..1500,
        ) {
            let options = words * 4;
            let frame = super_segment(v6, &payload, options, mss);
            let pieces = cut(&frame, mtu).unwrap();
            let headers = if v6 { 40 } else { 20 } + 20 + options;
            let mut rebuilt = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(&piece[..VNET], &[0_u8; VNET][..]);
                let packet = &piece[VNET..];
                prop_assert!(packet.len() <= usize::from(mtu));
                let seq = 0xffff_ff00_u32.wrapping_add(u32::try_from(rebuilt.len()).unwrap());
                check(packet, v6, options, seq, index);
                let flags = packet[headers - options - 20 + FLAGS];
                prop_assert_eq!(flags & (FIN | PSH) != 0, index + 1 == pieces.len());
                prop_assert_eq!(flags & CWR != 0, index == 0);
                rebuilt.extend_from_slice(&packet[headers..]);
            }
            prop_assert_eq!(rebuilt, payload);
        }

        #[test]
        fn nonsense_does_not_panic(frame in proptest::collection::vec(any::<u8>(), 0..200), mtu: u16) {
            cut(&frame, mtu);
        }
    }

    #[test]
    fn udp_checksum_is_finished() {
        let mut frame = vec![0_u8; VNET + 20 + 8 + 3];
        frame[0] = 1;
        frame[6..8].copy_from_slice(&20_u16.to_ne_bytes());
        frame[8..10].copy_from_slice(&6_u16.to_ne_bytes());
        let pseudo = 0x1234_u16;
        frame[VNET + 26..VNET + 28].copy_from_slice(&pseudo.to_be_bytes());
        frame[VNET + 28..].copy_from_slice(&[1, 2, 3]);
        let out = cut(&frame, 1500).unwrap().remove(0);
        assert_eq!(out[0], 0);
        let total = sum(&out[VNET + 20..], u64::from(pseudo));
        assert_eq!(fold(total), 0xffff);
    }
}

//! Reads TCP packets with timestamps from what tcpdump wrote with nanoseconds.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

const NANOSECONDS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET_HEADER: usize = 14;

/// A TCP packet as an interface saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// When, in nanoseconds.
    pub(crate) time: i64,
    /// Ports, from and to.
    pub(crate) ports: (u16, u16),
    /// First sequence number.
    pub(crate) seq: u32,
    /// Acknowledgement number.
    pub(crate) ack: u32,
    /// Whether it opens a connection.
    pub(crate) syn: bool,
    /// Whether it acknowledges.
    pub(crate) acks: bool,
    /// Sequence numbers it takes up: payload, SYN and FIN.
    pub(crate) length: u32,
    /// Payload alone.
    pub(crate) payload: u32,
    /// Its timestamp option.
    pub(crate) tsval: Option<u32>,
}

impl Packet {
    /// Sequence number right after it.
    pub(crate) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.length)
    }
}

/// Reads a capture file; a record cut off at its end is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Packet>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    ensure!(
        word(0) == Some(NANOSECONDS),
        "{} is not a little-endian capture with nanoseconds",
        path.display()
    );
    let skipped = if word(20) == Some(ETHERNET) { ETHERNET_HEADER } else { 0 };
    let mut packets = Vec::new();
    let mut at = FILE_HEADER;
    while let (Some(seconds), Some(fraction), Some(length)) = (word(at), word(at + 4), word(at + 8))
    {
        let start = at + RECORD_HEADER;
        at = start + length as usize;
        let Some(frame) = bytes.get(start..at) else {
            break;
        };
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(fraction);
        packets.extend(frame.get(skipped..).and_then(|ip| parse(ip, time)));
    }
    Ok(packets)
}

/// Reads an IP packet without extension headers that carries TCP.
fn parse(ip: &[u8], time: i64) -> Option<Packet> {
    let half = |b: &[u8], at: usize| Some(u16::from_be_bytes([*b.get(at)?, *b.get(at + 1)?]));
    let (header, total) = match ip.first()? >> 4 {
        4 => (usize::from(ip[0] & 15) * 4, usize::from(half(ip, 2)?)),
        6 => (40, 40 + usize::from(half(ip, 4)?)),
        _ => return None,
    };
    let tcp = ip.get(header..)?;
    let word = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
    let data = usize::from(*tcp.get(12)? >> 4) * 4;
    let flags = *tcp.get(13)?;
    let payload = u32::try_from(total.checked_sub(header + data)?).ok()?;
    let (fin, syn) = (flags & 1 != 0, flags & 2 != 0);
    Some(Packet {
        time,
        ports: (half(tcp, 0)?, half(tcp, 2)?),
        seq: word(4)?,
        ack: word(8)?,
        syn,
        acks: flags & 16 != 0,
        length: payload + u32::from(fin) + u32::from(syn),
        payload,
        tsval: timestamp(tcp.get(20..data)?),
    })
}

fn timestamp(mut options: &[u8]) -> Option<u32> {
    loop {
        match options {
            [8, 10, value @ ..] => {
                return Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?));
            }
            [1, rest @ ..] => options = rest,
            [_, length, ..] if *length >= 2 => options = options.get(usize::from(*length)..)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_options() {
        let mut ip = vec![0_u8; 20 + 32 + 5];
        ip[0] = 0x45;
        ip[3] = 57;
        ip[20 + 4 + 3] = 7;
        ip[20 + 12] = 8 << 4;
        ip[20 + 13] = 0x11;
        ip[40..52].copy_from_slice(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
        let packet = parse(&ip, 3).unwrap();
        assert_eq!((packet.end(), packet.payload, packet.tsval), (13, 5, Some(9)));
        assert!(packet.acks && !packet.syn);
        assert_eq!(parse(&ip[..30], 3), None);
    }
}

//! What is read from and written to a TUN device: a virtio-net header and an IP packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the virtio-net header.
pub(crate) const VNET: usize = 10;
/// Room for the largest thing a TUN device hands over.
pub(crate) const LARGEST: usize = VNET + 65_536;

/// The header needs a checksum that the next one will finish.
const NEEDS_CSUM: u8 = 1;

/// The fields of a virtio-net header, in host order as TUN uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct VnetHeader {
    /// `NEEDS_CSUM` or nothing.
    pub(crate) flags: u8,
    /// 0 none, 1 TCPv4, 3 UDP, 4 TCPv6; 0x80 marks ECN.
    pub(crate) gso_type: u8,
    /// Payload bytes of one wire segment.
    pub(crate) gso_size: u16,
    /// Where the checksummed part starts.
    pub(crate) csum_start: u16,
    /// Where the checksum is, from there.
    pub(crate) csum_offset: u16,
}

impl VnetHeader {
    /// Reads the header; `None` when `frame` is too short.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let h = frame.get(..VNET)?;
        Some(Self {
            flags: h[0],
            gso_type: h[1],
            gso_size: u16::from_ne_bytes([h[4], h[5]]),
            csum_start: u16::from_ne_bytes([h[6], h[7]]),
            csum_offset: u16::from_ne_bytes([h[8], h[9]]),
        })
    }

    /// Whether the checksum is still to be finished.
    pub(crate) fn needs_checksum(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }
}

/// Destination address of an IP packet; `None` when it is not one.
pub(crate) fn destination(ip: &[u8]) -> Option<IpAddr> {
    match ip.first()? >> 4 {
        4 => {
            let bytes: [u8; 4] = ip.get(16..20)?.try_into().ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(bytes)))
        }
        6 => {
            let bytes: [u8; 16] = ip.get(24..40)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let mut v4 = [0_u8; 20];
        v4[0] = 0x45;
        v4[16..20].copy_from_slice(&[10, 1, 2, 3]);
        assert_eq!(destination(&v4), Some([10, 1, 2, 3].into()));
        assert_eq!(destination(&v4[..19]), None);
        let mut v6 = [0_u8; 40];
        v6[0] = 0x60;
        v6[39] = 1;
        assert_eq!(destination(&v6), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x50; 40]), None);
    }
}

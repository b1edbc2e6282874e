//! TCP packets made to order.

use etherparse::{PacketBuilder, TcpOptionElement as Opt};

/// One TCP segment between the pod (`10.1.0.2`) and its far peer (`10.2.0.2`), or their IPv6 like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Sent by the local pod.
    pub(crate) outbound: bool,
    pub(crate) ipv6: bool,
    pub(crate) seq: u32,
    /// 0 for none.
    pub(crate) ack: u32,
    pub(crate) tsval: u32,
    pub(crate) tsecr: u32,
    pub(crate) payload: usize,
    pub(crate) syn: bool,
}

/// A request of 100 bytes; `ack` leaves everything before it answered.
pub(crate) const DATA: Segment = Segment {
    outbound: true,
    ipv6: false,
    seq: 1_000,
    ack: 500,
    tsval: 10,
    tsecr: 5,
    payload: 100,
    syn: false,
};

impl Segment {
    /// Where its data ends.
    pub(crate) fn end(self) -> u32 {
        let payload = u32::try_from(self.payload).expect("a packet is small");
        self.seq.wrapping_add(payload).wrapping_add(u32::from(self.syn))
    }

    /// The first packet that answers it, without payload.
    pub(crate) fn answered(self) -> Self {
        Self {
            outbound: !self.outbound,
            seq: self.ack,
            ack: self.end(),
            tsval: 900,
            tsecr: self.tsval,
            payload: 0,
            ..self
        }
    }

    /// The bytes, from the Ethernet header on.
    pub(crate) fn frame(self) -> Vec<u8> {
        let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let (near, far) = (1, 2);
        let (from, to) = if self.outbound { (near, far) } else { (far, near) };
        let step = if self.ipv6 {
            let address = |net| [0xfd, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
            link.ipv6(address(from), address(to), 64)
        } else {
            link.ipv4([10, from, 0, 2], [10, to, 0, 2], 64)
        };
        let (source, destination) = if self.outbound { (40_000, 80) } else { (80, 40_000) };
        let mut step = step.tcp(source, destination, self.seq, 500);
        if self.syn {
            step = step.syn();
        }
        if self.ack != 0 {
            step = step.ack(self.ack);
        }
        let options = [Opt::Noop, Opt::Noop, Opt::Timestamp(self.tsval, self.tsecr)];
        let mut bytes = Vec::new();
        step.options(&options)
            .expect("12 bytes of options fit")
            .write(&mut bytes, &vec![0x5a; self.payload])
            .expect("writing to memory");
        bytes
    }
}

/// A UDP packet between the same addresses.
pub(crate) fn udp() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 1, 0, 2], [10, 2, 0, 2], 64)
        .udp(40_000, 53)
        .write(&mut bytes, &[0; 100])
        .expect("writing to memory");
    bytes
}

/// In UDP to `port`, behind a tunnel header of `head`.
pub(crate) fn in_udp(port: u16, head: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64)
        .udp(50_000, port)
        .write(&mut bytes, &[head, payload].concat())
        .expect("writing to memory");
    bytes
}

/// Port of the VXLAN tunnels here.
pub(crate) const VXLAN_PORT: u16 = 8472;

/// A frame in VXLAN.
pub(crate) fn vxlan(frame: &[u8]) -> Vec<u8> {
    in_udp(VXLAN_PORT, &[8, 0, 0, 0, 0, 16, 0, 0], frame)
}

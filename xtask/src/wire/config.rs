//! What the lab tells the wire.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Everything the wire process needs, handed over as a JSON file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct WireConfig {
    /// Written once all devices are attached.
    pub(crate) ready_file: PathBuf,
    /// Rewritten every second and at the end.
    pub(crate) report_file: PathBuf,
    /// Seed of every random choice.
    pub(crate) seed: u64,
    /// Cut super-segments to this many bytes of IP packet; `None` carries them whole.
    pub(crate) mtu: Option<u16>,
    /// What the WAN does to packets, each direction by itself.
    pub(crate) wan: Impairment,
    /// Uplinks joined by the WAN.
    pub(crate) uplinks: Vec<Uplink>,
    /// Delays inside nodes.
    pub(crate) detours: Vec<Detour>,
}

/// What one direction of the WAN does to packets.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Impairment {
    /// Fixed delay of one direction.
    pub(crate) delay_ns: u64,
    /// The delay varies by up to this much either way; order is kept.
    pub(crate) jitter_ns: u64,
    /// Share of packets lost.
    pub(crate) loss: f64,
    /// Share of packets held back so that later ones overtake them.
    pub(crate) reorder: f64,
    /// Bits per second; `None` is unlimited.
    pub(crate) rate: Option<u64>,
}

/// A node's uplink: a TUN device in its namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Uplink {
    /// Namespace of the node.
    pub(crate) netns: String,
    /// Name of the device there.
    pub(crate) device: String,
    /// Destinations reached through it.
    pub(crate) prefixes: Vec<Prefix>,
    /// Keep a standing queue before it that lasts this long.
    pub(crate) queue: Option<StandingQueue>,
}

/// A queue that is kept occupied so that it always lasts the same time.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct StandingQueue {
    /// How long a packet waits in it.
    pub(crate) delay_ns: u64,
    /// Bits per second at which the qdisc lets packets go.
    pub(crate) rate: u64,
}

/// A TUN device that packets inside a node are routed through, to come back later.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Detour {
    /// Namespace of the node.
    pub(crate) netns: String,
    /// Name of the device there.
    pub(crate) device: String,
    /// How much later packets come back.
    pub(crate) delay_ns: u64,
}

/// An address range.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Prefix {
    /// First address.
    pub(crate) address: IpAddr,
    /// Number of leading bits that count.
    pub(crate) bits: u8,
}

impl Prefix {
    /// One address.
    pub(crate) fn host(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether `address` lies in the range.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u32::from(own) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = u128::from(own) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

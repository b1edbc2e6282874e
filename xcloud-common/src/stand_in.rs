//! What the lab tells its stand-in for a CNI; no part of the agent knows it.

/// A destination that is no pod of the node: it is reached by [`Hop::away`].
pub const AWAY: u32 = 0;

/// Where packets that come in by one interface go next. Zero: there is no such way.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Interface for packets to other nodes.
    pub away: u32,
    /// Interface for packets to pods of the node, before they go into the pod.
    pub detour: u32,
    /// 1 when packets of this interface have no Ethernet header.
    pub bare: u32,
}

#[cfg(not(target_arch = "bpf"))]
// SAFETY: repr(C), only u32 fields, so no padding; any bit pattern is valid.
unsafe impl aya::Pod for Hop {}

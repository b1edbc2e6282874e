//! What the kernel programs are told.

/// Most uplinks one node may have.
pub const MAX_UPLINKS: usize = 16;

/// Most ports of one kind of tunnel.
pub const MAX_TUNNEL_PORTS: usize = 4;

/// UDP ports at which this node's tunnels receive; 0 where there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// Of VXLAN devices.
    pub vxlan: [u16; MAX_TUNNEL_PORTS],
    /// Of Geneve devices.
    pub geneve: [u16; MAX_TUNNEL_PORTS],
}

/// The only element of the `CONFIG` array; user space replaces it whole while programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// One exchange in `2^shift` is selected.
    pub shift: u32,
    /// Inode number of the network namespace whose uplinks are watched; tracepoints see all namespaces.
    pub netns: u32,
    /// The tool's own gRPC port, left out; 0 for none.
    pub own_port: u32,
    /// Uplinks in use.
    pub uplink_count: u32,
    /// Interface indexes of the uplinks.
    pub uplinks: [u32; MAX_UPLINKS],
    /// Tunnels whose packets are looked into at the uplinks.
    pub tunnels: Tunnels,
}

impl Config {
    /// Before user space has said anything: every exchange is selected, no uplink is watched.
    pub const NONE: Self = Self {
        shift: 0,
        netns: 0,
        own_port: 0,
        uplink_count: 0,
        uplinks: [0; MAX_UPLINKS],
        tunnels: Tunnels { vxlan: [0; MAX_TUNNEL_PORTS], geneve: [0; MAX_TUNNEL_PORTS] },
    };
}

#[cfg(not(target_arch = "bpf"))]
// SAFETY: repr(C), u32 fields and an even number of u16 after them, so no padding; any bit pattern is valid.
unsafe impl aya::Pod for Config {}

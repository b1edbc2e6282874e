//! What the kernel programs are told.

/// Most uplinks one node may have.
pub const MAX_UPLINKS: usize = 16;

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
}

#[cfg(not(target_arch = "bpf"))]
// SAFETY: repr(C), only u32 fields, so no padding; any bit pattern is valid.
unsafe impl aya::Pod for Config {}

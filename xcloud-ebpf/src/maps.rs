//! Every map, its size and why that size. 17 MiB in all, allocated once.

use core::ptr::NonNull;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use xcloud_common::{
    config::Config,
    counter::{COUNTERS, Counter},
    slot::{SLOTS, Slot},
};

/// Exchanges whose data a local pod sent: 65 536 slots of 128 bytes, six seconds of the default rate.
#[map]
static NEAR: Array<Slot> = Array::with_max_entries(SLOTS, 0);

/// Exchanges whose data came to a local pod.
#[map]
static FAR: Array<Slot> = Array::with_max_entries(SLOTS, 0);

/// Complete exchanges: 1 MiB holds 9 000, most of a second at the default rate; user space looks every 10 ms.
#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What user space asks for.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// What happened, by [`Counter`].
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// Room for the headers of a packet that cannot be read in place.
#[map]
static SCRATCH: PerCpuArray<[u8; SCRATCH_BYTES]> = PerCpuArray::with_max_entries(1, 0);

/// Enough for IPv6 with some extension headers and a TCP header with all options.
pub(crate) const SCRATCH_BYTES: usize = 192;

/// Offsets into kernel structures, which user space takes from the running kernel's BTF.
macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        #[unsafe(no_mangle)]
        pub(crate) static $name: Global<u32> = Global::new(0);)*
    };
}

offsets! {
    /// `sk_buff.head`.
    SKB_HEAD;
    /// `sk_buff.network_header`, 16 bits.
    SKB_NETWORK_HEADER;
    /// `sk_buff.tail`, 32 bits on 64-bit machines.
    SKB_TAIL;
    /// `sk_buff.len`, 32 bits.
    SKB_LEN;
    /// `net_device.ifindex`, 32 bits.
    DEV_IFINDEX;
    /// `net_device.nd_net.net`.
    DEV_NET;
    /// `net.ns.inum`, 32 bits.
    NET_INUM;
}

/// The present configuration.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    // SAFETY: maps live as long as the program; user space replaces the element by one memcpy of plain words.
    CONFIG.get_ptr(0).map(|config| unsafe { &*config })
}

/// The slot of the exchange with this hash.
#[inline(always)]
pub(crate) fn near(hash: u32) -> Option<NonNull<Slot>> {
    NEAR.get_ptr_mut(hash & (SLOTS - 1)).and_then(NonNull::new)
}

/// Likewise for data that came in.
#[inline(always)]
pub(crate) fn far(hash: u32) -> Option<NonNull<Slot>> {
    FAR.get_ptr_mut(hash & (SLOTS - 1)).and_then(NonNull::new)
}

/// The ring.
#[inline(always)]
pub(crate) fn samples() -> &'static RingBuf {
    &SAMPLES
}

/// Adds to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter, by: u64) {
    if let Some(value) = COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: the element is this CPU's own, and a program is not preempted by another on the same CPU's element
        // often enough to matter to more than one count; see docs/limits.md.
        unsafe { *value += by }
    }
}

/// This CPU's room for headers.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut [u8; SCRATCH_BYTES]> {
    SCRATCH.get_ptr_mut(0)
}

//! Every map, its size and why that size. Under 8 MiB in all, allocated once.

use core::ptr::NonNull;

use aya_ebpf::{
    Global,
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use xcloud_common::{
    config::Config,
    counter::{Counter, Counters},
    egress::{BANKS, Bank},
    record::RING_BYTES,
    table::Table,
};
use xcloud_ebpf::exchange::SlotRef;

use crate::carried::{Received, Sent};

/// `BPF_F_MMAPABLE`: such an array's values start at a page, so that a slot lies in one cache line, not across two.
const PAGE_ALIGNED: u32 = 1 << 10;

/// Exchanges whose data a local pod sent: 32 768 slots, three seconds of the default rate.
#[map]
static NEAR: Array<Table> = Array::with_max_entries(1, PAGE_ALIGNED);

/// Exchanges whose data came to a local pod.
#[map]
static FAR: Array<Table> = Array::with_max_entries(1, PAGE_ALIGNED);

/// Complete exchanges; user space looks every 10 ms.
#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// What user space asks for.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// What happened.
#[map]
static COUNTS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Selected packets that left a pod, by their buffer's address; used once carriers are seen that hide what they carry.
#[map]
static SENT: Array<Sent> = Array::with_max_entries(BUFFERS, 0);

/// Carriers that came in, likewise.
#[map]
static RECEIVED: Array<Received> = Array::with_max_entries(BUFFERS, 0);

/// Whether a carrier was seen that hides what it carries.
#[map]
static OPAQUE: Array<u32> = Array::with_max_entries(1, 0);

/// More than are on their way through a node at a time.
const BUFFERS: u32 = 1 << 12;

/// What leaves by the uplinks: [`BANKS`] of each CPU, one after the other; one element unless it is asked for. Mapped
/// into user space, which so reads and clears it without a system call.
#[map]
static EGRESS: Array<Bank> = Array::with_max_entries(1, PAGE_ALIGNED);

/// Which bank of each CPU is added to.
#[map]
static EGRESS_BANK: Array<u32> = Array::with_max_entries(1, 0);

/// Where a buffer's address becomes a number, which the verifier allows only by way of memory.
#[map]
static ADDRESS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

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
    /// `sk_buff.dev`.
    SKB_DEV;
    /// `sk_buff.network_header`, 16 bits.
    SKB_NETWORK_HEADER;
    /// `sk_buff.transport_header`, 16 bits.
    SKB_TRANSPORT_HEADER;
    /// `sk_buff.tail`, 32 bits on 64-bit machines.
    SKB_TAIL;
    /// `sk_buff.len`, 32 bits.
    SKB_LEN;
    /// `sk_buff.hash`, 32 bits.
    SKB_HASH;
    /// `sk_buff.next`.
    SKB_NEXT;
    /// `sk_buff.data`.
    SKB_DATA;
    /// `sk_buff.end`, 32 bits on 64-bit machines.
    SKB_END;
    /// `sk_buff.inner_transport_header`, 16 bits.
    SKB_INNER_TRANSPORT_HEADER;
    /// `skb_shared_info.gso_segs`, 16 bits.
    SHARED_GSO_SEGMENTS;
    /// `skb_shared_info.gso_type`, 32 bits.
    SHARED_GSO_TYPE;
    /// `net_device.ifindex`, 32 bits.
    DEV_IFINDEX;
    /// `net_device.nd_net.net`.
    DEV_NET;
    /// `net.ns.inum`, 32 bits.
    NET_INUM;
    /// `sock.__sk_common.skc_net.net`.
    SOCK_NET;
}

/// 1 when user space asks for the account of what leaves. A constant for the kernel, which drops what it rules out.
#[unsafe(no_mangle)]
static ACCOUNT: Global<u32> = Global::new(0);

/// Whether what leaves is accounted for.
#[inline(always)]
pub(crate) fn accounts() -> bool {
    ACCOUNT.load() != 0
}

/// The bank of this CPU to add to.
#[inline(always)]
pub(crate) fn egress() -> Option<*mut Bank> {
    // SAFETY: the helper has no preconditions; the word is the map's.
    let (cpu, bank) =
        unsafe { (bpf_get_smp_processor_id(), EGRESS_BANK.get_ptr(0)?.read_volatile()) };
    EGRESS.get_ptr_mut(cpu * BANKS + (bank & (BANKS - 1)))
}

/// The present configuration.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    // SAFETY: maps live as long as the program; user space replaces the element by one memcpy of plain words.
    CONFIG.get_ptr(0).map(|config| unsafe { &*config })
}

/// The slot of the exchange with this hash.
#[inline(always)]
pub(crate) fn near(hash: u32) -> Option<SlotRef> {
    slot(&NEAR, hash)
}

/// Likewise for data that came in.
#[inline(always)]
pub(crate) fn far(hash: u32) -> Option<SlotRef> {
    slot(&FAR, hash)
}

#[inline(always)]
fn slot(table: &Array<Table>, hash: u32) -> Option<SlotRef> {
    let table = NonNull::new(table.get_ptr_mut(0)?)?;
    // SAFETY: a map's value lives as long as the program.
    Some(unsafe { SlotRef::new(table, hash) })
}

/// The ring.
#[inline(always)]
pub(crate) fn samples() -> &'static RingBuf {
    &SAMPLES
}

/// Adds to counters of this CPU.
#[inline(always)]
pub(crate) fn count<const N: usize>(counters: [Option<Counter>; N], by: u64) {
    if counters.iter().all(Option::is_none) {
        return;
    }
    let Some(all) = COUNTS.get_ptr_mut(0) else { return };
    for counter in counters.into_iter().flatten() {
        // SAFETY: the value is this CPU's own, and a program is not preempted by another on the same CPU's value often
        // enough to matter to more than one count; see docs/limits.md.
        unsafe { (*all)[counter as usize & 15] += by }
    }
}

/// Where a packet that left a pod is kept.
#[inline(always)]
pub(crate) fn sent(hash: u32) -> Option<*mut Sent> {
    SENT.get_ptr_mut(hash & (BUFFERS - 1))
}

/// Where a carrier that came in is kept.
#[inline(always)]
pub(crate) fn received(hash: u32) -> Option<*mut Received> {
    RECEIVED.get_ptr_mut(hash & (BUFFERS - 1))
}

/// Whether carriers are about that hide what they carry.
#[inline(always)]
pub(crate) fn is_opaque() -> bool {
    // SAFETY: one word of a map.
    OPAQUE.get_ptr(0).is_some_and(|seen| unsafe { seen.read_volatile() } != 0)
}

/// One was seen.
#[inline(always)]
pub(crate) fn say_opaque() {
    if !is_opaque()
        && let Some(seen) = OPAQUE.get_ptr_mut(0)
    {
        // SAFETY: as above.
        unsafe { seen.write_volatile(1) }
    }
}

/// A kernel address as a number.
#[inline(always)]
pub(crate) fn number(address: *const u8) -> Option<u64> {
    let cell = ADDRESS.get_ptr_mut(0)?;
    // SAFETY: this CPU's own cell.
    unsafe {
        cell.cast::<*const u8>().write_volatile(address);
        Some(cell.read_volatile())
    }
}

/// This CPU's room for headers.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut [u8; SCRATCH_BYTES]> {
    SCRATCH.get_ptr_mut(0)
}

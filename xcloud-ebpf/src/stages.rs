//! The opt-in stage profile: probes on functions of the network stack tell where a selected packet of ours spends its
//! time between pod and uplink. Nothing of this is loaded unless asked for.
//!
//! The first stage a packet enters on a CPU is where it is recognised; what runs inside is known by the address of the
//! `sk_buff`. Forwarding runs with soft interrupts off, so nothing else gets in between; on a kernel with preemptible
//! soft interrupts (`PREEMPT_RT`) figures can be wrong.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray},
};
use xcloud_common::{
    identity,
    slot::SLOTS,
    stage::{Cell, Current, Packet, Stage},
};
use xcloud_ebpf::{
    exchange::{self, Seen, SlotRef},
    packet::{Headers, Link},
};

use crate::{
    access::read,
    access::{self, Copied, opaque},
    maps,
};

/// `BPF_F_MMAPABLE`: user space looks a cell up without a system call.
const MAPPED: u32 = 1 << 10;

/// Stages of the data in `NEAR`, slot by slot: 1.25 MiB, one element unless the profile is asked for.
#[map]
static STAGES_NEAR: Array<Cell> = Array::with_max_entries(SLOTS, MAPPED);

/// Stages of the data in `FAR`.
#[map]
static STAGES_FAR: Array<Cell> = Array::with_max_entries(SLOTS, MAPPED);

/// What each CPU is at.
#[map]
static STAGES_CURRENT: PerCpuArray<Current> = PerCpuArray::with_max_entries(1, 0);

/// Packets between a WireGuard device and its socket, by the address of their `sk_buff`: with a worker in between, on
/// another CPU. The least recently used go first, so that dropped packets do not fill it.
#[map]
static STAGES_SEALING: LruHashMap<u64, Sealing> = LruHashMap::with_max_entries(4096, 0);

/// A packet that is being encrypted.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sealing {
    packet: Packet,
    since_ns: u64,
}

/// A function that is a stage is entered with this packet.
#[inline(always)]
pub(crate) fn enter(skb: *const u8, stage: Stage) {
    let Some(current) = current() else { return };
    if current.is_in(skb as u64) {
        let spent = current.enter(stage, now_ns());
        return credit(&current.packet, spent);
    }
    if let Some(packet) = find(skb) {
        current.begin(skb as u64, packet, stage, now_ns());
    }
}

/// The same for a function that no packet is recognised at, since it runs only inside another stage.
#[inline(always)]
pub(crate) fn enter_inner(skb: *const u8, stage: Stage) {
    let Some(current) = current() else { return };
    if current.is_in(skb as u64) {
        let spent = current.enter(stage, now_ns());
        credit(&current.packet, spent);
    }
}

/// It returns.
#[inline(always)]
pub(crate) fn leave(stage: Stage) {
    let Some(current) = current() else { return };
    if current.innermost_is(stage) {
        let spent = current.leave(stage, now_ns());
        credit(&current.packet, spent);
    }
}

/// The packet is handed to the next device, so its stages end here, however long the functions go on.
#[inline(always)]
pub(crate) fn hand_over(skb: *const u8) {
    let Some(current) = current() else { return };
    if current.is_in(skb as u64) {
        let spent = current.end(now_ns());
        credit(&current.packet, spent);
    }
}

/// A WireGuard device is given this packet.
#[inline(always)]
pub(crate) fn seal(skb: *const u8) {
    if let Some(packet) = find(skb) {
        let sealing = Sealing { packet, since_ns: now_ns() };
        // Full or not, it makes room.
        let _ = STAGES_SEALING.insert(skb as u64, sealing, 0);
    }
}

/// Its socket sends it: encrypted, and not yet encapsulated.
#[inline(always)]
pub(crate) fn sealed(skb: *const u8) {
    let address = skb as u64;
    // SAFETY: only this function removes the element, and each packet is sent once.
    let Some(sealing) = (unsafe { STAGES_SEALING.get(address) }).copied() else { return };
    let _ = STAGES_SEALING.remove(address);
    let now_ns = now_ns();
    let spent = now_ns.saturating_sub(sealing.since_ns);
    credit(&sealing.packet, Some((Stage::Encryption, spent)));
    if let Some(current) = current() {
        current.begin(address, sealing.packet, Stage::Encapsulation, now_ns);
    }
}

#[inline(always)]
fn credit(packet: &Packet, spent: Option<(Stage, u64)>) {
    let Some((stage, ns)) = spent else { return };
    let cells = if packet.flags & Packet::FAR == 0 { &STAGES_NEAR } else { &STAGES_FAR };
    if let Some(cell) = cells.get_ptr_mut(packet.index) {
        // SAFETY: a value of a map that lives as long as the program; one packet's stages follow one another.
        unsafe { (*cell).add(packet.key, opaque(packet.counted_as(stage) as usize), ns) }
    }
}

/// The packet, if it is TCP data in the agent's namespace that is selected and whose exchange has a slot.
#[inline(always)]
fn find(skb: *const u8) -> Option<Packet> {
    let config = maps::config();
    // SAFETY: the helper checks every address.
    let (address, linear, len) = unsafe {
        let dev = read::<u64>(skb, maps::SKB_DEV.load()).ok()? as *const u8;
        let net = read::<u64>(dev, maps::DEV_NET.load()).ok()? as *const u8;
        if read::<u32>(net, maps::NET_INUM.load()).ok()? != config.netns {
            return None;
        }
        let head = read::<u64>(skb, maps::SKB_HEAD.load()).ok()?;
        let network = u32::from(read::<u16>(skb, maps::SKB_NETWORK_HEADER.load()).ok()?);
        let tail = read::<u32>(skb, maps::SKB_TAIL.load()).ok()?;
        let len = read::<u32>(skb, maps::SKB_LEN.load()).ok()?;
        let linear = tail.wrapping_sub(network).min(maps::SCRATCH_BYTES as u32);
        (head + u64::from(network), linear, len)
    };
    let bytes = Copied::new(access::copy_kernel(address, linear)?)?;
    let headers = Headers::parse(&bytes, Link::Ip, len).ok()?;
    let hash = identity::hash(headers.end_seq);
    if !headers.is_data() || !identity::selected(hash, config.shift) {
        return None;
    }
    let near = maps::near(hash).of_its_hash().get();
    let far = maps::far(hash).of_its_hash().get();
    if near.is_none() && far.is_none() {
        return None;
    }
    let ip = headers.ip_header(&bytes)?;
    let facts = headers.facts(&bytes, &ip)?;
    let seen = Seen { headers, facts, now_ns: 0, ifindex: 0 };
    let index = hash & (SLOTS - 1);
    owner(near, &seen, index, 0).or_else(|| owner(far, &seen, index, Packet::FAR))
}

#[inline(always)]
fn owner(slot: Option<SlotRef>, seen: &Seen, index: u32, flags: u32) -> Option<Packet> {
    let (key, passed) = exchange::data_of(slot?, seen)?;
    match (flags & Packet::FAR != 0, passed) {
        // It is in the pod already: what happens there is no part of the node.
        (true, true) => None,
        (false, true) => Some(Packet { key, index, flags: flags | Packet::AFTER_UPLINK }),
        (_, false) => Some(Packet { key, index, flags }),
    }
}

#[inline(always)]
fn current() -> Option<&'static mut Current> {
    // SAFETY: this CPU's own, and no other probe runs on it meanwhile: the kernel does not nest them.
    STAGES_CURRENT.get_ptr_mut(0).map(|current| unsafe { &mut *current })
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

//! Packets that a carrier hides: WireGuard and IPsec encrypt what they carry, so at the uplink nothing in it tells an
//! exchange. Within a node the kernel's own `sk_buff` does: the one that left a pod's interface is the one handed to the
//! uplink's driver, and the one the uplink received is the one that enters the pod. Its address names it.
//!
//! Addresses are used again, so a match also asks for a length that fits and a short time in between, and for the same
//! `skb->hash` where that survives: through encryption, and through IPsec's decryption up to the uplink's hook, which the
//! packet inside passes too. WireGuard clears it when it decrypts, so where the pod's hook is the first to see the packet
//! inside, the hash says nothing. Super-segments are left out: encryption cuts them into packets of other addresses.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use xcloud_common::{config::Config, counter::Counter, identity};
use xcloud_ebpf::{buffer::Buffer, exchange::Seen};

use crate::{
    hook::{self, Hook},
    maps,
};

/// Longest way through a node that is looked for.
const LONGEST_NS: u64 = 250_000_000;

/// A selected packet on its way from a pod to the uplink.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    buffer: Buffer,
    seen: Seen,
    addresses: [u32; 8],
}

/// An encrypted packet on its way from the uplink.
#[derive(Clone, Copy)]
pub(crate) struct Received {
    buffer: Buffer,
    at_ns: u64,
}

/// Keeps what left a pod, in case a carrier hides it.
#[inline(always)]
pub(crate) fn sent(buffer: Option<Buffer>, seen: &Seen, addresses: impl Fn(&mut [u32; 8])) {
    let Some(buffer) = buffer else { return };
    if let Some(slot) = maps::sent(index(buffer.address)) {
        // SAFETY: the value is the map's; a reader on another CPU checks what it finds.
        let slot = unsafe { &mut *slot };
        addresses(&mut slot.addresses);
        slot.seen = *seen;
        slot.buffer = buffer;
    }
}

/// Keeps when a carrier came in.
#[inline(always)]
fn received(buffer: Buffer) {
    maps::say_opaque();
    if let Some(slot) = maps::received(index(buffer.address)) {
        // SAFETY: as above; the helper has no preconditions.
        unsafe { slot.write(Received { buffer, at_ns: bpf_ktime_get_ns() }) };
    }
}

/// When the carrier of this packet came in, if one did. Its buffer is this packet's now, so that is told once or never.
#[inline(always)]
pub(crate) fn arrival(hook: Hook, buffer: Buffer, now_ns: u64) -> Option<u64> {
    let slot = maps::received(index(buffer.address))?;
    // SAFETY: as above.
    let found = unsafe { slot.read() };
    if found.buffer.address != buffer.address {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*slot).buffer.address = 0 };
    let told = found.buffer.may_carry(&buffer)
        && (hook != Hook::UplinkIn || found.buffer.hash == buffer.hash)
        && now_ns.wrapping_sub(found.at_ns) <= LONGEST_NS;
    told.then_some(found.at_ns)
}

/// A carrier passes an uplink's hook.
#[inline(always)]
pub(crate) fn carrier(hook: Hook, buffer: Buffer, ifindex: u32) {
    if hook == Hook::UplinkIn {
        return received(buffer);
    }
    maps::say_opaque();
    let Some(slot) = maps::sent(index(buffer.address)) else { return };
    // SAFETY: as above.
    let found = unsafe { &mut *slot };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if !buffer.may_carry(&found.buffer)
        || found.buffer.hash != buffer.hash
        || now_ns.wrapping_sub(found.seen.now_ns) > LONGEST_NS
    {
        if hook == Hook::UplinkOut {
            maps::count([Some(Counter::EncryptedUnmatched)], 1);
        }
        return;
    }
    if hook == Hook::UplinkOut {
        found.buffer.address = 0;
    }
    let config = maps::config();
    let seen = Seen { now_ns, ifindex, ..found.seen };
    passed(hook, &seen, &found.addresses, config);
}

#[inline(always)]
fn passed(hook: Hook, seen: &Seen, addresses: &[u32; 8], config: &Config) {
    let (data, answer) = (identity::hash(seen.headers.end_seq), identity::hash(seen.headers.ack));
    if seen.headers.is_data()
        && identity::selected(data, config.shift)
        && let Some(slot) = maps::near(data).of_its_hash().get()
    {
        hook::on_data(hook, slot, seen);
    }
    if seen.headers.is_answer()
        && identity::selected(answer, config.shift)
        && let Some(slot) = maps::far(answer).of_its_hash().get()
    {
        hook::on_answer(&|out| *out = *addresses, hook, slot, seen, config.shift);
    }
}

/// Buffers come from caches of fixed-size objects, so the low bits of their addresses say little.
#[inline(always)]
fn index(address: u64) -> u32 {
    identity::hash((address >> 6) as u32)
}

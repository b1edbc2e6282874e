//! The uplinks' departure, seen where the kernel hands a packet to a driver: by typed or raw tracepoint, or by kprobe.

use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};
use xcloud_common::config::{Config, MAX_UPLINKS};
use xcloud_ebpf::buffer::Buffer;

use crate::{
    access::{self, read},
    hook::{Hook, LOOKS, MALFORMED, OPAQUE, hidden, malformed},
    maps,
};

/// `net_dev_start_xmit` with pointers the verifier knows the type of: plain loads.
#[inline(always)]
pub(crate) fn xmit_typed(ctx: &BtfTracePointContext, look: impl Fn(u32, u32, u32) -> u32) {
    let (skb, dev): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: the verifier checks each load against the kernel's BTF, and faults read as zero.
    unsafe {
        let ifindex = dev.add(maps::DEV_IFINDEX.load() as usize).cast::<u32>().read_volatile();
        let Some(config) = watched(ifindex) else {
            return;
        };
        let net = dev.add(maps::DEV_NET.load() as usize).cast::<*const u8>().read_volatile();
        let inum = net.add(maps::NET_INUM.load() as usize).cast::<u32>().read_volatile();
        if inum != config.netns {
            return;
        }
        let head = skb.add(maps::SKB_HEAD.load() as usize).cast::<u64>().read_volatile();
        let network =
            skb.add(maps::SKB_NETWORK_HEADER.load() as usize).cast::<u16>().read_volatile();
        let tail = skb.add(maps::SKB_TAIL.load() as usize).cast::<u32>().read_volatile();
        let data = skb.add(maps::SKB_DATA.load() as usize).cast::<u64>().read_volatile();
        let len = skb.add(maps::SKB_LEN.load() as usize).cast::<u32>().read_volatile();
        let hash = skb.add(maps::SKB_HASH.load() as usize).cast::<u32>().read_volatile();
        let Some(address) = maps::number(skb) else { return };
        let place = Place { head, network, tail, end: end(head, data, len) };
        xmit(place, Buffer { address, hash, len }, ifindex, look);
    }
}

/// The same through checked reads.
#[inline(always)]
pub(crate) fn xmit_raw(ctx: &RawTracePointContext, look: impl Fn(u32, u32, u32) -> u32) {
    let (skb, dev): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let _ = xmit_read(skb, dev, look);
}

#[inline(always)]
pub(crate) fn xmit_read(
    skb: *const u8,
    dev: *const u8,
    look: impl Fn(u32, u32, u32) -> u32,
) -> Result<(), i32> {
    // SAFETY: the helper checks every address.
    unsafe {
        let ifindex = read::<u32>(dev, maps::DEV_IFINDEX.load())?;
        let Some(config) = watched(ifindex) else {
            return Ok(());
        };
        let net = read::<u64>(dev, maps::DEV_NET.load())? as *const u8;
        if read::<u32>(net, maps::NET_INUM.load())? != config.netns {
            return Ok(());
        }
        let head = read::<u64>(skb, maps::SKB_HEAD.load())?;
        let network = read::<u16>(skb, maps::SKB_NETWORK_HEADER.load())?;
        let tail = read::<u32>(skb, maps::SKB_TAIL.load())?;
        let data = read::<u64>(skb, maps::SKB_DATA.load())?;
        let len = read::<u32>(skb, maps::SKB_LEN.load())?;
        let hash = read::<u32>(skb, maps::SKB_HASH.load())?;
        let place = Place { head, network, tail, end: end(head, data, len) };
        xmit(place, Buffer { address: skb as u64, hash, len }, ifindex, look);
    }
    Ok(())
}

/// The configuration when this interface number is an uplink's.
#[inline(always)]
fn watched(ifindex: u32) -> Option<&'static Config> {
    let config = maps::config();
    let mut index = 0;
    while index < MAX_UPLINKS && (index as u32) < config.uplink_count {
        if config.uplinks[index] == ifindex {
            return Some(config);
        }
        index += 1;
    }
    None
}

/// Where a departing packet lies.
struct Place {
    /// Address of its buffer's memory; the rest counts from there.
    head: u64,
    /// Its IP header.
    network: u16,
    /// End of its linear part.
    tail: u32,
    /// Its own end, were all of it linear.
    end: u32,
}

/// [`Place::end`]; the packet begins at `data`, with its link's header.
#[inline(always)]
fn end(head: u64, data: u64, len: u32) -> u32 {
    (data.wrapping_sub(head) as u32).wrapping_add(len)
}

#[inline(always)]
fn xmit(place: Place, buffer: Buffer, ifindex: u32, look: impl Fn(u32, u32, u32) -> u32) {
    let mut start = u32::from(place.network);
    for _ in 0..LOOKS {
        let linear = place.tail.wrapping_sub(start);
        let Some(copied) = access::copy_kernel(place.head + u64::from(start), linear) else {
            return;
        };
        let len = place.end.wrapping_sub(start);
        match look(copied, len, ifindex) {
            0 => return,
            OPAQUE => return hidden(Hook::UplinkOut, Some(buffer), ifindex),
            MALFORMED => return malformed(len, ifindex),
            inner => start += inner,
        }
    }
}

//! The opt-in account of what leaves by the uplinks: each packet's bytes are added to its sender's and destination's. No
//! look-up by key on the way, no lock: a cell of this CPU's bank, found by a hash, or the uplink's rest.
//!
//! It is kept at TC egress, not at the tracepoint where packets are handed to the driver: that one was seen to pass over
//! some packets of a busy machine, see `docs/hooks.md`.

use aya_ebpf::programs::TcContext;
use xcloud_ebpf::egress::{self, Leaving};

use crate::{
    access::{self, Copied, read},
    maps,
};

/// Bits of `skb_shared_info.gso_type` (`SKB_GSO_*` in the kernel's `skbuff.h`, the same since 4.18).
mod gso {
    /// TCP over IPv4 or IPv6.
    pub(super) const TCP: u32 = 1 | 1 << 4;
    /// In GRE, in IP, in UDP, each with and without checksum: the transport header that is cut is the inner one.
    pub(super) const TUNNEL: u32 = 0x3f << 6;
    /// SCTP.
    pub(super) const SCTP: u32 = 1 << 14;
    /// Datagrams of one size (`UDP_SEGMENT`).
    pub(super) const UDP: u32 = 1 << 17;
}

const UDP_HEADER: u32 = 8;
const SCTP_HEADER: u32 = 12;

/// A buffer about to leave, as far as it says into what it will be cut.
#[derive(Clone, Copy)]
struct Buffer {
    skb: *const u8,
    /// Where its memory starts.
    head: u64,
    /// Where its packet starts.
    data: u64,
    /// Its bytes, from the link's header on.
    len: u32,
}

/// Accounts for a packet at TC egress.
#[inline(always)]
pub(crate) fn add(ctx: &TcContext, ifindex: u32) {
    let skb = ctx.skb.skb.cast::<u8>().cast_const();
    let len = ctx.len();
    // SAFETY: the helper checks every address; a TC program's context is the kernel's sk_buff.
    let (head, data, network, came_in_by, size) = unsafe {
        (
            read::<u64>(skb, maps::SKB_HEAD.load()).unwrap_or(0),
            read::<u64>(skb, maps::SKB_DATA.load()).unwrap_or(0),
            read::<u16>(skb, maps::SKB_NETWORK_HEADER.load()).unwrap_or(0),
            (*ctx.skb.skb).ingress_ifindex,
            (*ctx.skb.skb).gso_size,
        )
    };
    let start = u32::from(network).wrapping_sub(data.wrapping_sub(head) as u32);
    let copied = access::copy_skb(ctx, start).unwrap_or(0);
    let (segments, header) =
        if size == 0 { (1, 0) } else { cut(&Buffer { skb, head, data, len }, size) };
    let cut = u64::from(segments) << 32 | u64::from(header);
    xcloud_account(copied, len, came_in_by, ifindex, cut);
}

/// Into how many packets of `size` bytes of payload the buffer will be cut, and how long the headers of each are.
#[inline(always)]
fn cut(buffer: &Buffer, size: u32) -> (u32, u32) {
    // SAFETY: the helper checks every address.
    unsafe {
        let end = read::<u32>(buffer.skb, maps::SKB_END.load()).unwrap_or(0);
        let shared = (buffer.head + u64::from(end)) as *const u8;
        let kind = read::<u32>(shared, maps::SHARED_GSO_TYPE.load()).unwrap_or(0);
        let told = read::<u16>(shared, maps::SHARED_GSO_SEGMENTS.load()).unwrap_or(0);
        let field = if kind & gso::TUNNEL == 0 {
            maps::SKB_TRANSPORT_HEADER.load()
        } else {
            maps::SKB_INNER_TRANSPORT_HEADER.load()
        };
        let at = buffer.head + u64::from(read::<u16>(buffer.skb, field).unwrap_or(0));
        let transport = if kind & gso::TCP != 0 {
            u32::from(read::<u8>(at as *const u8, 12).unwrap_or(0) >> 4) * 4
        } else if kind & gso::UDP != 0 {
            UDP_HEADER
        } else if kind & gso::SCTP != 0 {
            SCTP_HEADER
        } else {
            0
        };
        let header = (at.wrapping_sub(buffer.data) as u32).wrapping_add(transport);
        // What a guest or a packet socket made comes without a count.
        let counted = buffer.len.saturating_sub(header).wrapping_add(size - 1).checked_div(size);
        (if told == 0 { counted.unwrap_or(1) } else { told.into() }, header)
    }
}

/// A function of its own, and global: the verifier looks at it once, and not once for every way to it. The upper half of
/// `cut` is the number of packets, the lower the length of their headers.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn xcloud_account(copied: u32, len: u32, came_in_by: u32, uplink: u32, cut: u64) -> u32 {
    let config = maps::config();
    let Some(bank) = maps::egress() else { return 0 };
    let Some(bytes) = Copied::new(copied) else { return 0 };
    let (segments, header) = ((cut >> 32) as u32, cut as u32);
    let leaving = Leaving { len, segments, header, came_in_by, uplink };
    let (key, sums) = egress::entry(&bytes, &leaving, &config.tunnels);
    // SAFETY: the map's value; this CPU adds to this bank alone, and user space waits until it no longer does.
    unsafe { (*bank).add(&key, sums) }
    0
}

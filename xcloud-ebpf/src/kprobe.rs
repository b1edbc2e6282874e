//! The uplink's departure where no tracepoint can be had: a kprobe on `dev_hard_start_xmit(first, dev, …)`.

use aya_ebpf::programs::ProbeContext;

use crate::{
    access::read,
    hook::{Hook, look},
    maps,
    xmit::xmit_read,
};

/// Most packets of one hand-over that are looked at. Software segmentation makes 44 of a 64 KiB super-segment at the
/// usual MTU, and the last of them is the one whose end was announced; a queue drains no more at once.
const MAX_LIST: u32 = 64;

/// The function takes a list: what a queue gave out at once, or the pieces of a super-segment.
#[inline(always)]
pub(crate) fn xmit(ctx: &ProbeContext) {
    let (Some(mut skb), Some(dev)) = (ctx.arg::<*const u8>(0), ctx.arg::<*const u8>(1)) else {
        return;
    };
    for _ in 0..MAX_LIST {
        xcloud_xmit_one(skb as u64, dev as u64);
        // SAFETY: the helper checks the address.
        match unsafe { read::<u64>(skb, maps::SKB_NEXT.load()) } {
            Ok(next) if next != 0 => skb = next as *const u8,
            _ => return,
        }
    }
}

/// A function of its own, and global: the verifier looks at it once instead of once for each place in the list.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn xcloud_xmit_one(skb: u64, dev: u64) -> i32 {
    let look = |copied, len, ifindex| look(Hook::UplinkOut, copied, len, ifindex);
    match xmit_read(skb as *const u8, dev as *const u8, look) {
        Ok(()) => 0,
        Err(error) => error,
    }
}

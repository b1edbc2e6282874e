//! `P_in` of pods whose packets pass no interface that can be hooked: at their TCP sockets, by the kernel's tracepoint
//! `tcp_probe(sk, skb)` in `tcp_rcv_established`. It is on only while there is such a pod, and sees every connection of
//! the node; those of the node itself are left out.

use aya_ebpf::{macros::map, maps::PerCpuArray, programs::RawTracePointContext};

use crate::{
    access::{self, Copied, read},
    hook,
    maps::{self, SCRATCH_BYTES},
};

/// Where a packet's headers are looked at, apart from the other hooks' room: a socket that was busy handles packets with
/// soft interrupts on.
#[map]
static RECEIVING: PerCpuArray<Receiving> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
struct Receiving {
    /// A packet is being looked at; one that comes in between is left out.
    busy: u64,
    headers: [u8; SCRATCH_BYTES],
}

#[inline(always)]
pub(crate) fn receive(ctx: &RawTracePointContext) {
    let (sk, skb): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let Some(room) = RECEIVING.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's, and what interrupts us on it ends before we go on.
    unsafe {
        let busy = &raw mut (*room).busy;
        if busy.read_volatile() == 0 {
            busy.write_volatile(1);
            let _ = look(sk, skb, &raw mut (*room).headers);
            busy.write_volatile(0);
        }
    }
}

/// `skb` begins at its TCP header, and no longer knows its device.
#[inline(always)]
fn look(sk: *const u8, skb: *const u8, room: *mut [u8; SCRATCH_BYTES]) -> Result<(), i32> {
    let config = maps::config();
    // SAFETY: the helper checks every address.
    let (namespace, address, linear, len) = unsafe {
        let net = read::<u64>(sk, maps::SOCK_NET.load())? as *const u8;
        let namespace = read::<u32>(net, maps::NET_INUM.load())?;
        if namespace == config.netns {
            return Ok(());
        }
        let head = read::<u64>(skb, maps::SKB_HEAD.load())?;
        let network = u32::from(read::<u16>(skb, maps::SKB_NETWORK_HEADER.load())?);
        let transport = u32::from(read::<u16>(skb, maps::SKB_TRANSPORT_HEADER.load())?);
        let tail = read::<u32>(skb, maps::SKB_TAIL.load())?;
        let len = read::<u32>(skb, maps::SKB_LEN.load())?;
        let headers = transport.wrapping_sub(network);
        let linear = tail.wrapping_sub(network);
        (namespace, head + u64::from(network), linear, len.wrapping_add(headers))
    };
    if let Some(copied) = access::copy_to(room, address, linear) {
        hook::socket(&Copied::at(room, copied), len, namespace);
    }
    Ok(())
}

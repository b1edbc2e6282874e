//! Programs of the lab's stand-in for a CNI, never part of the agent: eBPF host routing as Cilium's and Calico's, and
//! impostors that only end the chain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod programs {
    use core::ptr::from_ref;

    use aya_ebpf::{
        bindings::{TC_ACT_OK, TC_ACT_PIPE, TC_ACT_SHOT, bpf_hdr_start_off::BPF_HDR_START_NET},
        helpers::generated::{
            bpf_redirect, bpf_redirect_peer, bpf_skb_change_head, bpf_skb_load_bytes_relative,
            bpf_skb_store_bytes,
        },
        macros::{classifier, map},
        maps::{HashMap, LpmTrie, lpm_trie::Key},
        programs::TcContext,
    };
    use xcloud_common::stand_in::{AWAY, Hop};

    /// What the node knows of addresses, IPv4 in its IPv6-mapped form: the pod's interface on the node, or [`AWAY`].
    #[map]
    static DESTINATIONS: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(64, 0);

    /// Where packets that come in by an interface go next.
    #[map]
    static HOPS: HashMap<u32, Hop> = HashMap::with_max_entries(64, 0);

    const IPV4: u32 = 0x0800;
    const IPV6: u32 = 0x86dd;
    const ETHERNET: u32 = 14;
    const ETHERTYPE_AT: u32 = 12;
    const FLAGS_AT: u32 = 13;
    const SYN: u8 = 2;

    /// Sends packets straight to where they go, past the node's stack; what it does not know goes on as usual.
    #[classifier]
    fn host_routing(ctx: TcContext) -> i32 {
        route(&ctx).unwrap_or(TC_ACT_OK)
    }

    /// Likewise, but lets handshakes go through the node's stack, as Calico's eBPF dataplane does: only what follows
    /// them goes past a pod's interface.
    #[classifier]
    fn host_routing_established(ctx: TcContext) -> i32 {
        match is_handshake(&ctx) {
            Some(false) => route(&ctx).unwrap_or(TC_ACT_OK),
            _ => TC_ACT_OK,
        }
    }

    /// Ends the chain: nobody behind it is asked.
    #[classifier]
    fn impostor_ok(_ctx: TcContext) -> i32 {
        TC_ACT_OK
    }

    /// Ends the TCX chain; classifiers of a qdisc are still asked.
    #[classifier]
    fn impostor_pipe(_ctx: TcContext) -> i32 {
        TC_ACT_PIPE
    }

    fn route(ctx: &TcContext) -> Option<i32> {
        // SAFETY: the context is valid while the program runs.
        let ifindex = unsafe { (*ctx.skb.skb).ifindex };
        // SAFETY: only user space writes, before any packet comes.
        let hop = unsafe { HOPS.get(ifindex) }?;
        let pod = *DESTINATIONS.get(Key::new(128, destination(ctx)?))?;
        if pod == AWAY {
            return redirect(hop.away);
        }
        redirect(hop.detour).or_else(|| into_pod(ctx, pod, hop.bare))
    }

    /// The uplink and the detours are TUN devices: they have no neighbours to resolve, so a plain redirect does what
    /// `bpf_redirect_neigh` does for a network card. The kernel takes the Ethernet header off.
    fn redirect(ifindex: u32) -> Option<i32> {
        // SAFETY: the helper has no preconditions.
        (ifindex != 0).then(|| unsafe { bpf_redirect(ifindex, 0) } as i32)
    }

    /// `bpf_redirect_peer` changes the packet's device and takes another round through the receive path; nothing on
    /// the way looks at the link layer again. A packet of a device without link layer would thus arrive at the pod's
    /// Ethernet device without a header, and programs there would read the IP header as one. Cilium puts a header
    /// there for such devices, and so does this; its addresses are never looked at.
    fn into_pod(ctx: &TcContext, pod: u32, bare: u32) -> Option<i32> {
        let skb = ctx.skb.skb;
        // SAFETY: the helpers check what they are given.
        unsafe {
            if bare != 0 {
                let ethertype = (*skb).protocol as u16;
                let from = from_ref(&ethertype).cast();
                if bpf_skb_change_head(skb, ETHERNET, 0) != 0
                    || bpf_skb_store_bytes(skb, ETHERTYPE_AT, from, 2, 0) != 0
                {
                    return Some(TC_ACT_SHOT);
                }
            }
            Some(bpf_redirect_peer(pod, 0) as i32)
        }
    }

    fn is_handshake(ctx: &TcContext) -> Option<bool> {
        let [first] = at(ctx, 0)?;
        let transport = if first >> 4 == 6 { 40 } else { u32::from(first & 0x0f) * 4 };
        let [flags] = at(ctx, transport + FLAGS_AT)?;
        Some(flags & SYN != 0)
    }

    fn destination(ctx: &TcContext) -> Option<[u8; 16]> {
        // SAFETY: the context is valid while the program runs.
        let protocol = u32::from(u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16));
        let mut address = [0; 16];
        match protocol {
            IPV4 => {
                let words: [u8; 4] = at(ctx, 16)?;
                address[10..12].fill(0xff);
                address[12..].copy_from_slice(&words);
            }
            IPV6 => address = at(ctx, 24)?,
            _ => return None,
        }
        Some(address)
    }

    /// Bytes at an offset into the network header, wherever that is.
    fn at<const N: usize>(ctx: &TcContext, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: the destination has room for as many bytes as are asked for.
        let result = unsafe {
            bpf_skb_load_bytes_relative(
                ctx.skb.skb.cast(),
                offset,
                bytes.as_mut_ptr().cast(),
                N as u32,
                BPF_HDR_START_NET,
            )
        };
        (result == 0).then_some(bytes)
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        // The compiler proves every panic away; were one left, the verifier would refuse this loop.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

//! The kernel programs: one small function per hook.
//!
//! Every TC program returns `TC_ACT_UNSPEC` whatever happens, so the packet goes on as if nobody had looked.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod access;
#[cfg(target_arch = "bpf")]
mod carried;
#[cfg(target_arch = "bpf")]
mod hook;
#[cfg(target_arch = "bpf")]
mod maps;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        bindings::TC_ACT_UNSPEC,
        macros::{btf_tracepoint, classifier, raw_tracepoint},
        programs::{BtfTracePointContext, RawTracePointContext, TcContext},
    };
    use xcloud_ebpf::packet::Link;

    use crate::hook::{self, Hook};

    /// Each hook's look at copied headers, and its programs for devices with and without an Ethernet header.
    macro_rules! tc {
        ($($hook:ident: $look:ident, $ethernet:ident, $ip:ident;)*) => {
            $(#[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $look(copied: u32, len: u32, ifindex: u32) -> u32 {
                hook::look(Hook::$hook, copied, len, ifindex)
            }

            #[classifier]
            fn $ethernet(ctx: TcContext) -> i32 {
                hook::tc(&ctx, Hook::$hook, Link::Ethernet, |a, b, c| $look(a, b, c));
                TC_ACT_UNSPEC
            }

            #[classifier]
            fn $ip(ctx: TcContext) -> i32 {
                hook::tc(&ctx, Hook::$hook, Link::Ip, |a, b, c| $look(a, b, c));
                TC_ACT_UNSPEC
            })*
        };
    }

    tc! {
        PodOut: look_pod_out, pod_out, pod_out_ip;
        PodIn: look_pod_in, pod_in, pod_in_ip;
        UplinkIn: look_uplink_in, uplink_in, uplink_in_ip;
        UplinkQueue: look_uplink_queue, uplink_queue, uplink_queue_ip;
        UplinkOut: look_uplink_out, uplink_out, uplink_out_ip;
    }

    /// Pod hooks inside the pod's network namespace.
    macro_rules! inside {
        ($($hook:ident: $look:ident, $name:ident;)*) => {
            $(#[classifier]
            fn $name(ctx: TcContext) -> i32 {
                hook::tc_inside(&ctx, Hook::$hook, Link::Ethernet, |a, b, c| $look(a, b, c));
                TC_ACT_UNSPEC
            })*
        };
    }

    inside! {
        PodOut: look_pod_out, pod_out_inside;
        PodIn: look_pod_in, pod_in_inside;
    }

    /// `net_dev_start_xmit(skb, dev)`: after the qdisc, before the driver.
    #[btf_tracepoint(function = "net_dev_start_xmit")]
    fn uplink_xmit(ctx: BtfTracePointContext) -> i32 {
        hook::xmit_typed(&ctx, |a, b, c| look_uplink_out(a, b, c));
        0
    }

    /// The same where typed tracepoints cannot be had.
    #[raw_tracepoint(tracepoint = "net_dev_start_xmit")]
    fn uplink_xmit_raw(ctx: RawTracePointContext) -> i32 {
        hook::xmit_raw(&ctx, |a, b, c| look_uplink_out(a, b, c));
        0
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

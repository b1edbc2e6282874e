//! The kernel programs: one small function per hook.
//!
//! Every TC program returns `TC_ACT_UNSPEC` whatever happens, so the packet goes on as if nobody had looked.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod access;
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

    macro_rules! tc {
        ($($name:ident: $hook:ident on $link:ident;)*) => {
            $(#[classifier]
            fn $name(ctx: TcContext) -> i32 {
                hook::tc(&ctx, Hook::$hook, Link::$link);
                TC_ACT_UNSPEC
            })*
        };
    }

    tc! {
        pod_out: PodOut on Ethernet;
        pod_out_ip: PodOut on Ip;
        pod_in: PodIn on Ethernet;
        pod_in_ip: PodIn on Ip;
        uplink_in: UplinkIn on Ethernet;
        uplink_in_ip: UplinkIn on Ip;
        uplink_queue: UplinkQueue on Ethernet;
        uplink_queue_ip: UplinkQueue on Ip;
        uplink_out: UplinkOut on Ethernet;
        uplink_out_ip: UplinkOut on Ip;
    }

    /// `net_dev_start_xmit(skb, dev)`: after the qdisc, before the driver.
    #[btf_tracepoint(function = "net_dev_start_xmit")]
    fn uplink_xmit(ctx: BtfTracePointContext) -> i32 {
        hook::xmit_typed(&ctx);
        0
    }

    /// The same where typed tracepoints cannot be had.
    #[raw_tracepoint(tracepoint = "net_dev_start_xmit")]
    fn uplink_xmit_raw(ctx: RawTracePointContext) -> i32 {
        hook::xmit_raw(&ctx);
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

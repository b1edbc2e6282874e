//! The kernel programs: one small function per hook.
//!
//! Every TC program returns `TC_ACT_UNSPEC` whatever happens, so the packet goes on as if nobody had looked.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod access;
#[cfg(target_arch = "bpf")]
mod account;
#[cfg(target_arch = "bpf")]
mod carried;
#[cfg(target_arch = "bpf")]
mod hook;
#[cfg(target_arch = "bpf")]
mod kprobe;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod socket;
#[cfg(target_arch = "bpf")]
mod stages;
#[cfg(target_arch = "bpf")]
mod xmit;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        bindings::TC_ACT_UNSPEC,
        macros::{btf_tracepoint, classifier, kprobe, kretprobe, raw_tracepoint},
        programs::{
            BtfTracePointContext, ProbeContext, RawTracePointContext, RetProbeContext, TcContext,
        },
    };
    use xcloud_common::stage::Stage;
    use xcloud_ebpf::packet::Link;

    use crate::{
        hook::{self, Hook},
        kprobe as departure, socket, stages, xmit,
    };

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
        xmit::xmit_typed(&ctx, |a, b, c| look_uplink_out(a, b, c));
        0
    }

    /// The same where typed tracepoints cannot be had.
    #[raw_tracepoint(tracepoint = "net_dev_start_xmit")]
    fn uplink_xmit_raw(ctx: RawTracePointContext) -> i32 {
        xmit::xmit_raw(&ctx, |a, b, c| look_uplink_out(a, b, c));
        0
    }

    /// `dev_hard_start_xmit(first, dev, ...)`, where neither can be had.
    #[kprobe]
    fn uplink_xmit_kprobe(ctx: ProbeContext) -> u32 {
        departure::xmit(&ctx);
        0
    }

    /// `tcp_probe(sk, skb)`: a connection's packet gets to its socket.
    #[raw_tracepoint(tracepoint = "tcp_probe")]
    fn pod_in_socket(ctx: RawTracePointContext) -> i32 {
        socket::receive(&ctx);
        0
    }

    /// Probes of the stage profile on functions whose argument `arg` is the packet.
    macro_rules! probe {
        ($($name:ident: $work:path, $arg:literal $(, $stage:ident)?;)*) => {
            $(#[kprobe]
            fn $name(ctx: ProbeContext) -> u32 {
                if let Some(skb) = ctx.arg::<*const u8>($arg) {
                    $work(skb $(, Stage::$stage)?);
                }
                0
            })*
        };
    }

    probe! {
        stage_routing: stages::enter, 0, Routing;
        stage_netfilter: stages::enter, 0, Netfilter;
        stage_conntrack: stages::enter_inner, 0, Conntrack;
        stage_encapsulation: stages::enter, 0, Encapsulation;
        stage_hand_over: stages::hand_over, 0;
        stage_seal: stages::seal, 0;
        stage_sealed: stages::sealed, 1;
    }

    macro_rules! end {
        ($($name:ident: $stage:ident;)*) => {
            $(#[kretprobe]
            fn $name(_ctx: RetProbeContext) -> u32 {
                stages::leave(Stage::$stage);
                0
            })*
        };
    }

    end! {
        stage_routing_end: Routing;
        stage_netfilter_end: Netfilter;
        stage_conntrack_end: Conntrack;
        stage_encapsulation_end: Encapsulation;
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

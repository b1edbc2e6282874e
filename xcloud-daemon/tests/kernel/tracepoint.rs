//! The departure hook as a tracepoint program, given an `sk_buff` and a device made up in a map's memory. The kernel
//! offers no such run for typed tracepoints, whose program does the same by other loads.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::programs::RawTracePoint;
use xcloud::kernel::btf::Btf;
use xcloud_common::config::Config;

use crate::{
    craft::{DATA, Segment},
    harness::{self, Kernel},
    raw::{self, VALUE_WORDS},
};

const NETNS: u32 = 0x1234;
const UPLINK: u32 = 7;
/// Where in the map's value each piece lies, in bytes.
const SKB: usize = 0;
const DEV: usize = 1024;
const HEAD: usize = 4096 + 2048;
/// Bytes of headroom before the IP header.
const NETWORK: u16 = 64;

/// Writes the structures as the program will follow them; `base` is the memory's own address.
fn lay_out(base: u64, packet: &[u8], ifindex: u32, netns: u32) -> [u64; VALUE_WORDS] {
    let btf = Btf::running().expect("the kernel's types");
    let offset = |what, field| btf.offset(what, field).expect(field) as usize;
    let mut bytes = [0u8; VALUE_WORDS * 8];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // The namespace starts where its number falls right behind the device's pointer to it.
    let net_at = DEV + offset("net_device", "nd_net.net") + 8;
    let length = u32::try_from(packet.len()).expect("small");
    put(SKB + offset("sk_buff", "head"), &(base + HEAD as u64).to_ne_bytes());
    put(SKB + offset("sk_buff", "network_header"), &NETWORK.to_ne_bytes());
    put(SKB + offset("sk_buff", "tail"), &(u32::from(NETWORK) + length).to_ne_bytes());
    put(SKB + offset("sk_buff", "len"), &length.to_ne_bytes());
    put(DEV + offset("net_device", "ifindex"), &ifindex.to_ne_bytes());
    let net = base + net_at as u64 - offset("net", "ns.inum") as u64;
    put(DEV + offset("net_device", "nd_net.net"), &net.to_ne_bytes());
    put(net_at, &netns.to_ne_bytes());
    put(HEAD + usize::from(NETWORK), packet);
    let mut words = [0; VALUE_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}

fn depart(program: BorrowedFd<'_>, data: Segment, ifindex: u32, netns: u32) {
    let memory = raw::memory();
    let base = raw::value_address(memory.as_fd());
    raw::set_value(memory.as_fd(), lay_out(base, &data.frame()[14..], ifindex, netns));
    raw::run_raw(program, [base + SKB as u64, base + DEV as u64]);
}

#[test]
fn the_tracepoint_stamps_what_leaves_by_an_uplink_of_its_namespace() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let mut config = Config { netns: NETNS, uplink_count: 1, ..Config::default() };
    config.uplinks[0] = UPLINK;
    kernel.configure(config);
    let program: &mut RawTracePoint =
        kernel.ebpf.program_mut("uplink_xmit_raw").expect("there").try_into().expect("raw");
    program.load().expect("loading uplink_xmit_raw");
    let program = program.fd().expect("loaded").try_clone().expect("a second descriptor");
    for (ipv6, ifindex, netns, seen) in [
        (false, UPLINK, NETNS, 1),
        (true, UPLINK, NETNS, 1),
        (false, UPLINK + 1, NETNS, 0),
        (false, UPLINK, NETNS + 1, 0),
    ] {
        let seq = 200_000 + 1_000 * ifindex + netns + u32::from(ipv6);
        let data = Segment { ipv6, seq, ..DATA };
        let answer = data.answered().frame();
        kernel.run("pod_out", &data.frame());
        depart(program.as_fd(), data, ifindex, netns);
        kernel.run("uplink_in", &answer);
        kernel.run("pod_in", &answer);
        let samples = kernel.samples();
        assert_eq!(samples.len(), seen, "IPv6 {ipv6}, interface {ifindex}, namespace {netns}");
        assert!(samples.iter().all(|sample| sample.uplink_ifindex == UPLINK));
    }
}

//! Tracepoint programs, given an `sk_buff` and a device or a socket made up in a map's memory. The kernel offers no such
//! run for typed tracepoints, whose program does the same by other loads.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::programs::RawTracePoint;
use xcloud::kernel::btf::Btf;
use xcloud_common::{
    config::{Config, Tunnels},
    sample::flag,
};

use crate::{
    craft::{self, DATA, Segment},
    harness::{self, Kernel},
    raw::{self, VALUE_WORDS},
};

const NETNS: u32 = 0x1234;
const UPLINK: u32 = 7;
/// Where in the map's value each piece lies, in bytes.
const SKB: usize = 0;
const DEV: usize = 1024;
const HEAD: usize = 4096 + 2048;
/// Bytes before the IP header, the link's header among them.
const NETWORK: u16 = 64;
/// Of Ethernet.
const LINK_HEADER: u16 = 14;

/// What a program is given beside the `sk_buff`: its type, and where in it the pointer to its namespace is.
const DEVICE: (&str, &str) = ("net_device", "nd_net.net");
const SOCKET: (&str, &str) = ("sock", "__sk_common.skc_net.net");

/// Writes the structures as the program will follow them; `base` is the memory's own address, and the `sk_buff` has left
/// the first `pulled` bytes of the frame behind.
fn lay_out(
    base: u64,
    frame: &[u8],
    pulled: u16,
    (kind, field): (&str, &str),
    (ifindex, netns): (u32, u32),
) -> [u64; VALUE_WORDS] {
    let btf = Btf::running().expect("the kernel's types");
    let offset = |what, field| btf.offset(what, field).expect(field) as usize;
    let mut bytes = [0u8; VALUE_WORDS * 8];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // The namespace starts where its number falls right behind the pointer to it.
    let net_at = DEV + offset(kind, field) + 8;
    let word = |length: usize| u32::try_from(length).expect("small").to_ne_bytes();
    let link = NETWORK - LINK_HEADER;
    let data = link + pulled;
    put(SKB + offset("sk_buff", "head"), &(base + HEAD as u64).to_ne_bytes());
    put(SKB + offset("sk_buff", "network_header"), &NETWORK.to_ne_bytes());
    put(SKB + offset("sk_buff", "transport_header"), &data.to_ne_bytes());
    put(SKB + offset("sk_buff", "data"), &(base + HEAD as u64 + u64::from(data)).to_ne_bytes());
    put(SKB + offset("sk_buff", "tail"), &word(usize::from(link) + frame.len()));
    put(SKB + offset("sk_buff", "len"), &word(frame.len() - usize::from(pulled)));
    if kind == DEVICE.0 {
        put(DEV + offset(kind, "ifindex"), &ifindex.to_ne_bytes());
    }
    let net = base + net_at as u64 - offset("net", "ns.inum") as u64;
    put(DEV + offset(kind, field), &net.to_ne_bytes());
    put(net_at, &netns.to_ne_bytes());
    put(HEAD + usize::from(link), frame);
    let mut words = [0; VALUE_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}

fn depart(program: BorrowedFd<'_>, frame: &[u8], ifindex: u32, netns: u32) {
    let memory = raw::memory();
    let base = raw::value_address(memory.as_fd());
    let value = lay_out(base, frame, 0, DEVICE, (ifindex, netns));
    raw::set_value(memory.as_fd(), value);
    raw::run_raw(program, [base + SKB as u64, base + DEV as u64]);
}

fn receive(program: BorrowedFd<'_>, data: Segment, netns: u32) {
    let memory = raw::memory();
    let base = raw::value_address(memory.as_fd());
    let ip_header = if data.ipv6 { 40 } else { 20 };
    let value = lay_out(base, &data.frame(), LINK_HEADER + ip_header, SOCKET, (0, netns));
    raw::set_value(memory.as_fd(), value);
    raw::run_raw(program, [base + DEV as u64, base + SKB as u64]);
}

/// Loads a raw tracepoint program.
fn loaded(kernel: &mut Kernel, name: &str) -> OwnedFd {
    let program: &mut RawTracePoint =
        kernel.ebpf.program_mut(name).expect("there").try_into().expect("raw");
    program.load().unwrap_or_else(|error| panic!("loading {name}: {error}"));
    let fd = program.fd().expect("loaded").as_fd();
    fd.try_clone_to_owned().expect("a second descriptor")
}

/// The tracepoint's program, for what leaves by the uplink.
fn watching() -> (Kernel, OwnedFd) {
    let mut kernel = Kernel::load();
    let tunnels = Tunnels { vxlan: [craft::VXLAN_PORT, 0, 0, 0], ..Tunnels::default() };
    let mut config = Config { netns: NETNS, uplink_count: 1, tunnels, ..Config::default() };
    config.uplinks[0] = UPLINK;
    kernel.configure(config);
    let program = loaded(&mut kernel, "uplink_xmit_raw");
    (kernel, program)
}

#[test]
fn the_tracepoint_stamps_what_leaves_by_an_uplink_of_its_namespace() {
    if !harness::available() {
        return;
    }
    let (mut kernel, program) = watching();
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
        depart(program.as_fd(), &data.frame(), ifindex, netns);
        kernel.run("uplink_in", &answer);
        kernel.run("pod_in", &answer);
        let samples = kernel.samples();
        assert_eq!(samples.len(), seen, "IPv6 {ipv6}, interface {ifindex}, namespace {netns}");
        assert!(samples.iter().all(|sample| sample.uplink_ifindex == UPLINK));
    }
}

/// As the kernel sends super-segments over 64 KiB.
#[test]
fn a_packet_that_states_no_length_ends_where_its_buffer_does() {
    if !harness::available() {
        return;
    }
    let (mut kernel, program) = watching();
    let plain = |frame: &[u8]| frame.to_vec();
    for (number, wrap) in (0..).zip([plain, craft::vxlan]) {
        for ipv6 in [false, true] {
            let data = Segment { ipv6, seq: 500_000 + 1_000 * number + u32::from(ipv6), ..DATA };
            let answer = data.answered().frame();
            let mut unstated = data.frame();
            let length = if ipv6 { 18 } else { 16 };
            unstated[length..length + 2].fill(0);
            kernel.run("pod_out", &data.frame());
            depart(program.as_fd(), &wrap(&unstated), UPLINK, NETNS);
            kernel.run("uplink_in", &answer);
            kernel.run("pod_in", &answer);
            assert_eq!(kernel.samples().len(), 1, "carrier {number}, IPv6 {ipv6}");
        }
    }
}

#[test]
fn a_pods_socket_stands_in_for_its_interface_at_both_ends() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    kernel.configure(Config { netns: NETNS, ..Config::default() });
    let socket = loaded(&mut kernel, "pod_in_socket");
    // A pod's namespace is not the node's.
    for (ipv6, netns, seen) in [(false, NETNS + 1, 2), (true, NETNS + 1, 2), (false, NETNS, 0)] {
        let data = Segment { ipv6, seq: 400_000 + netns * 10 + u32::from(ipv6), ..DATA };
        let answer = data.answered();
        kernel.run("pod_out", &data.frame());
        kernel.run("uplink_out", &data.frame());
        kernel.run("uplink_in", &answer.frame());
        receive(socket.as_fd(), answer, netns);
        kernel.run("uplink_in", &data.frame());
        receive(socket.as_fd(), data, netns);
        kernel.run("pod_out", &answer.frame());
        kernel.run("uplink_out", &answer.frame());
        let samples = kernel.samples();
        assert_eq!(samples.len(), seen, "IPv6 {ipv6}, namespace {netns}");
        let [near, far] = samples[..] else { continue };
        assert_eq!((near.flags, far.flags), (flag::AT_SOCKET, flag::FAR | flag::AT_SOCKET));
        assert_eq!(
            near.pod_ifindex, far.pod_ifindex,
            "the interface that the pod's packets left by"
        );
    }
}

#[test]
fn what_the_interface_saw_already_is_not_the_sockets() {
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    kernel.configure(Config { netns: NETNS, ..Config::default() });
    let socket = loaded(&mut kernel, "pod_in_socket");
    let data = Segment { seq: 900_000, ..DATA };
    let answer = data.answered();
    kernel.run("uplink_in", &data.frame());
    kernel.run("pod_in", &data.frame());
    receive(socket.as_fd(), data, NETNS + 1);
    kernel.run("pod_out", &answer.frame());
    kernel.run("uplink_out", &answer.frame());
    let flags: Vec<u8> = kernel.samples().iter().map(|sample| sample.flags).collect();
    assert_eq!(flags, [flag::FAR]);
}

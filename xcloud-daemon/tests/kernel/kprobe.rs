//! The departure's kprobe, on packets that a real device is given: alone, and in the list that the kernel makes of a
//! super-segment.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    panic, ptr, thread,
};

use aya::programs::KProbe;
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};

use crate::{
    craft::{DATA, Segment},
    harness::{self, Kernel},
    stacked::{configured, made, packet_socket, send_by},
};

/// Payload of the pieces.
const MSS: u16 = 500;
const PIECES: u16 = 6;
const HEADERS: u16 = 14 + 20 + 32;

/// What a packet socket wants before a frame that is to be cut (`struct virtio_net_hdr`).
fn cut_by_the_kernel() -> Vec<u8> {
    const NEEDS_CHECKSUM: u8 = 1;
    const TCP_OVER_IPV4: u8 = 1;
    const CHECKSUM_FROM: u16 = 14 + 20;
    const CHECKSUM_AT: u16 = 16;
    let words = [HEADERS, MSS, CHECKSUM_FROM, CHECKSUM_AT].map(u16::to_ne_bytes);
    [&[NEEDS_CHECKSUM, TCP_OVER_IPV4][..], words.as_flattened()].concat()
}

/// Has the kernel itself cut what leaves by a device.
fn cut_in_software(socket: &OwnedFd, interface: &str) {
    const SET_TSO: u32 = 0x1f;
    let mut value = [SET_TSO, 0];
    // SAFETY: zero is valid for all its fields.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the request and what it points to live through the call.
    let done =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, ptr::from_mut(&mut request)) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// A socket whose frames start with [`cut_by_the_kernel`].
fn cutting_socket() -> OwnedFd {
    const PACKET_VNET_HDR: libc::c_int = 15;
    let socket = packet_socket();
    let (on, size) = (1u32, libc::socklen_t::try_from(size_of::<u32>()).expect("small"));
    // SAFETY: the value lives through the call and has the length told.
    let done = unsafe {
        let on = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, on, size)
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    socket
}

/// Packets that a device received.
fn received(interface: &str) -> u64 {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").expect("the devices");
    let figures = devices.lines().find_map(|line| {
        let (name, figures) = line.split_once(':')?;
        (name.trim() == interface).then_some(figures)
    });
    let packets = figures.expect("listed").split_whitespace().nth(1).expect("its second figure");
    packets.parse().expect("a number")
}

/// Where an exchange of `data` was seen to depart, when that is sent so.
fn departed(kernel: &mut Kernel, data: Segment, send: impl FnOnce(&[u8])) -> Vec<u32> {
    let answer = data.answered().frame();
    kernel.run("pod_out", &data.frame());
    send(&data.frame());
    kernel.run("uplink_in", &answer);
    kernel.run("pod_in", &answer);
    kernel.samples().iter().map(|sample| sample.uplink_ifindex).collect()
}

#[test]
fn each_packet_of_a_list_is_stamped() {
    if !harness::available() || !harness::has_kprobes() {
        return;
    }
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        assert!(made(&[
            "link add up0 type veth peer name far",
            "link set up0 up",
            "link set far up"
        ]));
        let uplink = if_nametoindex("up0").expect("an index");
        let mut kernel = configured(&[uplink]);
        let program: &mut KProbe =
            kernel.ebpf.program_mut("uplink_xmit_kprobe").expect("there").try_into().expect("one");
        program.load().expect("loading uplink_xmit_kprobe");
        program.attach("dev_hard_start_xmit", 0).expect("attaching uplink_xmit_kprobe");
        let (alone, cut) = (packet_socket(), cutting_socket());
        cut_in_software(&cut, "up0");
        let data = Segment { seq: 800_000, ..DATA };
        let seen = departed(&mut kernel, data, |frame| send_by(&alone, "up0", frame));
        assert_eq!(seen, [uplink], "a packet alone");
        // Only the last piece ends where the super-segment did.
        let data = Segment { seq: 900_000, payload: usize::from(PIECES * MSS), ..DATA };
        let whole = |frame: &[u8]| [&cut_by_the_kernel()[..], frame].concat();
        let before = received("far");
        let seen = departed(&mut kernel, data, |frame| send_by(&cut, "up0", &whole(frame)));
        assert!(received("far") >= before + u64::from(PIECES), "it was not cut");
        assert_eq!(seen, [uplink], "the last of the pieces");
        let data = Segment { seq: 990_000, ..DATA };
        let seen = departed(&mut kernel, data, |frame| send_by(&alone, "far", frame));
        assert!(seen.is_empty(), "what leaves by another device: {seen:?}");
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}

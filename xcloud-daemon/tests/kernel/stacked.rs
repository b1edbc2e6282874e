//! Packets that leave by a bond, a VLAN or a macvlan, seen at the device below it: real devices, in a network namespace
//! that ends with the test.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    panic,
    process::Command,
    thread,
};

use aya::programs::RawTracePoint;
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use xcloud_common::config::Config;

use crate::{
    craft::{DATA, Segment},
    harness::{self, Kernel},
};

/// Makes devices; whether this kernel has the kind.
pub(crate) fn made(commands: &[&str]) -> bool {
    commands.iter().all(|command| {
        let status = Command::new("ip").args(command.split(' ')).status().expect("running ip");
        status.success()
    })
}

/// Sends a frame by a device, past every protocol.
fn send(interface: &str, frame: &[u8]) {
    send_by(&packet_socket(), interface, frame);
}

pub(crate) fn packet_socket() -> OwnedFd {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None);
    socket.expect("a packet socket")
}

pub(crate) fn send_by(socket: &OwnedFd, interface: &str, frame: &[u8]) {
    // SAFETY: zero is valid for all its fields.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).expect("small");
    to.sll_protocol = 0x0800u16.to_be();
    to.sll_ifindex = if_nametoindex(interface).expect("an index").cast_signed();
    let size = libc::socklen_t::try_from(size_of_val(&to)).expect("small");
    // SAFETY: both buffers live through the call and have the lengths told.
    let sent = unsafe {
        let (data, to) = (frame.as_ptr().cast(), (&raw const to).cast());
        libc::sendto(socket.as_raw_fd(), data, frame.len(), 0, to, size)
    };
    assert!(sent >= 0, "sending by {interface}: {}", io::Error::last_os_error());
}

/// Segments sent: a bond deals other packets out too, so the first two may leave by the same member.
const SENT: u32 = 16;

/// Builds `commands` on top of devices, sends by `top`, and expects each departure to be stamped at one of the devices
/// and each of them to have some.
fn leaves_by_the_lower_devices(
    top: &'static str,
    lower: &'static [&'static str],
    commands: &'static [&'static str],
) {
    if !harness::available() {
        return;
    }
    let work = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        for name in lower {
            let (add, up) = (format!("link add {name} type veth peer name {name}-far"), "link set");
            assert!(made(&[&add, &format!("{up} {name}-far up")]));
        }
        if !made(commands) {
            return eprintln!("SKIPPED: this kernel cannot make {top}");
        }
        let mut wanted: Vec<u32> =
            lower.iter().map(|name| if_nametoindex(*name).expect("an index")).collect();
        let mut kernel = watching(&wanted);
        for at in 0..SENT {
            let data = Segment { seq: 700_000 + 10_000 * at, ..DATA };
            let answer = data.answered().frame();
            kernel.run("pod_out", &data.frame());
            send(top, &data.frame());
            kernel.run("uplink_in", &answer);
            kernel.run("pod_in", &answer);
        }
        let samples = kernel.samples();
        assert_eq!(samples.len(), SENT as usize);
        let mut uplinks: Vec<u32> = samples.iter().map(|one| one.uplink_ifindex).collect();
        uplinks.sort_unstable();
        uplinks.dedup();
        wanted.sort_unstable();
        assert_eq!(uplinks, wanted, "departures at all devices below {top}, and at no other");
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}

/// The programs, with these devices as uplinks of this network namespace.
pub(crate) fn configured(uplinks: &[u32]) -> Kernel {
    let netns = std::fs::metadata("/proc/thread-self/ns/net").expect("the namespace");
    let netns = std::os::unix::fs::MetadataExt::ino(&netns).try_into().expect("32 bits");
    let uplink_count = u32::try_from(uplinks.len()).expect("few");
    let mut config = Config { netns, uplink_count, ..Config::default() };
    config.uplinks[..uplinks.len()].copy_from_slice(uplinks);
    let mut kernel = Kernel::load();
    kernel.configure(config);
    kernel
}

/// The same with the tracepoint on.
fn watching(uplinks: &[u32]) -> Kernel {
    let mut kernel = configured(uplinks);
    let program: &mut RawTracePoint =
        kernel.ebpf.program_mut("uplink_xmit_raw").expect("there").try_into().expect("raw");
    program.load().expect("loading uplink_xmit_raw");
    program.attach("net_dev_start_xmit").expect("attaching uplink_xmit_raw");
    kernel
}

#[test]
fn what_leaves_by_a_bond_is_stamped_at_its_active_member() {
    leaves_by_the_lower_devices(
        "bond0",
        &["low0"],
        &[
            "link add bond0 type bond mode active-backup",
            "link set low0 master bond0",
            "link set bond0 up",
        ],
    );
}

#[test]
fn what_a_bond_deals_out_is_stamped_at_each_member() {
    leaves_by_the_lower_devices(
        "bond0",
        &["low0", "low1"],
        &[
            "link add bond0 type bond mode balance-rr",
            "link set low0 master bond0",
            "link set low1 master bond0",
            "link set bond0 up",
        ],
    );
}

#[test]
fn what_leaves_by_a_vlan_over_a_bond_is_stamped_at_its_member() {
    leaves_by_the_lower_devices(
        "bond0.7",
        &["low0"],
        &[
            "link add bond0 type bond mode active-backup",
            "link set low0 master bond0",
            "link set bond0 up",
            "link add link bond0 name bond0.7 type vlan id 7",
            "link set bond0.7 up",
        ],
    );
}

#[test]
fn what_leaves_by_a_macvlan_is_stamped_at_the_device_below() {
    leaves_by_the_lower_devices(
        "mac0",
        &["low0"],
        &["link set low0 up", "link add mac0 link low0 type macvlan", "link set mac0 up"],
    );
}

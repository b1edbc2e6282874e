//! Asks the kernel what it can do by trying: loads tiny programs that do nothing, makes maps, and attaches to the
//! loopback device of a throw-away network namespace. Nothing here touches a real interface or outlives the call.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread,
};

use aya::programs::tc;
use nix::sched::{CloneFlags, unshare};
use xcloud_common::slot::{SLOTS, Slot};

use super::btf::Btf;

pub mod kprobe;

/// The tracepoint at a packet's hand-over to the driver.
pub const START_XMIT: &CStr = c"net_dev_start_xmit";

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_CREATE: libc::c_long = 28;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_RINGBUF: u32 = 27;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
const PROG_TYPE_TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;
const TCX_INGRESS: u32 = 46;
/// The helper `bpf_probe_read_kernel`.
const PROBE_READ_KERNEL: u8 = 113;
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
/// Goes on to the next program, as if this one were not there.
const TC_ACT_UNSPEC: i32 = -1;
/// The loopback device's index in a new namespace.
const LOOPBACK: u32 = 1;
/// An index no device has.
const NO_DEVICE: u32 = i32::MAX.cast_unsigned();

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    func_info: [u32; 4],
    line_info: [u32; 4],
    attach_btf_id: u32,
    attach_prog_fd: u32,
    /// Without it the structure would end in padding, and the kernel refuses what it does not find zero.
    core_relo_count: u32,
}

// Offsets of `union bpf_attr` in the kernel's include/uapi/linux/bpf.h.
const _: () = assert!(
    std::mem::offset_of!(ProgLoad, expected_attach_type) == 68
        && std::mem::offset_of!(ProgLoad, attach_btf_id) == 108
        && size_of::<ProgLoad>() == 120
);

#[repr(C)]
struct LinkCreate {
    prog_fd: i32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: i32,
    reserved: u32,
}

#[repr(C)]
struct GetInfo {
    fd: i32,
    length: u32,
    info: u64,
}

/// The part of `struct bpf_prog_info` read here.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_length: u32,
    rest: [u32; 15],
}

/// bpf(2). The pointers in `attr` must be 0 or valid for what the command does with them.
unsafe fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<i32> {
    // SAFETY: the attribute lives through the call, its size is given, and the caller vouches for what it points to.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        i32::try_from(result).map_err(io::Error::other)
    }
}

/// The same for commands that return a descriptor.
unsafe fn bpf_fd<T>(command: libc::c_long, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for the attribute; a descriptor the kernel just returned is nobody else's.
    unsafe { bpf(command, attr).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn map(kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> io::Result<()> {
    let attr = MapCreate { kind, key_size, value_size, max_entries, flags: 0 };
    // SAFETY: this command's attribute holds no pointer.
    unsafe { bpf_fd(BPF_MAP_CREATE, &attr) }.map(drop)
}

/// Loads a program that returns a constant.
fn program(kind: u32, attach_type: u32, btf_id: u32, returned: i32) -> io::Result<OwnedFd> {
    // mov r0, imm
    let mut mov = [0xb7, 0, 0, 0, 0, 0, 0, 0];
    mov[4..].copy_from_slice(&returned.to_ne_bytes());
    let attr = ProgLoad {
        kind,
        expected_attach_type: attach_type,
        attach_btf_id: btf_id,
        ..ProgLoad::default()
    };
    load(attr, &[mov, EXIT])
}

fn load(attr: ProgLoad, instructions: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let attr = ProgLoad {
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        ..attr
    };
    // SAFETY: instructions and licence live through the call.
    unsafe { bpf_fd(BPF_PROG_LOAD, &attr) }
}

/// Loads a classifier that reads kernel memory.
pub fn kernel_reads() -> io::Result<()> {
    let instructions = [
        [0xbf, 0xa1, 0, 0, 0, 0, 0, 0],              // r1 = r10
        [0x07, 1, 0, 0, 0xf8, 0xff, 0xff, 0xff],     // r1 += -8
        [0xb7, 2, 0, 0, 8, 0, 0, 0],                 // r2 = 8
        [0xb7, 3, 0, 0, 0, 0, 0, 0],                 // r3 = 0
        [0x85, 0, 0, 0, PROBE_READ_KERNEL, 0, 0, 0], // call
        [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],     // r0 = TC_ACT_UNSPEC
        EXIT,
    ];
    let attr = ProgLoad { kind: PROG_TYPE_SCHED_CLS, ..ProgLoad::default() };
    load(attr, &instructions).map(drop)
}

/// Makes a ring buffer of 64 KiB.
pub fn ring_buffer() -> io::Result<()> {
    map(MAP_TYPE_RINGBUF, 0, 0, 1 << 16)
}

/// Makes an array as large as the slots of both directions together.
pub fn slot_map() -> io::Result<()> {
    let slot = u32::try_from(size_of::<Slot>()).map_err(io::Error::other)?;
    map(MAP_TYPE_ARRAY, 4, slot, 2 * SLOTS)
}

/// Loads a classifier; returns its length in machine code, 0 when it would be interpreted. Bytes.
pub fn classifier() -> io::Result<u32> {
    let program = program(PROG_TYPE_SCHED_CLS, 0, 0, TC_ACT_UNSPEC)?;
    let mut info = ProgInfo::default();
    let attr = GetInfo {
        fd: program.as_raw_fd(),
        length: u32::try_from(size_of::<ProgInfo>()).map_err(io::Error::other)?,
        info: std::ptr::from_mut(&mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which lives through the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) }?;
    Ok(info.jited_length)
}

fn tcx(ifindex: u32) -> io::Result<()> {
    let program = program(PROG_TYPE_SCHED_CLS, 0, 0, TC_ACT_UNSPEC)?;
    let attr =
        LinkCreate { prog_fd: program.as_raw_fd(), ifindex, attach_type: TCX_INGRESS, flags: 0 };
    // SAFETY: this command's attribute holds no pointer.
    unsafe { bpf_fd(BPF_LINK_CREATE, &attr) }.map(drop)
}

/// Attaches a classifier by TCX in a throw-away namespace. Where none can be made, asks for a device that does not
/// exist: a kernel with TCX misses the device, one without refuses the request.
pub fn tcx_attach() -> io::Result<()> {
    match in_new_namespace(|| tcx(LOOPBACK)) {
        Ok(result) => result,
        Err(_) => match tcx(NO_DEVICE) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        },
    }
}

/// Adds a clsact qdisc in a throw-away namespace.
pub fn clsact_attach() -> io::Result<()> {
    in_new_namespace(|| {
        tc::qdisc_add_clsact("lo").map_err(|error| match &error {
            tc::TcError::NetlinkError(netlink) => netlink
                .raw_os_error()
                .map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error),
            _ => io::Error::other(error),
        })
    })?
}

/// Runs on a thread of its own in a new network namespace that ends with it.
fn in_new_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the trial's thread panicked")))
    })
}

/// Attaches an empty typed tracepoint program to `net_dev_start_xmit`.
pub fn typed_tracepoint(btf: &Btf) -> io::Result<()> {
    let name = format!("btf_trace_{}", START_XMIT.to_string_lossy());
    let id = btf.typedef(&name).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
    let program = program(PROG_TYPE_TRACING, TRACE_RAW_TP, id, 0)?;
    open_tracepoint(&program, 0)
}

/// Attaches an empty raw tracepoint program to `net_dev_start_xmit`.
pub fn raw_tracepoint() -> io::Result<()> {
    let program = program(PROG_TYPE_RAW_TRACEPOINT, 0, 0, 0)?;
    open_tracepoint(&program, START_XMIT.as_ptr().addr() as u64)
}

fn open_tracepoint(program: &OwnedFd, name: u64) -> io::Result<()> {
    let attr = RawTracepointOpen { name, prog_fd: program.as_raw_fd(), reserved: 0 };
    // SAFETY: the name is 0 or a C string that lives for ever.
    unsafe { bpf_fd(BPF_RAW_TRACEPOINT_OPEN, &attr) }.map(drop)
}

/// Effective capabilities of this process, one bit each.
pub fn capabilities() -> io::Result<u64> {
    fs::read_to_string("/proc/self/status")?
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("/proc/self/status has no CapEff line"))
}

//! Two programs too small for a compiler, straight through bpf(2): one that does nothing, to compare with, and one
//! that tells where a map's value lies in kernel memory, so that a made-up `sk_buff` can be laid out there and given
//! to a raw tracepoint program as its argument.
#![allow(dead_code, reason = "the tests and the bench each use a part")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const SCHED_CLS: u32 = 3;

/// One BPF instruction: code, registers, offset, immediate (`struct bpf_insn`).
type Instruction = (u8, u8, i16, i32);

/// `r0 = -1; exit`
const EMPTY: [Instruction; 2] = [(0xb7, 0, 0, -1), (0x95, 0, 0, 0)];

#[repr(C)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 14],
}

#[repr(C)]
#[derive(Default)]
struct RunAttr {
    fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// A loaded program.
pub(crate) struct Program(OwnedFd);

impl Program {
    /// A TC program that does nothing.
    pub(crate) fn empty() -> Self {
        Self::load(SCHED_CLS, &EMPTY)
    }

    fn load(kind: u32, code: &[Instruction]) -> Self {
        let bytes: Vec<u8> = code
            .iter()
            .flat_map(|&(code, registers, offset, immediate)| {
                let mut bytes = vec![code, registers];
                bytes.extend(offset.to_ne_bytes());
                bytes.extend(immediate.to_ne_bytes());
                bytes
            })
            .collect();
        let attr = LoadAttr {
            kind,
            count: u32::try_from(code.len()).expect("short"),
            instructions: bytes.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            rest: [0; 14],
        };
        let fd =
            bpf(BPF_PROG_LOAD, &raw const attr as *mut LoadAttr).expect("loading a tiny program");
        // SAFETY: a descriptor just made, owned by nobody else.
        Self(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) })
    }

    /// Runs it once on a packet and gives the kernel's time in nanoseconds.
    pub(crate) fn run(&self, packet: &[u8]) -> u32 {
        let mut attr = RunAttr {
            fd: self.0.as_raw_fd().cast_unsigned(),
            data_size_in: u32::try_from(packet.len()).expect("small"),
            data_in: packet.as_ptr() as u64,
            repeat: 1,
            ..RunAttr::default()
        };
        bpf(BPF_PROG_TEST_RUN, &raw mut attr).expect("running an empty program");
        attr.duration
    }
}

/// Runs a raw tracepoint program once with its arguments (`bpf_prog_test_run_raw_tp`, kernel 5.10).
pub(crate) fn run_raw(program: BorrowedFd<'_>, arguments: [u64; 2]) {
    let mut attr = RunAttr {
        fd: program.as_raw_fd().cast_unsigned(),
        ctx_in: arguments.as_ptr() as u64,
        ctx_size_in: u32::try_from(size_of_val(&arguments)).expect("small"),
        ..RunAttr::default()
    };
    bpf(BPF_PROG_TEST_RUN, &raw mut attr).expect("running a raw tracepoint program");
}

/// Where the only value of an array map lies in kernel memory.
pub(crate) fn value_address(map: BorrowedFd<'_>) -> u64 {
    // r1 = &map[0]; *(u64 *)r1 = r1; r0 = -1; exit
    let code = [
        (0x18, 0x21, 0, map.as_raw_fd()),
        (0, 0, 0, 0),
        (0x7b, 0x11, 0, 0),
        (0xb7, 0, 0, -1),
        (0x95, 0, 0, 0),
    ];
    Program::load(SCHED_CLS, &code).run(&[0; 64]);
    let (key, mut value) = (0u32, [0u64; VALUE_WORDS]);
    element(BPF_MAP_LOOKUP_ELEM, map, &key, value.as_mut_ptr());
    value[0]
}

/// Makes `value` the only value of an array map.
pub(crate) fn set_value(map: BorrowedFd<'_>, mut value: [u64; VALUE_WORDS]) {
    element(BPF_MAP_UPDATE_ELEM, map, &0, value.as_mut_ptr());
}

fn element(command: libc::c_int, map: BorrowedFd<'_>, key: &u32, value: *mut u64) {
    #[repr(C)]
    struct ElementAttr(u32, u32, u64, u64, u64);
    let map = map.as_raw_fd().cast_unsigned();
    let mut attr = ElementAttr(map, 0, std::ptr::from_ref(key) as u64, value as u64, 0);
    bpf(command, &raw mut attr).expect("an element of the map");
}

/// An array map with one value of [`VALUE_WORDS`].
pub(crate) fn memory() -> OwnedFd {
    #[repr(C)]
    struct CreateAttr(u32, u32, u32, u32, u32);
    const ARRAY: u32 = 2;
    let mut attr = CreateAttr(ARRAY, 4, 8 * u32::try_from(VALUE_WORDS).expect("small"), 1, 0);
    let fd = bpf(BPF_MAP_CREATE, &raw mut attr).expect("making a map");
    // SAFETY: a descriptor just made, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) }
}

/// Words in the value of the map given to [`value_address`].
pub(crate) const VALUE_WORDS: usize = 1024;

fn bpf<T>(command: libc::c_int, attr: *mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is the layout the command reads and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

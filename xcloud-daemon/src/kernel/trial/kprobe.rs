//! Asks for kprobes by attaching an empty program to a function.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::program;

/// The function that hands packets to a driver: there and not inlined in every kernel from 5.10 on.
pub const HARD_START_XMIT: &CStr = c"dev_hard_start_xmit";

const PMU_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";
const PROG_TYPE_KPROBE: u32 = 2;
/// `PERF_EVENT_IOC_SET_BPF`.
const SET_BPF: libc::Ioctl = 0x4004_2408;
/// `PERF_ATTR_SIZE_VER5`; the kernel takes any size it has ever had.
const ATTR_WORDS: usize = 14;

/// A kprobe or kretprobe with a program that does nothing, until dropped.
#[derive(Debug)]
pub struct EmptyProbe {
    _event: OwnedFd,
}

impl EmptyProbe {
    /// Attaches to a function's entry, or to its return.
    pub fn attach(function: &CStr, at_return: bool) -> io::Result<Self> {
        let program = program(PROG_TYPE_KPROBE, 0, 0, 0)?;
        let event = open(function, at_return)?;
        // SAFETY: both descriptors are open.
        if unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, program.as_raw_fd()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { _event: event })
    }
}

/// Opens the event of a probe. Fields by their place in `struct perf_event_attr`.
fn open(function: &CStr, at_return: bool) -> io::Result<OwnedFd> {
    let kind = fs::read_to_string(PMU_TYPE).map_err(|error| match error.kind() {
        // Not to be taken for a function that is not there.
        io::ErrorKind::NotFound => io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        _ => error,
    })?;
    let kind: u32 = kind.trim().parse().map_err(io::Error::other)?;
    let mut attr = [0u64; ATTR_WORDS];
    attr[0] = u64::from(kind) | (size_of_val(&attr) as u64) << 32;
    attr[1] = at_return.into();
    attr[7] = function.as_ptr().addr() as u64;
    const ANY_PROCESS: libc::c_long = -1;
    const FIRST_CPU: libc::c_long = 0;
    const NO_GROUP: libc::c_long = -1;
    const CLOSE_ON_EXEC: libc::c_long = 8;
    // SAFETY: the attribute has the size it states and names a string that lives through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr.as_ptr(),
            ANY_PROCESS,
            FIRST_CPU,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a descriptor the kernel just returned is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches an empty program to the function that hands packets to a driver.
pub fn hard_start_xmit() -> io::Result<()> {
    EmptyProbe::attach(HARD_START_XMIT, false).map(drop)
}

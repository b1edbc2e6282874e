//! TUN devices that already exist in a namespace, opened for packets with virtio-net headers.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use anyhow::{Context as _, Result, ensure};

use crate::netns;

const OFFLOADS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;

/// One attached device.
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Tun {
    /// Attaches to `device` in namespace `netns`; `merge` lets the receiving kernel merge segments (GRO).
    pub(crate) fn attach(netns: &str, device: &str, merge: bool) -> Result<Self> {
        netns::within(netns, || Self::attach_here(device, merge))
            .with_context(|| format!("attaching to TUN device {device} in namespace {netns}"))
    }

    fn attach_here(device: &str, merge: bool) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .context("opening /dev/net/tun (is TUN in this kernel?)")?;
        let mut flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if merge {
            flags |= libc::IFF_NAPI;
        }
        // SAFETY: an all-zero ifreq is a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        ensure!(device.len() < request.ifr_name.len(), "name too long");
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags)?;
        // SAFETY: the fd is a TUN fd and the request outlives the call.
        let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        ensure!(set == 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
        // SAFETY: this request takes its argument by value.
        let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, OFFLOADS) };
        ensure!(set == 0, "TUNSETOFFLOAD: {}", std::io::Error::last_os_error());
        Ok(Self(file))
    }

    /// Reads one packet; `None` when there is none now.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        (&self.0).read(buffer).ok()
    }

    /// Writes one packet; the kernel's receive path runs before this returns.
    pub(crate) fn write(&self, frame: &[u8]) -> bool {
        (&self.0).write(frame).is_ok()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

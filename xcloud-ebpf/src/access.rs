//! The ways to a packet's bytes.

use core::arch::asm;

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_buf, generated::bpf_skb_load_bytes},
    programs::TcContext,
};
use xcloud_ebpf::packet::{Bytes, View};

use crate::maps::{self, SCRATCH_BYTES};

/// The linear part of a packet, read in place.
#[derive(Clone, Copy)]
pub(crate) struct Linear {
    start: usize,
    end: usize,
}

impl Linear {
    /// What a TC program may read directly.
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }
}

impl Bytes for Linear {
    type View = Checked;

    const THOROUGH: bool = false;

    #[inline(always)]
    fn view<const N: usize>(&self, offset: usize) -> Option<Checked> {
        let address = opaque(self.start + offset);
        (address + N <= self.end).then_some(Checked(address))
    }
}

/// Bytes that were just found to be there.
#[derive(Clone, Copy)]
pub(crate) struct Checked(usize);

impl Checked {
    #[inline(always)]
    fn at<T: Copy>(&self, at: usize) -> T {
        // SAFETY: whoever made this checked the bytes; the verifier does so again. BPF allows any alignment where the
        // machine does, which those it runs on here do.
        unsafe { *((self.0 + at) as *const T) }
    }
}

impl View for Checked {
    #[inline(always)]
    fn u8(&self, at: usize) -> u8 {
        self.at(at)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> u16 {
        u16::from_be(self.at(at))
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> u32 {
        u32::from_be(self.at(at))
    }
}

/// Keeps the compiler from computing a value twice: the verifier trusts the very register that was compared with a
/// bound, not another that happens to hold the same.
#[inline(always)]
pub(crate) fn opaque(mut value: usize) -> usize {
    // SAFETY: a register moved to itself. An empty string would do for the compiler, but then two source lines share
    // an instruction, which the kernel refuses in the line information.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Copies headers from `start` on to this CPU's scratch room by helper: those outside the linear part, or out of the
/// ordinary. Returns how many bytes.
#[inline(always)]
pub(crate) fn copy_skb(ctx: &TcContext, start: u32) -> Option<u32> {
    let scratch = maps::scratch()?;
    let wanted = (ctx.len().checked_sub(start)? as usize).min(SCRATCH_BYTES);
    // Counted from zero: the verifiers of Linux 5.10 and 6.1 do not learn from a comparison with 0 that it is not 0.
    let last = opaque(wanted.checked_sub(1)?);
    if last >= SCRATCH_BYTES {
        return None;
    }
    let len = last + 1;
    // SAFETY: the scratch room is this CPU's and holds at least `len` bytes.
    let result =
        unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), start, scratch.cast(), len as u32) };
    (result == 0).then_some(len as u32)
}

/// The same from kernel memory, where `len` bytes belong to the packet. Reading past its linear part is harmless: the
/// skb's shared info follows it in the same allocation; `len` keeps it from being taken for headers.
#[inline(always)]
pub(crate) fn copy_kernel(address: u64, len: u32) -> Option<u32> {
    copy_to(maps::scratch()?, address, len)
}

/// The same into other room of this CPU's.
#[inline(always)]
pub(crate) fn copy_to(room: *mut [u8; SCRATCH_BYTES], address: u64, len: u32) -> Option<u32> {
    // SAFETY: the helper checks the source; the destination is this CPU's.
    unsafe { bpf_probe_read_kernel_buf(address as *const u8, &mut *room) }.ok()?;
    Some(len.min(SCRATCH_BYTES as u32))
}

/// # Safety
/// None beyond the helper's: it refuses addresses that are not kernel memory.
#[inline(always)]
pub(crate) unsafe fn read<T>(base: *const u8, offset: u32) -> Result<T, i32> {
    // SAFETY: as above.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast()) }
}

/// Headers from the IP header on, in room of this CPU's.
#[derive(Clone, Copy)]
pub(crate) struct Copied {
    start: *const u8,
    len: usize,
}

impl Copied {
    /// The `len` bytes that were copied to its scratch room last.
    #[inline(always)]
    pub(crate) fn new(len: u32) -> Option<Self> {
        Some(Self::at(maps::scratch()?, len))
    }

    /// Those that were copied to other room.
    #[inline(always)]
    pub(crate) fn at(room: *const [u8; SCRATCH_BYTES], len: u32) -> Self {
        Self { start: room.cast(), len: len as usize }
    }
}

impl Bytes for Copied {
    type View = Checked;

    const THOROUGH: bool = true;

    #[inline(always)]
    fn view<const N: usize>(&self, offset: usize) -> Option<Checked> {
        let offset = opaque(offset);
        // Not `offset + N > self.len`: Linux 6.12 derives an offset's bounds from those of the sum, and takes an offset
        // that this leaves one value for no offset at all.
        // Opaque, so that the compiler does not find the bound that older kernels need to be part of this one.
        let len = opaque(self.len);
        if offset > SCRATCH_BYTES - N || len < N || offset > len - N {
            return None;
        }
        Some(Checked(opaque(self.start as usize + offset)))
    }
}

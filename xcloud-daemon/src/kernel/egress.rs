//! Reads the account that the kernel programs keep of what leaves by the uplinks.

use std::{collections::HashMap, fmt, io, num::NonZeroUsize, ptr::NonNull, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, Map, MapData},
    util::nr_cpus,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use xcloud_common::{
    config::MAX_UPLINKS,
    egress::{BANKS, Bank, CELLS, Cell, Key, Sums},
};

/// `MEMBARRIER_CMD_GLOBAL`: returns when everything that ran in the kernel with interrupts or preemption off, or as a
/// reader of RCU, has ended. Kernel programs are such readers.
const GRACE: libc::c_int = 1;
/// How long is waited instead where the kernel does not offer that (`nohz_full`) or a sandbox forbids it. A program takes
/// a microsecond, but a virtual processor may be kept waiting in the middle of one.
const SURELY: Duration = Duration::from_secs(1);

/// How many banks the account needs on this machine.
///
/// # Errors
/// The kernel does not say how many CPUs there may be.
pub fn banks() -> Result<u32> {
    let cpus =
        nr_cpus().map_err(|(file, error)| io::Error::new(error.kind(), format!("{file}: {error}")));
    let cpus = u32::try_from(cpus.context("counting this machine's CPUs")?)?;
    Ok(cpus * BANKS)
}

/// What left, by who sent it and where it went.
pub type Left = HashMap<Key, Sums>;

/// All CPUs' banks, in this process's memory.
pub struct Egress {
    memory: NonNull<Bank>,
    banks: u32,
    switch: Array<MapData, u32>,
    /// The bank that programs add to.
    current: u32,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("banks", &self.banks).finish_non_exhaustive()
    }
}

// SAFETY: the memory belongs to nobody but the kernel programs and this.
unsafe impl Send for Egress {}

impl Egress {
    /// Takes the account out of an object that was loaded with it.
    ///
    /// # Errors
    /// The object has no such maps or they were taken already, or the kernel does not show them.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let banks = banks()?;
        let map = ebpf.map("EGRESS").context("the kernel object has no map EGRESS")?;
        let Map::Array(map) = map else { bail!("map EGRESS is no array") };
        let entries = map.info().context("asking for the size of map EGRESS")?.max_entries();
        ensure!(entries == banks, "the kernel object was loaded without the account");
        let memory = Self::open(map, banks).context("looking into map EGRESS")?;
        let switch = ebpf.take_map("EGRESS_BANK").context("no map EGRESS_BANK is left")?;
        Ok(Self { memory, banks, switch: Array::try_from(switch)?, current: 0 })
    }

    fn open(map: &MapData, banks: u32) -> Result<NonNull<Bank>> {
        let (access, shared) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: the kernel chooses the place; the map was made to be shown (`BPF_F_MMAPABLE`).
        let start = unsafe { mmap(None, Self::length(banks), access, shared, map.fd(), 0) }?;
        Ok(start.cast())
    }

    fn length(banks: u32) -> NonZeroUsize {
        NonZeroUsize::new(size_of::<Bank>() * banks as usize).unwrap_or(NonZeroUsize::MIN)
    }

    /// What left since the last call, each packet once: programs are sent to the other bank, and this one is read when
    /// none can still be at it.
    ///
    /// # Errors
    /// The kernel refuses the map update.
    pub fn drain(&mut self) -> Result<Left> {
        let old = self.current;
        self.current = (old + 1) % BANKS;
        self.switch.set(0, self.current, 0).context("switching the banks of the account")?;
        wait_for_programs();
        let mut left = Left::new();
        for bank in (old..self.banks).step_by(BANKS as usize) {
            self.empty(bank as usize, &mut left);
        }
        Ok(left)
    }

    fn empty(&self, bank: usize, left: &mut Left) {
        // SAFETY: within the mapping; a bank is nothing but cells.
        let cells = unsafe { self.memory.add(bank).cast::<Cell>() };
        for at in 0..CELLS + MAX_UPLINKS {
            // SAFETY: as above; no program adds here until the next switch, and any bits make a cell.
            unsafe {
                let cell = cells.add(at);
                let Cell { key, sums } = cell.read_volatile();
                if sums.packets > 0 {
                    left.entry(key).or_default().add(sums);
                    cell.write_volatile(Cell::default());
                }
            }
        }
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        // SAFETY: mapped by open with this length, and nothing refers to it any more.
        if let Err(error) = unsafe { munmap(self.memory.cast(), Self::length(self.banks).get()) } {
            tracing::debug!("unmapping the account: {error}");
        }
    }
}

/// Returns when every program has ended that was running at the call.
fn wait_for_programs() {
    // SAFETY: the call has no memory operands.
    if unsafe { libc::syscall(libc::SYS_membarrier, GRACE, 0, 0) } < 0 {
        thread::sleep(SURELY);
    }
}

//! Exchanges that got to one hook and not to the next: what tells that a pod's packets go past a hook.
//!
//! The slots that the kernel programs write say it already, so nothing is counted on the packet path. This reads what
//! is known of all slots, 128 KiB a table, and touches only slots of exchanges that wait.

use std::{collections::BTreeMap, num::NonZeroUsize, ptr::NonNull};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use xcloud_common::{
    brief::{Brief, Stage},
    slot::{self, FIRST, SLOTS, Slot, Stamp, state},
    table::Table,
};

/// What did not come, of one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Answers to the pod that passed `U_in` and never `P_in`.
    pub into_pod: u64,
    /// How many of them answered a SYN or a bare FIN, which the tracepoint at pods' sockets does not show.
    pub control: u64,
    /// Data that passed `P_in` and that `P_out` never saw answered: some is never acknowledged exactly, all of it is
    /// when the pod's answers go past the hook.
    pub out_of_pod: u64,
}

/// The exchanges under way, in both directions.
#[derive(Debug)]
pub struct Tables {
    near: Mapped,
    far: Mapped,
}

impl Tables {
    /// Those of the loaded object.
    ///
    /// # Errors
    /// The object has no such maps, or the kernel does not show them.
    pub fn of(ebpf: &Ebpf) -> Result<Self> {
        Ok(Self { near: Mapped::of(ebpf, "NEAR")?, far: Mapped::of(ebpf, "FAR")? })
    }

    /// What is missing by pod, in the slots' own numbering, of exchanges whose last step was taken between `youngest`
    /// and `oldest` nanoseconds before `now_ns`.
    #[must_use]
    pub fn missing(&self, now_ns: u64, youngest: u64, oldest: u64) -> BTreeMap<u32, Missing> {
        let waits = |stamp: Stamp, tag| {
            slot::owned(stamp, tag) && (youngest..oldest).contains(&slot::age(stamp, now_ns))
        };
        let mut pods: BTreeMap<u32, Missing> = BTreeMap::new();
        for (slot, tag) in self.near.waiting(now_ns) {
            if waits(slot.third, tag) && slot::marked(slot.done, tag) & (1 << FIRST) == 0 {
                let missing = pods.entry(slot.pod_ifindex).or_default();
                missing.into_pod += 1;
                missing.control += u64::from(slot.state & state::PAYLOAD == 0);
            }
        }
        for (slot, tag) in self.far.waiting(now_ns) {
            if waits(slot.second, tag) && !slot::owned(slot.third, tag) {
                pods.entry(slot.pod_ifindex).or_default().out_of_pod += 1;
            }
        }
        pods
    }
}

/// A table in the kernel's memory, which programs write while it is read: words of a slot may be of different
/// exchanges, and tags tell.
#[derive(Debug)]
struct Mapped(NonNull<Table>);

// SAFETY: the memory belongs to nobody but the kernel, and is only read.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<Table>()).expect("tables have a size");

    fn of(ebpf: &Ebpf, name: &str) -> Result<Self> {
        let map = ebpf.map(name).with_context(|| format!("the kernel object has no map {name}"))?;
        let Map::Array(map) = map else { bail!("map {name} is no array") };
        Self::open(map).with_context(|| format!("looking into map {name}"))
    }

    fn open(map: &MapData) -> Result<Self> {
        let (read, shared) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
        // SAFETY: the kernel chooses the place; the map was made to be shown (`BPF_F_MMAPABLE`).
        let start = unsafe { mmap(None, Self::LENGTH, read, shared, map.fd(), 0) }?;
        Ok(Self(start.cast()))
    }

    /// Young exchanges whose data passed its second hook and that are not settled.
    fn waiting(&self, now_ns: u64) -> impl Iterator<Item = (Slot, u16)> {
        let wait = move |index: &usize| {
            let brief = self.brief(*index);
            brief.stage() == Stage::Passed && brief.is_young(now_ns)
        };
        (0..SLOTS as usize).filter(wait).filter_map(|index| {
            let slot = self.slot(index);
            let tag = slot::tag(slot.key);
            let whole = slot::marks(slot.state, tag) && slot.state & state::DEAD == 0;
            whole.then_some((slot, tag))
        })
    }

    fn brief(&self, index: usize) -> Brief {
        // SAFETY: mapped, aligned, the index is checked, and any bits make a brief.
        unsafe { (&raw const (*self.0.as_ptr()).briefs[index]).read_volatile() }
    }

    fn slot(&self, index: usize) -> Slot {
        // SAFETY: as above; any bits make a slot.
        unsafe { (&raw const (*self.0.as_ptr()).slots[index]).read_volatile() }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by open with this length, and nothing refers to it any more.
        if let Err(error) = unsafe { munmap(self.0.cast(), Self::LENGTH.get()) } {
            tracing::debug!("unmapping a table: {error}");
        }
    }
}

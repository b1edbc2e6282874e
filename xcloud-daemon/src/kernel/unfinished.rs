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
};

/// What did not come, of one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Answers to the pod that passed `U_in` and never `P_in`.
    pub into_pod: u64,
    /// Data that passed `P_in` and that `P_out` never saw answered: some is never acknowledged exactly, all of it is
    /// when the pod's answers go past the hook.
    pub out_of_pod: u64,
}

/// The exchanges under way, in both directions.
#[derive(Debug)]
pub struct Tables {
    near: Table,
    far: Table,
}

#[derive(Debug)]
struct Table {
    briefs: Mapped<Brief>,
    slots: Mapped<Slot>,
}

impl Tables {
    /// Those of the loaded object.
    ///
    /// # Errors
    /// The object has no such maps, or the kernel does not show them.
    pub fn of(ebpf: &Ebpf) -> Result<Self> {
        let table = |briefs, slots| {
            anyhow::Ok(Table { briefs: Mapped::of(ebpf, briefs)?, slots: Mapped::of(ebpf, slots)? })
        };
        Ok(Self { near: table("NEAR_BRIEF", "NEAR")?, far: table("FAR_BRIEF", "FAR")? })
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
                pods.entry(slot.pod_ifindex).or_default().into_pod += 1;
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

impl Table {
    /// Young exchanges whose data passed its second hook and that are not settled.
    fn waiting(&self, now_ns: u64) -> impl Iterator<Item = (Slot, u16)> {
        let wait = move |index: &usize| {
            let brief = self.briefs.read(*index);
            brief.stage() == Stage::Passed && brief.is_young(now_ns)
        };
        (0..SLOTS as usize).filter(wait).filter_map(|index| {
            let slot = self.slots.read(index);
            let tag = slot::tag(slot.key);
            let whole = slot::marks(slot.state, tag) && slot.state & state::DEAD == 0;
            whole.then_some((slot, tag))
        })
    }
}

/// An array map's values, as the kernel programs see them.
#[derive(Debug)]
struct Mapped<T>(NonNull<T>);

// SAFETY: the memory belongs to nobody but the kernel, and is only read.
unsafe impl<T> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    const LENGTH: NonZeroUsize =
        NonZeroUsize::new(SLOTS as usize * size_of::<T>()).expect("slots have a size");

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

    /// One value, which programs may be writing: words of it may be of different exchanges, and tags tell.
    fn read(&self, index: usize) -> T {
        assert!(index < SLOTS as usize, "slot {index}");
        // SAFETY: in range, aligned, and any bits make a value of the types used.
        unsafe { self.0.add(index).read_volatile() }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by open with this length, and nothing refers to it any more.
        if let Err(error) = unsafe { munmap(self.0.cast(), Self::LENGTH.get()) } {
            log::debug!("unmapping a table: {error}");
        }
    }
}

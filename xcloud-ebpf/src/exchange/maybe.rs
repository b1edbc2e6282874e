//! What a hook has in hand before it knows whether its packet has a slot.

use core::ptr::{NonNull, null_mut};

use xcloud_common::{brief::Brief, table::Table};

use super::SlotRef;

/// A slot or none. Unlike an `Option`'s, its parts have a value even where there is none: the compiler may keep them on
/// the stack before it is asked, and verifiers before Linux 7 refuse to store what was never set.
#[derive(Clone, Copy, Debug)]
pub struct MaybeSlot {
    brief: Brief,
    table: *mut Table,
    hash: u32,
}

impl MaybeSlot {
    /// No slot.
    pub const NONE: Self = Self { brief: Brief::UNUSED, table: null_mut(), hash: 0 };

    /// This one.
    #[inline(always)]
    #[must_use]
    pub const fn of(slot: SlotRef) -> Self {
        Self { brief: slot.brief, table: slot.table.as_ptr(), hash: slot.hash }
    }

    /// None unless this holds.
    #[inline(always)]
    #[must_use]
    pub const fn only_if(self, holds: bool) -> Self {
        if holds { self } else { Self { table: null_mut(), ..self } }
    }

    /// None unless its exchange's data ends at the sequence number of its hash.
    #[inline(always)]
    #[must_use]
    pub const fn of_its_hash(self) -> Self {
        self.only_if(self.brief.is_of(self.hash))
    }

    /// The slot.
    #[inline(always)]
    #[must_use]
    pub fn get(self) -> Option<SlotRef> {
        let table = NonNull::new(self.table)?;
        Some(SlotRef { brief: self.brief, table, hash: self.hash })
    }
}

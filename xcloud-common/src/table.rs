//! All slots of one direction, as one value: the kernel programs find it by one look-up that the kernel turns into an
//! address, and every slot by adding to that.

use crate::{
    brief::Brief,
    slot::{Late, SLOTS, Slot},
};

/// Slots, what is known of each without touching it, and their second answers. First the slots, so that in a value that
/// starts at a page each lies in one cache line.
#[repr(C)]
#[derive(Debug)]
pub struct Table {
    /// The slots.
    pub slots: [Slot; SLOTS as usize],
    /// What is known of each.
    pub briefs: [Brief; SLOTS as usize],
    /// Second answers.
    pub late: [Late; SLOTS as usize],
}

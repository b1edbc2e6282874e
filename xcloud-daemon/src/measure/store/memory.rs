//! How much memory the store takes, and what goes when it is too much.
//!
//! Counted is what containers have room for, and what the allocator needs beside it. What grows is counted as it grows,
//! so that nobody has to look through millions of cells.

use std::collections::BTreeMap;

use super::{super::cell::Cell, COARSE, Interval, Path, Store};
use crate::measure::bytes;

/// Bytes of a cell and of its place in a table, without its distributions.
pub(super) const CELL: usize =
    bytes::ALLOCATION + size_of::<Cell>() + bytes::entry::<(Path, Box<Cell>)>();

/// Bytes of a cell with all it has.
pub(super) fn of(cell: &Cell) -> usize {
    CELL + cell.heap()
}

/// Exchanges, joined or not, for which there was no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// They were on one path more than may be kept.
    pub paths: u64,
    /// All memory was in use.
    pub memory: u64,
}

impl Store {
    /// Bytes that all of it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sums = self.cumulative.as_ref().map_or(0, |sums| sums.bytes());
        let paths = self.paths.len() * bytes::entry::<Path>();
        self.cell_bytes + sums + paths + self.workloads.bytes()
    }

    /// Exchanges that were refused.
    #[must_use]
    pub const fn refused(&self) -> Refused {
        self.refused
    }

    /// How many intervals were given up before their time, for want of memory.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Forgets what ended by then. Returns whether there was any.
    pub(super) fn forget(&mut self, by_ns: u64) -> bool {
        let width = self.limits.interval_ns;
        let fine = older(&mut self.fine, |number| (number + 1) * width <= by_ns);
        let coarse = older(&mut self.coarse, |number| (number + 1) * COARSE * width <= by_ns);
        self.cell_bytes -= fine + coarse;
        fine + coarse > 0
    }

    /// Gives up the oldest intervals that ended by now, until there is room for what comes before the next call. Returns
    /// whether there was any.
    pub(super) fn give_up(&mut self, now_ns: u64) -> bool {
        let before = self.given_up;
        let width = self.limits.interval_ns;
        let has_ended = |start: u64| start + width <= now_ns;
        while self.bytes() > self.limits.max_bytes / 8 * 7
            && self.oldest_ns().is_some_and(has_ended)
        {
            let fine = self.fine.first_key_value().map(|(number, _)| *number);
            let coarse = self.coarse.first_key_value().map(|(number, _)| number * COARSE);
            let is_coarse = coarse.is_some_and(|coarse| fine.is_none_or(|fine| coarse <= fine));
            let (oldest, intervals) = if is_coarse {
                (self.coarse.pop_first(), COARSE)
            } else {
                (self.fine.pop_first(), 1)
            };
            let Some((number, cells)) = oldest else { break };
            self.cell_bytes -= all(&cells);
            self.kept_from_ns = self.kept_from_ns.max((number + 1) * intervals * width);
            self.given_up += 1;
        }
        self.given_up > before
    }
}

/// Takes the intervals out that are old. Returns their bytes.
fn older(intervals: &mut BTreeMap<u64, Interval>, is_old: impl Fn(u64) -> bool) -> usize {
    let mut bytes = 0;
    while let Some(first) = intervals.first_entry()
        && is_old(*first.key())
    {
        bytes += all(&first.remove());
    }
    bytes
}

fn all(interval: &Interval) -> usize {
    interval.values().map(|cell| of(cell)).sum()
}

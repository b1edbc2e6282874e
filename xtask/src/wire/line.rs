//! Packets under way, in the order in which they are due.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// A packet under way.
#[derive(Debug)]
pub(crate) struct Flying {
    /// When it is to be handed over.
    pub(crate) due: u64,
    order: u64,
    /// To which device.
    pub(crate) port: usize,
    /// Header and packet.
    pub(crate) frame: Vec<u8>,
}

impl PartialEq for Flying {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flying {}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flying {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// All packets under way. Those due at the same time leave in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Line {
    heap: BinaryHeap<Reverse<Flying>>,
    count: u64,
}

impl Line {
    /// Sends a packet on its way.
    pub(crate) fn push(&mut self, due: u64, port: usize, frame: Vec<u8>) {
        self.count += 1;
        self.heap.push(Reverse(Flying { due, order: self.count, port, frame }));
    }

    /// When the next packet is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(flying)| flying.due)
    }

    /// Takes the next packet that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Flying> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(flying)| flying)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_by_due_time_then_by_arrival() {
        let mut line = Line::default();
        for (due, id) in [(30, 1), (10, 2), (30, 3), (20, 4)] {
            line.push(due, id, Vec::new());
        }
        assert_eq!(line.pop_due(9).map(|f| f.port), None);
        let order: Vec<_> = std::iter::from_fn(|| line.pop_due(30)).map(|f| f.port).collect();
        assert_eq!(order, [2, 4, 1, 3]);
        assert_eq!(line.next_due(), None);
    }
}

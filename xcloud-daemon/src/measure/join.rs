//! Brings both ends of an exchange together, within a bounded time and a bounded table.
//!
//! The key holds no address, since NAT may change them: the end of the data, its TSval and the kind. A pair is joined
//! only if both ends name the same answering packet and the far end's time fits into the near end's. Where two
//! observations claim the same end, nothing tells which is right, so none is joined. Every observation is counted in
//! exactly one place.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::{Kind, Observation, between};

/// The far end's time may exceed the near end's by this much and [`DRIFT_PPM`], since hooks on a busy node run late.
const SLACK_NS: u64 = 1_000_000;

/// Most that two nodes' clock rates may differ, in parts per million.
pub const DRIFT_PPM: u64 = 100;

/// What the join may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one end waits for the other, in nanoseconds.
    pub window_ns: u64,
    /// Most keys held at once.
    pub capacity: usize,
}

/// Where observations went. At every moment
/// `received = 2 * joined + near_alone + far_alone + other_answer + table_full + ambiguous + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations taken in.
    pub received: u64,
    /// Exchanges joined, two observations each.
    pub joined: u64,
    /// Near ends whose far end never came.
    pub near_alone: u64,
    /// Far ends whose near end never came.
    pub far_alone: u64,
    /// Ends that met but named different answering packets.
    pub other_answer: u64,
    /// Refused because the table was full.
    pub table_full: u64,
    /// Not to be told apart, or of times that cannot belong together.
    pub ambiguous: u64,
    /// Waiting for the other end.
    pub waiting: u64,
}

/// What became of one or two observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both ends of one exchange.
    Joined {
        /// The end of the node that sent.
        near: Observation,
        /// The end of the node that answered.
        far: Observation,
    },
    /// Both ends, but the first answer was lost on the way.
    OtherAnswer {
        /// The end of the node that sent.
        near: Observation,
        /// The end of the node that answered.
        far: Observation,
    },
    /// The other end did not come within the window.
    Alone(Observation),
    /// Not to be told apart from another.
    Ambiguous(Observation),
    /// No room.
    TableFull(Observation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    end_seq: u32,
    tsval: u32,
    kind: Kind,
}

#[derive(Debug)]
struct Held {
    /// Tells this entry from an earlier one of the same key in `order`.
    serial: u64,
    /// The end that waits; none when the key is spent: two claimed it, so nothing more may join under it.
    waits: Option<Observation>,
}

/// Observations waiting for their other end.
#[derive(Debug)]
pub struct Join {
    limits: Limits,
    held: HashMap<Key, Held>,
    /// By time of arrival; entries whose serial is gone are stale.
    order: VecDeque<(u64, Key, u64)>,
    serial: u64,
    counts: Counts,
}

impl Join {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: HashMap::new(),
            order: VecDeque::new(),
            serial: 0,
            counts: Counts::default(),
        }
    }

    /// What it may hold.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where observations went.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes one observation in at `now_ns`; whatever is decided by it goes to `out`.
    pub fn add(&mut self, now_ns: u64, new: Observation, out: &mut impl FnMut(Outcome)) {
        self.counts.received += 1;
        let key = Key { end_seq: new.sample.end_seq, tsval: new.sample.tsval, kind: new.kind };
        let room = self.held.len() < self.limits.capacity;
        match self.held.entry(key) {
            Entry::Vacant(_) if !room => {
                self.counts.table_full += 1;
                out(Outcome::TableFull(new));
            }
            Entry::Vacant(entry) => {
                self.serial += 1;
                entry.insert(Held { serial: self.serial, waits: Some(new) });
                self.order.push_back((now_ns, key, self.serial));
                self.counts.waiting += 1;
                self.forget_stale();
            }
            Entry::Occupied(mut entry) => match entry.get_mut().waits.take() {
                None => {
                    self.counts.ambiguous += 1;
                    out(Outcome::Ambiguous(new));
                }
                Some(old) => {
                    self.counts.waiting -= 1;
                    if Self::meet(&mut self.counts, old, new, out) {
                        entry.remove();
                    }
                }
            },
        }
    }

    /// Decides about two observations of one key; returns whether the key is free again.
    fn meet(
        counts: &mut Counts,
        old: Observation,
        new: Observation,
        out: &mut impl FnMut(Outcome),
    ) -> bool {
        let (near, far) = if old.is_far() { (new, old) } else { (old, new) };
        let ends = !near.is_far() && far.is_far() && near.agent != far.agent;
        if ends && near.sample.answer != far.sample.answer {
            counts.other_answer += 2;
            out(Outcome::OtherAnswer { near, far });
            true
        } else if ends && plausible(&near, &far) {
            counts.joined += 1;
            out(Outcome::Joined { near, far });
            true
        } else {
            counts.ambiguous += 2;
            out(Outcome::Ambiguous(old));
            out(Outcome::Ambiguous(new));
            false
        }
    }

    /// Gives up whatever has waited for the whole window at `now_ns`.
    pub fn expire(&mut self, now_ns: u64, out: &mut impl FnMut(Outcome)) {
        while let Some((arrived, key, serial)) = self.order.front().copied() {
            if now_ns.saturating_sub(arrived) < self.limits.window_ns {
                return;
            }
            self.order.pop_front();
            let Entry::Occupied(entry) = self.held.entry(key) else { continue };
            if entry.get().serial != serial {
                continue;
            }
            if let Some(alone) = entry.remove().waits {
                self.counts.waiting -= 1;
                let count = if alone.is_far() {
                    &mut self.counts.far_alone
                } else {
                    &mut self.counts.near_alone
                };
                *count += 1;
                out(Outcome::Alone(alone));
            }
        }
    }

    /// Entries leave `order` when they expire, but most are joined long before: keep it within twice the table.
    fn forget_stale(&mut self) {
        const SMALL: usize = 1024;
        if self.order.len() > 2 * self.held.len() + SMALL {
            let held = &self.held;
            self.order
                .retain(|(_, key, serial)| held.get(key).is_some_and(|one| one.serial == *serial));
        }
    }
}

/// Whether the far end's time fits into the near end's, both measured between their uplink hooks.
fn plausible(near: &Observation, far: &Observation) -> bool {
    let far_ns = far.sample.last_ns.saturating_sub(far.sample.first_ns);
    let near_ns = between(near.sample.second_ns, near.sample.third_ns)
        .unwrap_or_else(|| near.sample.last_ns.saturating_sub(near.sample.first_ns));
    far_ns <= near_ns.saturating_add(SLACK_NS).saturating_add(near_ns / 1_000_000 * DRIFT_PPM)
}

#[cfg(test)]
mod tests;

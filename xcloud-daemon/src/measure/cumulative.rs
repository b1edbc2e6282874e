//! What was measured since the start, by path: counters that only grow, for systems that take differences themselves.
//!
//! The store forgets; this does not, but it has no time axis and wider buckets: some 5 KB a path where the store's hour
//! takes megabytes. Each exchange is added here when it is added there, so nothing is merged when somebody asks.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Kind, SEGMENTS, Segment, Site, bytes,
    cell::Counts,
    ends::{self, EndId, Ends},
    exponential::Exponential,
    split::Split,
    store::Path,
    tier::Tier,
    workload::Workloads,
};

/// How often paths that nobody uses any more are looked for when there is no room.
const SWEEP_NS: u64 = 60_000_000_000;

/// Bytes set aside for each path that may be kept: what it takes where its times spread over six octaves.
const SET_ASIDE: usize = 8 << 10;
/// Part of the store's memory that may be set aside.
const SHARE: usize = 4;

/// How finely, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What tells paths apart.
    pub tier: Tier,
    /// Most paths kept apart; exchanges on further ones are summed.
    pub most: usize,
    /// Where there is no room, paths without exchanges for so long are forgotten.
    pub idle_ns: u64,
}

/// What tells sums apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Where the data was sent.
    pub near: EndId,
    /// Where it was answered.
    pub far: EndId,
    /// Kind of exchange.
    pub kind: Kind,
}

/// What a path's numbers mean in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// Sites, by number.
    pub(super) sites: &'a [Arc<Site>],
    /// Names of workloads.
    pub(super) workloads: &'a Workloads,
}

/// One path's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Since when it counts, in nanoseconds since 1970; 0 for the start.
    pub since_ns: u64,
    last_ns: u64,
    /// Numbers of exchanges.
    pub counts: Counts,
    /// Whole times.
    pub total: Exponential,
    segments: [Exponential; SEGMENTS],
}

impl Series {
    /// Times of the segments that were measured, in the order of travel.
    pub fn segments(&self) -> impl Iterator<Item = (Segment, &Exponential)> {
        let all = Segment::ALL.iter().zip(&self.segments);
        all.filter(|(_, times)| times.count() > 0).map(|(one, times)| (one.0, times))
    }

    /// Bytes of its distributions.
    fn heap(&self) -> usize {
        self.total.heap() + self.segments.iter().map(Exponential::heap).sum::<usize>()
    }

    fn record(&mut self, split: &Split, shift: u8) {
        self.counts.add(split, shift);
        self.total.record(split.total_ns);
        for (segment, ns) in split.measured() {
            self.segments[segment as usize].record(u64::try_from(ns).unwrap_or(0));
        }
    }
}

/// All paths' sums.
#[derive(Debug)]
pub struct Cumulative {
    limits: Limits,
    ends: Ends,
    /// What each of the store's paths is here.
    keys: HashMap<Path, Key>,
    series: HashMap<Key, Box<Series>>,
    /// By kind: exchanges on paths for which there was no room.
    other: [Series; Kind::ALL.len()],
    swept_ns: u64,
    forgotten: u64,
    /// Most paths for which there is memory.
    room: usize,
    /// Bytes of all distributions.
    heap: usize,
}

impl Cumulative {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ends: Ends::new(limits.tier.shown()),
            keys: HashMap::new(),
            series: HashMap::new(),
            other: Default::default(),
            swept_ns: 0,
            forgotten: 0,
            room: usize::MAX,
            heap: 0,
        }
    }

    /// Where there is no room, forgets paths without exchanges for so long from now on.
    pub(super) const fn set_idle(&mut self, idle_ns: u64) {
        self.limits.idle_ns = idle_ns;
    }

    /// Keeps no more paths apart than a part of so many bytes has room for; those there are stay.
    pub(super) const fn set_room(&mut self, bytes: usize) {
        self.room = bytes / SHARE / SET_ASIDE;
    }

    /// Bytes that all of it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let one = size_of::<Series>() + bytes::ALLOCATION + bytes::entry::<(Key, Box<Series>)>();
        let keys = self.keys.len() * bytes::entry::<(Path, Key)>();
        self.heap + self.series.len() * one + keys + self.ends.bytes()
    }

    /// Adds an exchange, one of `2^shift`, that ended at `ended_ns` since 1970.
    pub(super) fn record(
        &mut self,
        ended_ns: u64,
        path: Path,
        names: Names<'_>,
        split: &Split,
        shift: u8,
    ) {
        let series = self.of(ended_ns, path, names);
        let before = series.heap();
        series.record(split, shift);
        let grown = series.heap() - before;
        self.heap += grown;
    }

    /// Counts exchanges of a path that were not joined.
    pub(super) fn count(
        &mut self,
        ended_ns: u64,
        path: Path,
        names: Names<'_>,
        count: impl FnOnce(&mut Counts),
    ) {
        count(&mut self.of(ended_ns, path, names).counts);
    }

    fn of(&mut self, ended_ns: u64, path: Path, names: Names<'_>) -> &mut Series {
        let key = self.key(path, names);
        let is_other = (key.near, key.far) == (ends::OTHER, ends::OTHER);
        if is_other || !self.series.contains_key(&key) && !self.has_room(ended_ns) {
            return &mut self.other[path.kind as usize];
        }
        // What counts anew after it was forgotten did not count all the time.
        let since_ns = if self.forgotten > 0 { ended_ns } else { 0 };
        let series = self.series.entry(key);
        let series = series.or_insert_with(|| Box::new(Series { since_ns, ..Series::default() }));
        series.last_ns = series.last_ns.max(ended_ns);
        series
    }

    /// A path as the tier tells it apart.
    fn key(&mut self, path: Path, names: Names<'_>) -> Key {
        if let Some(key) = self.keys.get(&path) {
            return *key;
        }
        let shown = self.ends.shown();
        let mut end = |site, workload| {
            let site: &Site = &names.sites[site as usize];
            self.ends.id(shown.labels(site, names.workloads.get(workload)))
        };
        let near = end(path.near, path.near_workload);
        let far = path.far.map_or(ends::UNKNOWN, |far| end(far, path.far_workload));
        let key = Key { near, far, kind: path.kind };
        self.keys.insert(path, key);
        key
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        let most = self.most();
        let is_full = |all: &HashMap<_, _>| all.len() >= most;
        if is_full(&self.series) && now_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = now_ns;
            let before = self.series.len();
            let oldest = now_ns.saturating_sub(self.limits.idle_ns);
            let idle = self.series.extract_if(|_, series| series.last_ns < oldest);
            self.heap -= idle.map(|(_, series)| series.heap()).sum::<usize>();
            self.forgotten += (before - self.series.len()) as u64;
        }
        !is_full(&self.series)
    }

    /// Forgets what the store's paths were here but for those that it keeps: it gives their numbers to others.
    pub(super) fn retain(&mut self, kept: &HashSet<Path>) {
        self.keys.retain(|path, _| kept.contains(path));
        let keys = self.keys.values().chain(self.series.keys());
        let borne = keys.flat_map(|key| [key.near, key.far]).collect();
        self.ends.sweep(&borne);
    }

    /// What is kept apart, in an order that stays.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.series.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// The sums of one of them.
    #[must_use]
    pub fn series(&self, key: &Key) -> Option<&Series> {
        self.series.get(key).map(AsRef::as_ref)
    }

    /// What was summed, by kind.
    pub fn other(&self) -> impl Iterator<Item = (Kind, &Series)> {
        Kind::ALL.iter().map(|(kind, ..)| *kind).zip(&self.other)
    }

    /// The ends of paths, with their labels.
    #[must_use]
    pub const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// How finely, and how much.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Most paths kept apart: as many as may be, if there is memory for them.
    #[must_use]
    pub fn most(&self) -> usize {
        self.limits.most.min(self.room)
    }

    /// How many paths are kept apart.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there were no exchanges yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// How many of the store's paths, as they are told apart here, are summed for want of room.
    #[must_use]
    pub fn cut(&self) -> usize {
        let cut = self.keys.values().filter(|key| !self.series.contains_key(key));
        cut.collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests;

//! What was measured since the start, by path: counters that only grow, for systems that take differences themselves.
//!
//! The store forgets; this does not, but it has no time axis and wider buckets: some 5 KB a path where the store's hour
//! takes a megabyte. Each exchange is added here when it is added there, so nothing is merged when somebody asks.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Kind, SEGMENTS, Segment, Site,
    cell::Counts,
    exponential::Exponential,
    split::Split,
    store::Path,
    tier::{Tier, Tiers},
};

/// How often paths that nobody uses any more are looked for when there is no room.
const SWEEP_NS: u64 = 60_000_000_000;

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
    tiers: Tiers,
    series: HashMap<Path, Box<Series>>,
    /// By kind: exchanges on paths for which there was no room.
    other: [Series; Kind::ALL.len()],
    swept_ns: u64,
    forgotten: u64,
}

impl Cumulative {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tiers: Tiers::new(limits.tier),
            series: HashMap::new(),
            other: Default::default(),
            swept_ns: 0,
            forgotten: 0,
        }
    }

    /// Adds an exchange, one of `2^shift`, that ended at `ended_ns` since 1970.
    pub(super) fn record(
        &mut self,
        ended_ns: u64,
        path: Path,
        sites: &[Arc<Site>],
        split: &Split,
        shift: u8,
    ) {
        self.of(ended_ns, path, sites).record(split, shift);
    }

    /// Counts exchanges of a path that were not joined.
    pub(super) fn count(
        &mut self,
        ended_ns: u64,
        path: Path,
        sites: &[Arc<Site>],
        count: impl FnOnce(&mut Counts),
    ) {
        count(&mut self.of(ended_ns, path, sites).counts);
    }

    fn of(&mut self, ended_ns: u64, path: Path, sites: &[Arc<Site>]) -> &mut Series {
        let key = self.key(path, sites);
        if !self.series.contains_key(&key) && !self.has_room(ended_ns) {
            return &mut self.other[path.kind as usize];
        }
        // What counts anew after it was forgotten did not count all the time.
        let since_ns = if self.forgotten > 0 { ended_ns } else { 0 };
        let series = self.series.entry(key);
        let series = series.or_insert_with(|| Box::new(Series { since_ns, ..Series::default() }));
        series.last_ns = series.last_ns.max(ended_ns);
        series
    }

    /// A path as the tier tells it apart: by places, whoever's pods are there.
    fn key(&mut self, path: Path, sites: &[Arc<Site>]) -> Path {
        let mut coarse = |id| self.tiers.id(id, &sites[id as usize]);
        Path::new(coarse(path.near), path.far.map(coarse), path.kind)
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        let is_full = |all: &HashMap<_, _>| all.len() >= self.limits.most;
        if is_full(&self.series) && now_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = now_ns;
            let before = self.series.len();
            let oldest = now_ns.saturating_sub(self.limits.idle_ns);
            self.series.retain(|_, series| series.last_ns >= oldest);
            self.forgotten += (before - self.series.len()) as u64;
        }
        !is_full(&self.series)
    }

    /// The paths kept apart, in an order that stays.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut paths: Vec<_> = self.series.keys().copied().collect();
        paths.sort_unstable();
        paths
    }

    /// One of them.
    #[must_use]
    pub fn path(&self, path: &Path) -> Option<&Series> {
        self.series.get(path).map(AsRef::as_ref)
    }

    /// What was summed, by kind.
    pub fn other(&self) -> impl Iterator<Item = (Kind, &Series)> {
        Kind::ALL.iter().map(|(kind, ..)| *kind).zip(&self.other)
    }

    /// What its labels are made of.
    #[must_use]
    pub const fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// How finely, and how much.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
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

    /// How many of these paths are summed for want of room.
    pub(super) fn cut<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> usize {
        let key = |path: &Path| {
            let near = self.tiers.known(path.near)?;
            let far = path.far.map(|far| self.tiers.known(far));
            let far = if let Some(far) = far { Some(far?) } else { None };
            Some(Path::new(near, far, path.kind))
        };
        let cut: HashSet<_> =
            paths.filter_map(key).filter(|key| !self.series.contains_key(key)).collect();
        cut.len()
    }
}

#[cfg(test)]
mod tests;

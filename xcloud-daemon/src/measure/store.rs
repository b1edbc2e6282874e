//! Keeps exchanges per path, kind and interval, for as long as asked and in bounded space. What is older than
//! [`COARSE`] intervals is merged into one [`COARSE`] times as wide, so that an hour is answered from few cells.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

pub use self::memory::Refused;
use super::{
    Kind, Site,
    cell::{Cell, Counts},
    cumulative::{self, Cumulative, Names},
    split::Split,
    workload::{self, Keep, WorkloadId, Workloads},
};

/// Intervals merged into one when they are older than as many.
pub const COARSE: u64 = 30;

/// Paths whose intervals are merged in one go, so that nobody waits long for the lock.
const MERGED_AT_ONCE: usize = 1000;

/// What the store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width of an interval in nanoseconds.
    pub interval_ns: u64,
    /// How long data is kept, in nanoseconds.
    pub retention_ns: u64,
    /// Most paths kept apart: pairs of sites and workloads, and a kind.
    pub max_paths: usize,
    /// Most bytes that all of it may take.
    pub max_bytes: usize,
    /// Which names tell them apart.
    pub keep: Keep,
}

/// Number of a site in the store.
pub type SiteId = u32;

/// What tells exchanges apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Where the data was sent.
    pub near: SiteId,
    /// Where it was answered; none when no far node was seen.
    pub far: Option<SiteId>,
    /// Kind of exchange.
    pub kind: Kind,
    /// Whose pod sent it.
    pub near_workload: WorkloadId,
    /// Whose pod answered it.
    pub far_workload: WorkloadId,
    /// Where it was addressed to, if that is known and no far node was seen.
    pub toward: Option<SiteId>,
}

impl Path {
    /// One without names.
    #[must_use]
    pub const fn new(near: SiteId, far: Option<SiteId>, kind: Kind) -> Self {
        let (near_workload, far_workload) = (workload::UNKNOWN, workload::UNKNOWN);
        Self { near, far, kind, near_workload, far_workload, toward: None }
    }
}

/// Part of a time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Start in nanoseconds since 1970, inside.
    pub start_ns: u64,
    /// End in nanoseconds since 1970, outside.
    pub end_ns: u64,
}

/// Cells are boxed: a table of them has to grow by doubling, and would keep half of that room empty.
type Interval = HashMap<Path, Box<Cell>>;

/// The store.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    sites: Vec<Arc<Site>>,
    site_ids: HashMap<Arc<Site>, SiteId>,
    /// Numbers of sites that were forgotten.
    free_sites: Vec<SiteId>,
    /// By number of the interval since 1970.
    fine: BTreeMap<u64, Interval>,
    /// By number of the wide interval since 1970.
    coarse: BTreeMap<u64, Interval>,
    /// First wide interval not merged yet.
    next_coarse: u64,
    paths: HashSet<Path>,
    /// Bytes that cells take.
    cell_bytes: usize,
    refused: Refused,
    given_up: u64,
    /// End of what was given up.
    kept_from_ns: u64,
    /// Names of workloads.
    pub workloads: Workloads,
    /// Sums since the start, where anybody wants them.
    cumulative: Option<Cumulative>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sites: Vec::new(),
            site_ids: HashMap::new(),
            free_sites: Vec::new(),
            fine: BTreeMap::new(),
            coarse: BTreeMap::new(),
            next_coarse: 0,
            paths: HashSet::new(),
            cell_bytes: 0,
            refused: Refused::default(),
            given_up: 0,
            kept_from_ns: 0,
            // As many as there can be paths is more than they can tell apart.
            workloads: Workloads::new(limits.keep, limits.max_paths),
            cumulative: None,
        }
    }

    /// Keeps as much from now on; what is too much already goes with the next rotation. The interval stays.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits.retention_ns = limits.retention_ns;
        self.limits.max_paths = limits.max_paths;
        self.limits.max_bytes = limits.max_bytes;
        self.workloads.set_limit(limits.max_paths);
        if let Some(sums) = &mut self.cumulative {
            sums.set_idle(limits.retention_ns);
            sums.set_room(limits.max_bytes);
        }
    }

    /// Also sums what comes from now on since the start.
    pub fn keep_cumulative(&mut self, limits: cumulative::Limits) {
        let mut sums = Cumulative::new(limits);
        sums.set_room(self.limits.max_bytes);
        self.cumulative = Some(sums);
    }

    /// Those sums, if they are kept.
    #[must_use]
    pub const fn cumulative(&self) -> Option<&Cumulative> {
        self.cumulative.as_ref()
    }

    /// How many paths are kept apart now.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.paths.len()
    }

    /// What it may hold.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of a site; the same for the same labels.
    pub fn site_id(&mut self, site: &Site) -> SiteId {
        if let Some(id) = self.site_ids.get(site) {
            return *id;
        }
        let site = Arc::new(site.clone());
        let id = if let Some(id) = self.free_sites.pop() {
            self.sites[id as usize] = Arc::clone(&site);
            id
        } else {
            self.sites.push(Arc::clone(&site));
            SiteId::try_from(self.sites.len() - 1).unwrap_or(SiteId::MAX)
        };
        self.site_ids.insert(site, id);
        id
    }

    /// Whether a site has a number.
    #[must_use]
    pub fn knows_site(&self, site: &Site) -> bool {
        self.site_ids.contains_key(site)
    }

    /// How many sites have one.
    #[must_use]
    pub fn sites(&self) -> usize {
        self.site_ids.len()
    }

    /// Forgets sites that no path bears and that are not in `borne`.
    pub fn forget_sites(&mut self, mut borne: HashSet<SiteId>) {
        let of = |path: &Path| [Some(path.near), path.far, path.toward].into_iter().flatten();
        borne.extend(self.paths.iter().flat_map(of));
        let idle = self.site_ids.extract_if(|_, id| !borne.contains(id));
        self.free_sites.extend(idle.map(|(_, id)| id));
    }

    /// A site by its number.
    ///
    /// # Panics
    /// The number was not given by this store.
    #[must_use]
    pub fn site(&self, id: SiteId) -> &Arc<Site> {
        &self.sites[id as usize]
    }

    /// How long data is kept, in nanoseconds.
    #[must_use]
    pub const fn retention_ns(&self) -> u64 {
        self.limits.retention_ns
    }

    /// Adds an exchange, one of `2^shift`, that ended at `ended_ns` since 1970. Returns false when there is no room.
    #[must_use]
    pub fn record(&mut self, ended_ns: u64, path: Path, split: &Split, shift: u8) -> bool {
        if !self.change(ended_ns, path, |cell| cell.record(split, shift)) {
            return false;
        }
        if let Some(sums) = &mut self.cumulative {
            let names = Names { sites: &self.sites, workloads: &self.workloads };
            sums.record(ended_ns, path, names, split, shift);
        }
        true
    }

    /// Counts exchanges of a path that were not joined; not when there is no room.
    pub fn count(&mut self, ended_ns: u64, path: Path, count: impl Fn(&mut Counts)) {
        if !self.change(ended_ns, path, |cell| count(&mut cell.counts)) {
            return;
        }
        if let Some(sums) = &mut self.cumulative {
            let names = Names { sites: &self.sites, workloads: &self.workloads };
            sums.count(ended_ns, path, names, count);
        }
    }

    /// Changes a path's cell, made if need be. Returns false when there is no room.
    fn change(&mut self, ended_ns: u64, path: Path, change: impl FnOnce(&mut Cell)) -> bool {
        if self.bytes() >= self.limits.max_bytes {
            self.refused.memory += 1;
            return false;
        }
        if !self.paths.contains(&path) {
            if self.paths.len() >= self.limits.max_paths {
                self.refused.paths += 1;
                return false;
            }
            self.paths.insert(path);
        }
        let number = ended_ns / self.limits.interval_ns;
        let interval = if number / COARSE < self.next_coarse {
            self.coarse.entry(number / COARSE).or_default()
        } else {
            self.fine.entry(number).or_default()
        };
        let cell = match interval.entry(path) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(place) => {
                self.cell_bytes += memory::CELL;
                place.insert(Box::default())
            }
        };
        let before = cell.heap();
        change(cell);
        self.cell_bytes += cell.heap() - before;
        true
    }

    /// Forgets what is older than is kept, gives up the oldest where there is no room, and merges some of what is old, as
    /// of `now_ns` since 1970; to be called every second or so.
    pub fn rotate(&mut self, now_ns: u64) {
        let now = now_ns / self.limits.interval_ns;
        self.next_coarse = self.next_coarse.max((now / COARSE).saturating_sub(1));
        self.merge_some();
        self.seal(now);
        let oldest_kept = now_ns.saturating_sub(self.limits.retention_ns);
        let forgotten = self.forget(oldest_kept) | self.give_up(now_ns);
        if forgotten {
            let oldest_kept = oldest_kept.max(self.oldest_ns().unwrap_or(0));
            let intervals = self.fine.values().chain(self.coarse.values());
            self.paths = intervals.flat_map(HashMap::keys).copied().collect();
            let ends = |path: &Path| [path.near_workload, path.far_workload];
            let borne = self.paths.iter().flat_map(ends).collect();
            self.workloads.sweep(oldest_kept, &borne);
            if let Some(sums) = &mut self.cumulative {
                sums.retain(&self.paths);
            }
        }
    }

    /// Moves some paths' cells of the oldest wide interval that is due from its narrow ones.
    fn merge_some(&mut self) {
        let Some((oldest, interval)) = self.fine.first_key_value() else { return };
        let wide = oldest / COARSE;
        if wide >= self.next_coarse {
            return;
        }
        let paths: Vec<_> = interval.keys().take(MERGED_AT_ONCE).copied().collect();
        for path in paths {
            let narrow = self.fine.range_mut(wide * COARSE..(wide + 1) * COARSE);
            let mut cells: Vec<_> =
                narrow.filter_map(|(_, interval)| interval.remove(&path)).collect();
            let interval = self.coarse.entry(wide).or_default();
            cells.extend(interval.remove(&path));
            let mut merged =
                Box::new(Cell::merged(&cells.iter().map(AsRef::as_ref).collect::<Vec<_>>()));
            // Merging reserves room for the buckets of all.
            merged.shrink();
            self.cell_bytes += memory::of(&merged);
            self.cell_bytes -= cells.iter().map(|cell| memory::of(cell)).sum::<usize>();
            interval.insert(path, merged);
        }
        self.fine.retain(|_, interval| !interval.is_empty());
    }

    /// The interval that just ended will hardly grow any more.
    fn seal(&mut self, now: u64) {
        if let Some(interval) = self.fine.get_mut(&now.saturating_sub(1)) {
            for cell in interval.values_mut() {
                let before = cell.heap();
                cell.shrink();
                self.cell_bytes -= before - cell.heap();
            }
        }
    }

    /// Start of the oldest data in nanoseconds since 1970; `None` when there is none.
    #[must_use]
    pub fn oldest_ns(&self) -> Option<u64> {
        let width = self.limits.interval_ns;
        let fine = self.fine.first_key_value().map(|(number, _)| number * width);
        let coarse = self.coarse.first_key_value().map(|(number, _)| number * COARSE * width);
        // A wide interval may be what is left of one whose first part was given up.
        fine.into_iter().chain(coarse).min().map(|oldest| oldest.max(self.kept_from_ns))
    }

    /// Merges all cells of a range that `group` gives a key, by that key. Also returns the range answered, widened to
    /// whole intervals.
    #[must_use]
    pub fn query<K: Ord>(
        &self,
        range: Range,
        group: impl Fn(&Path) -> Option<K>,
    ) -> (Range, BTreeMap<K, Cell>) {
        // Asked once a path, not once a cell: a path has a cell in each interval.
        let mut members: BTreeMap<K, HashSet<Path>> = BTreeMap::new();
        for path in &self.paths {
            if let Some(key) = group(path) {
                members.entry(key).or_default().insert(*path);
            }
        }
        let (answered, intervals) = self.within(range);
        let groups = members.into_iter().filter_map(|(key, paths)| {
            let cells: Vec<_> = intervals
                .iter()
                .flat_map(|interval| paths.iter().filter_map(|path| interval.get(path)))
                .map(AsRef::as_ref)
                .collect();
            (!cells.is_empty()).then(|| (key, Cell::merged(&cells)))
        });
        (answered, groups.collect())
    }

    /// The intervals that a range touches, and the range they make together.
    fn within(&self, range: Range) -> (Range, Vec<&Interval>) {
        let width = self.limits.interval_ns;
        let fine = self.fine.iter().map(|(number, interval)| (number * width, width, interval));
        let wide = COARSE * width;
        let coarse = self.coarse.iter().map(|(number, interval)| (number * wide, wide, interval));
        let mut answered = range;
        let mut intervals = Vec::new();
        for (start, width, interval) in coarse.chain(fine) {
            if start < range.end_ns && start + width > range.start_ns {
                answered.start_ns = answered.start_ns.min(start);
                answered.end_ns = answered.end_ns.max(start + width);
                intervals.push(interval);
            }
        }
        (answered, intervals)
    }
}

mod memory;
#[cfg(test)]
mod tests;

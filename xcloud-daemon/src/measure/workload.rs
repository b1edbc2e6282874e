//! Names of workloads, each by a number, in bounded space. Pods come and go, so names that no data bears are forgotten.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::bytes;

/// Whose a pod is; an empty field is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Kind of what runs the pod.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The pod.
    pub pod: String,
}

/// Which names tell paths apart. More of them mean more paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// None.
    Nothing,
    /// Namespaces.
    Namespace,
    /// Namespaces and workloads.
    #[default]
    Workload,
    /// Namespaces, workloads and pods.
    Pod,
}

impl Keep {
    /// The part of a name that is kept.
    #[must_use]
    pub fn of(self, full: &Workload) -> Workload {
        let upto = |least: Self, text: &String| {
            if self >= least { text.clone() } else { String::new() }
        };
        Workload {
            namespace: upto(Self::Namespace, &full.namespace),
            kind: upto(Self::Workload, &full.kind),
            name: upto(Self::Workload, &full.name),
            pod: upto(Self::Pod, &full.pod),
        }
    }
}

/// Number of a name.
pub type WorkloadId = u32;

/// The number of what is not known.
pub const UNKNOWN: WorkloadId = 0;

/// The names.
#[derive(Debug)]
pub struct Workloads {
    keep: Keep,
    limit: usize,
    unknown: Arc<Workload>,
    /// By number, from 1.
    known: Vec<Option<Known>>,
    ids: HashMap<Arc<Workload>, WorkloadId>,
    free: Vec<WorkloadId>,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    workload: Arc<Workload>,
    used_ns: u64,
}

impl Workloads {
    /// At most `limit` names.
    #[must_use]
    pub fn new(keep: Keep, limit: usize) -> Self {
        Self {
            keep,
            limit,
            unknown: Arc::default(),
            known: Vec::new(),
            ids: HashMap::new(),
            free: Vec::new(),
            bytes: 0,
        }
    }

    /// At most `limit` names from now on; those there are stay.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Which names are kept.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        self.keep
    }

    /// The number of a name's part that is kept; `None` when there is no room for it.
    pub fn id(&mut self, now_ns: u64, full: &Workload) -> Option<WorkloadId> {
        let kept = self.keep.of(full);
        if kept == *self.unknown {
            return Some(UNKNOWN);
        }
        let id = match self.ids.get(&kept) {
            Some(id) => *id,
            None => self.add(kept)?,
        };
        if let Some(Some(known)) = self.known.get_mut(id as usize - 1) {
            known.used_ns = known.used_ns.max(now_ns);
        }
        Some(id)
    }

    fn add(&mut self, kept: Workload) -> Option<WorkloadId> {
        if self.ids.len() >= self.limit {
            return None;
        }
        self.bytes += size(&kept);
        let workload = Arc::new(kept);
        let known = Some(Known { workload: Arc::clone(&workload), used_ns: 0 });
        let id = if let Some(id) = self.free.pop() {
            self.known[id as usize - 1] = known;
            id
        } else {
            self.known.push(known);
            WorkloadId::try_from(self.known.len()).ok()?
        };
        self.ids.insert(workload, id);
        Some(id)
    }

    /// A name by its number.
    #[must_use]
    pub fn get(&self, id: WorkloadId) -> &Arc<Workload> {
        let known = (id as usize).checked_sub(1).and_then(|at| self.known.get(at)?.as_ref());
        known.map_or(&self.unknown, |known| &known.workload)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes that they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets names that no data bears and that were last told before `before_ns`.
    pub fn sweep(&mut self, before_ns: u64, borne: &HashSet<WorkloadId>) {
        for (id, slot) in (1..).zip(&mut self.known) {
            let idle = slot.as_ref().is_some_and(|known| known.used_ns < before_ns);
            if idle
                && !borne.contains(&id)
                && let Some(known) = slot.take()
            {
                self.ids.remove(&known.workload);
                self.bytes -= size(&known.workload);
                self.free.push(id);
            }
        }
    }
}

/// Bytes of a name and of its places.
fn size(Workload { namespace, kind, name, pod }: &Workload) -> usize {
    let places = bytes::entry::<(Arc<Workload>, WorkloadId)>() + size_of::<Option<Known>>();
    let own = size_of::<Workload>() + 2 * bytes::ALLOCATION;
    places + own + bytes::texts([namespace, kind, name, pod])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str) -> Workload {
        Workload { name: name.into(), pod: format!("{name}-1"), ..Workload::default() }
    }

    #[test]
    fn a_name_keeps_its_number_and_loses_what_is_not_kept() {
        let mut all = Workloads::new(Keep::Workload, 10);
        let cart = all.id(1, &workload("cart")).expect("room");
        let again = all.id(2, &Workload { pod: "cart-2".into(), ..workload("cart") });
        assert_eq!(again, Some(cart));
        assert_eq!((&all.get(cart).name[..], &all.get(cart).pod[..]), ("cart", ""));
        assert_eq!(all.id(3, &Workload { pod: "x".into(), ..Workload::default() }), Some(UNKNOWN));
        assert_eq!(**all.get(UNKNOWN), Workload::default());
        assert_eq!(**all.get(99), Workload::default(), "a number never given");
    }

    #[test]
    fn what_finds_no_room_has_no_number_until_another_is_forgotten() {
        let mut all = Workloads::new(Keep::Pod, 2);
        let [a, b] = ["a", "b"].map(|name| all.id(1, &workload(name)).expect("room"));
        assert_eq!(all.id(2, &workload("c")), None);
        all.sweep(2, &HashSet::from([a]));
        assert_eq!(all.len(), 1);
        assert_eq!(all.id(3, &workload("c")), Some(b), "its number is used again");
        assert_eq!(all.get(a).name, "a");
        assert_eq!(all.get(b).name, "c");
        all.sweep(3, &HashSet::new());
        assert_eq!((all.len(), &all.get(b).name[..]), (1, "c"), "it was told just now");
    }
}

//! Ends of paths as a tier tells them apart, each by a number. What has the same labels is the same end, wherever that
//! text came from: no two series may bear the same labels.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    bytes,
    tier::{Labels, Shown},
};

/// Number of an end.
pub type EndId = u32;

/// The end of which nothing is known.
pub const UNKNOWN: EndId = 0;
/// Both ends of what is summed for want of room.
pub const OTHER: EndId = 1;

/// The ends.
#[derive(Debug)]
pub struct Ends {
    shown: Shown,
    /// By number.
    known: Vec<Option<Arc<Labels>>>,
    ids: HashMap<Arc<Labels>, EndId>,
    free: Vec<EndId>,
    bytes: usize,
}

impl Ends {
    /// Those two that there always are.
    #[must_use]
    pub fn new(shown: Shown) -> Self {
        let (known, ids, free) = (Vec::new(), HashMap::new(), Vec::new());
        let mut ends = Self { shown, known, ids, free, bytes: 0 };
        ends.id(shown.unknown());
        ends.id(shown.all("other"));
        ends
    }

    /// Which labels they have.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        self.shown
    }

    /// The number of the end that has these labels.
    pub fn id(&mut self, labels: Labels) -> EndId {
        if let Some(id) = self.ids.get(&labels) {
            return *id;
        }
        self.bytes += size(&labels);
        let labels = Arc::new(labels);
        let known = Some(Arc::clone(&labels));
        let id = if let Some(id) = self.free.pop() {
            self.known[id as usize] = known;
            id
        } else {
            self.known.push(known);
            EndId::try_from(self.known.len() - 1).unwrap_or(EndId::MAX)
        };
        self.ids.insert(labels, id);
        id
    }

    /// An end's labels; those of an unknown one where the number is nobody's.
    #[must_use]
    pub fn labels(&self, id: EndId) -> Arc<Labels> {
        let known = self.known.get(id as usize).and_then(Option::as_ref);
        known.map_or_else(|| Arc::new(self.shown.unknown()), Arc::clone)
    }

    /// Bytes that they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Forgets those that nothing bears.
    pub fn sweep(&mut self, borne: &HashSet<EndId>) {
        for (id, slot) in (0..).zip(&mut self.known) {
            if id > OTHER
                && !borne.contains(&id)
                && let Some(labels) = slot.take()
            {
                self.ids.remove(&labels);
                self.bytes -= size(&labels);
                self.free.push(id);
            }
        }
    }
}

/// Bytes of an end and of its places.
fn size(labels: &Labels) -> usize {
    let places = bytes::entry::<(Arc<Labels>, EndId)>() + size_of::<Option<Arc<Labels>>>();
    places + size_of::<Labels>() + 2 * bytes::ALLOCATION + bytes::texts(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Site, tier::Tier, workload::Workload};

    fn labels(shown: Shown, node: &str) -> Labels {
        let site = Site { cloud: "aws".into(), node: node.into(), ..Site::default() };
        shown.labels(&site, &Workload::default())
    }

    #[test]
    fn what_a_tier_cannot_tell_apart_is_one_end() {
        let zones = Tier::Zone.shown();
        let mut ends = Ends::new(zones);
        let ids = ["a", "b"].map(|node| ends.id(labels(zones, node)));
        assert_eq!(ids, [2, 2]);
        let nodes = Tier::Node.shown();
        let mut ends = Ends::new(nodes);
        assert_eq!(["a", "b", "a"].map(|node| ends.id(labels(nodes, node))), [2, 3, 2]);
    }

    #[test]
    fn whoever_calls_himself_unknown_or_other_is_that_end() {
        let shown = Tier::Cloud.shown();
        let mut ends = Ends::new(shown);
        let ids = ["", "unknown", "other"].map(|cloud| {
            let site = Site { cloud: cloud.into(), ..Site::default() };
            ends.id(shown.labels(&site, &Workload::default()))
        });
        assert_eq!(ids, [UNKNOWN, UNKNOWN, OTHER]);
    }

    #[test]
    fn what_nothing_bears_is_forgotten_and_its_number_used_again() {
        let shown = Tier::Node.shown();
        let mut ends = Ends::new(shown);
        let [a, b] = ["a", "b"].map(|node| ends.id(labels(shown, node)));
        ends.sweep(&HashSet::from([a]));
        assert_eq!(ends.len(), 3, "and the two that there always are");
        assert_eq!(ends.id(labels(shown, "c")), b);
        assert_eq!((&ends.labels(a)[4][..], &ends.labels(b)[4][..]), ("a", "c"));
        assert_eq!(ends.labels(99)[0], "unknown", "a number never given");
    }
}

//! Which pod an address and an interface belong to, over time. No I/O, no clock: events come in with the time at which
//! they were learnt.
//!
//! Addresses are used again, and what is told of a pod comes late. So a name is given only where it cannot be another
//! pod's:
//! - an address is a pod's from when that was learnt until the pod is gone or the address went to another one, and no
//!   packet from before counts;
//! - a pod's interface is there before its containers start, so one that came later than they did is another pod's, unless
//!   it was there when the pod's address was told, and had that not been true any more it would have been told by now;
//! - an interface through which the packets of two pods came names none by itself.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use xcloud_proto::common::v1::Workload;

/// An address in its IPv6-mapped form, as samples have it.
pub type Address = [u32; 4];

/// An interface is noticed a little after it came, and Kubernetes tells times in whole seconds, rounded down.
const SLACK_NS: u64 = 1_500_000_000;
/// How late at most it is told that a pod is gone, or that its address is another's.
const TOLD_WITHIN_NS: u64 = 10_000_000_000;
/// Interfaces that are gone are remembered for their last packets, up to this many interfaces in all.
const MOST_INTERFACES: usize = 4_096;

/// What was told of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// What names this life of it: another pod of the same name has another.
    pub uid: String,
    /// When it was made, on any scale that grows.
    pub created: i64,
    /// Its addresses; none when it is on the node's own network, or has ended.
    pub addresses: Vec<Address>,
    /// Whether it is about to end: then it may be gone already.
    pub ending: bool,
    /// A moment when it surely ran, the latest known; 0 when none is.
    pub ran_ns: u64,
    /// Whose it is.
    pub workload: Arc<Workload>,
}

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod appeared or changed.
    Pod(Pod),
    /// Whose the pod with this uid is: what it was called before was the best that was known.
    Owned(String, Arc<Workload>),
    /// The pod with this uid is gone.
    Gone(String),
    /// These uids are all pods there are.
    Only(HashSet<String>),
    /// An interface came: its index and name.
    Interface(u32, String),
    /// It went.
    InterfaceGone(u32),
}

/// The book.
#[derive(Debug, Default)]
pub struct Book {
    pods: BTreeMap<String, Known>,
    claims: HashMap<Address, Claim>,
    interfaces: HashMap<u32, Interface>,
}

#[derive(Debug)]
struct Known {
    pod: Pod,
    since_ns: u64,
    /// Those of its addresses that were its own at some time: one that went to another pod does not come back.
    held: Vec<Address>,
}

#[derive(Debug)]
struct Claim {
    uid: String,
    since_ns: u64,
}

#[derive(Debug)]
struct Interface {
    name: String,
    came_ns: u64,
    gone: bool,
    through: Through,
}

/// Whose packets came through an interface.
#[derive(Debug)]
enum Through {
    Nobody,
    One(String),
    Several,
}

impl Book {
    /// Writes down what was learnt at `now_ns`, or was true then.
    pub fn learn(&mut self, now_ns: u64, event: Event) {
        match event {
            Event::Pod(pod) => self.pod(now_ns, pod),
            Event::Owned(uid, workload) => {
                if let Some(known) = self.pods.get_mut(&uid) {
                    known.pod.workload = workload;
                }
            }
            Event::Gone(uid) => self.forget(&uid),
            Event::Only(uids) => {
                let gone: Vec<_> =
                    self.pods.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
                gone.iter().for_each(|uid| self.forget(uid));
            }
            Event::Interface(index, name) => self.interface(now_ns, index, name),
            Event::InterfaceGone(index) => {
                if let Some(interface) = self.interfaces.get_mut(&index) {
                    interface.gone = true;
                }
            }
        }
    }

    /// One that comes back by the same index and name was only down.
    fn interface(&mut self, now_ns: u64, index: u32, name: String) {
        if self.interfaces.len() >= MOST_INTERFACES {
            self.interfaces.retain(|_, interface| !interface.gone);
        }
        let known = self.interfaces.get_mut(&index).filter(|known| known.name == name);
        if let Some(known) = known {
            known.gone = false;
            return;
        }
        let interface = Interface { name, came_ns: now_ns, gone: false, through: Through::Nobody };
        self.interfaces.insert(index, interface);
    }

    fn pod(&mut self, now_ns: u64, mut pod: Pod) {
        let known = self.pods.remove(&pod.uid);
        let since_ns = known.as_ref().map_or(now_ns, |known| known.since_ns);
        pod.ran_ns = pod.ran_ns.max(known.as_ref().map_or(0, |known| known.pod.ran_ns));
        let mut held = known.map_or_else(Vec::new, |known| known.held);
        held.retain(|address| {
            let kept = pod.addresses.contains(address);
            if !kept {
                self.release(*address, &pod.uid);
            }
            kept
        });
        for address in &pod.addresses {
            if !held.contains(address) && self.may_have(&pod, *address) {
                held.push(*address);
                let claim = Claim { uid: pod.uid.clone(), since_ns: now_ns };
                self.claims.insert(*address, claim);
            }
        }
        self.pods.insert(pod.uid.clone(), Known { pod, since_ns, held });
    }

    /// An address goes to the younger of two pods, and from one that is about to end, but not to such a one.
    fn may_have(&self, pod: &Pod, address: Address) -> bool {
        let holder = self.claims.get(&address).and_then(|claim| self.pods.get(&claim.uid));
        holder.is_none_or(|Known { pod: holder, .. }| {
            !pod.ending && (holder.ending || pod.created >= holder.created)
        })
    }

    fn release(&mut self, address: Address, uid: &str) {
        if self.claims.get(&address).is_some_and(|claim| claim.uid == uid) {
            self.claims.remove(&address);
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(known) = self.pods.remove(uid) {
            for address in known.held {
                self.release(address, uid);
            }
        }
    }

    /// Whose packets are that passed an interface from `first_ns` on, from or to an address on the pod's side; none
    /// when it is not known for sure.
    pub fn owner(&mut self, index: u32, address: Address, first_ns: u64) -> Option<Arc<Workload>> {
        let interface = self.interfaces.get_mut(&index)?;
        let Some(claim) = self.claims.get(&address) else {
            return Self::through(&self.pods, interface, first_ns);
        };
        let Known { pod, .. } = self.pods.get(&claim.uid)?;
        let came_first = interface.came_ns <= pod.ran_ns.saturating_add(SLACK_NS);
        let stood = first_ns >= claim.since_ns.saturating_add(TOLD_WITHIN_NS);
        let may_be = came_first || stood && interface.came_ns <= claim.since_ns;
        if first_ns < claim.since_ns || !may_be {
            return None;
        }
        match &interface.through {
            Through::Nobody => interface.through = Through::One(claim.uid.clone()),
            Through::One(uid) if *uid != claim.uid => interface.through = Through::Several,
            Through::One(_) | Through::Several => {}
        }
        Some(Arc::clone(&pod.workload))
    }

    /// By the interface alone: where a packet shows an address that is no pod's, such as a node port's.
    fn through(
        pods: &BTreeMap<String, Known>,
        interface: &Interface,
        first_ns: u64,
    ) -> Option<Arc<Workload>> {
        let Through::One(uid) = &interface.through else { return None };
        let Known { pod, since_ns, .. } = pods.get(uid)?;
        let runs = first_ns >= *since_ns && !pod.addresses.is_empty();
        runs.then(|| Arc::clone(&pod.workload))
    }

    /// Whose a pod is.
    #[must_use]
    pub fn workload(&self, uid: &str) -> Option<Arc<Workload>> {
        self.pods.get(uid).map(|known| Arc::clone(&known.pod.workload))
    }

    /// How many pods there are.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// The addresses that are pods' now, in order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<_> = self.claims.keys().copied().collect();
        addresses.sort_unstable();
        addresses
    }
}

#[cfg(test)]
mod tests;

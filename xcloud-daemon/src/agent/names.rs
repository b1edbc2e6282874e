//! Whose the pods of this node are: learnt from Kubernetes' API, while that does not answer from the container runtime, and
//! put to samples as they are taken out of the ring.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use xcloud_common::{
    sample::Sample,
    slot::{address, octets},
};
use xcloud_proto::common::v1::Workload;

pub mod book;
pub mod cri;
pub mod kubernetes;
pub mod object;
pub mod sources;
pub mod workload;

use book::{Book, Event, Pod};
use sources::Source;

use super::clock::{self, Pretend};
use crate::{kernel::ifaces, wire::outbox::Named};

/// Most addresses of pods that the aggregator is told.
const MOST_ADDRESSES: usize = 4_096;

/// What a source learnt, just now.
#[derive(Clone, Debug)]
pub enum Learnt {
    /// A pod appeared or changed.
    Pod {
        /// What names this life of it.
        uid: String,
        /// When it was made, in seconds on any scale.
        created: i64,
        /// Its own addresses.
        addresses: Vec<IpAddr>,
        /// Whether it is about to end.
        ending: bool,
        /// How long ago it surely ran.
        ran_ago: Option<Duration>,
        /// Whose it is.
        workload: Arc<Workload>,
    },
    /// Whose the pod with this uid is.
    Owned(String, Arc<Workload>),
    /// The pod with this uid is gone.
    Gone(String),
    /// These uids are all pods there are.
    Only(HashSet<String>),
}

/// What each source told, and which of them counts. Two books, since what one tells of an address's time and of a
/// container's start goes together and says nothing about what the other tells.
#[derive(Debug)]
struct Books {
    api: Book,
    runtime: Book,
    counts: Source,
}

impl Books {
    const fn of(&mut self, source: Source) -> &mut Book {
        match source {
            Source::Api => &mut self.api,
            Source::Runtime => &mut self.runtime,
        }
    }
}

/// The names, shared between who learns them and who puts them to samples.
#[derive(Debug)]
pub struct Names {
    books: Mutex<Books>,
    clock: Pretend,
    started_ns: u64,
    /// Whether all interfaces that were there at the start were told.
    settled: AtomicBool,
}

impl Names {
    /// None yet. Samples are stamped by `clock`.
    ///
    /// # Errors
    /// The clock cannot be read.
    pub fn new(clock: Pretend) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            books: Mutex::new(Books {
                api: Book::default(),
                runtime: Book::default(),
                counts: Source::Api,
            }),
            clock,
            started_ns: clock.shown(clock::monotonic_ns()?),
            settled: AtomicBool::new(false),
        }))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, by the clock of the samples. It was read at the start, so it can be read.
    fn now_ns(&self) -> u64 {
        self.clock.shown(clock::monotonic_ns().unwrap_or(0))
    }

    /// Names samples, which leaves none of them behind.
    pub fn name(&self, samples: &mut Vec<Sample>) -> Vec<Named> {
        let mut books = self.books();
        let counts = books.counts;
        let book = books.of(counts);
        let mut owner =
            |sample: &Sample| book.owner(sample.pod_ifindex, sample.tuple.local, sample.first_ns);
        samples.drain(..).map(|sample| Named { workload: owner(&sample), sample }).collect()
    }

    /// Takes in what became of an interface; before hooks are put on it, so that no packet is seen there earlier.
    pub fn heed(&self, event: &ifaces::Event) {
        let learn = |at_ns, event: Event| {
            let mut books = self.books();
            books.api.learn(at_ns, event.clone());
            books.runtime.learn(at_ns, event);
        };
        match event {
            ifaces::Event::Added(interface) if interface.role == ifaces::Role::Pod => {
                // Those told first were there before.
                let settled = self.settled.load(Ordering::Relaxed);
                let came_ns = if settled { self.now_ns() } else { self.started_ns };
                learn(came_ns, Event::Interface(interface.index, interface.name.clone()));
            }
            ifaces::Event::Removed(index) => learn(self.now_ns(), Event::InterfaceGone(*index)),
            ifaces::Event::Changed => self.settled.store(true, Ordering::Relaxed),
            ifaces::Event::Added(_) | ifaces::Event::Tunnels(_) => {}
        }
    }

    /// Takes in what a source learnt.
    pub fn learn(&self, source: Source, learnt: Learnt) {
        let now_ns = self.now_ns();
        let event = match learnt {
            Learnt::Pod { uid, created, addresses, ending, ran_ago, workload } => Event::Pod(Pod {
                uid,
                created,
                addresses: addresses.into_iter().map(mapped).collect(),
                ending,
                ran_ns: ran_ago.map_or(0, |ago| {
                    now_ns.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)).max(1)
                }),
                workload,
            }),
            Learnt::Owned(uid, workload) => Event::Owned(uid, workload),
            Learnt::Gone(uid) => Event::Gone(uid),
            Learnt::Only(uids) => Event::Only(uids),
        };
        self.books().of(source).learn(now_ns, event);
    }

    /// Names come from this source from now on: it has told all pods there are. Returns whether they came from another.
    pub fn rely_on(&self, source: Source) -> bool {
        let mut books = self.books();
        if source == Source::Api {
            books.runtime.learn(0, Event::Only(HashSet::new()));
        }
        std::mem::replace(&mut books.counts, source) != source
    }

    /// Whose a pod is, if the API told it already.
    #[must_use]
    pub fn workload(&self, uid: &str) -> Option<Arc<Workload>> {
        self.books().api.workload(uid)
    }

    /// The addresses that are pods' now, as the aggregator is told them.
    #[must_use]
    pub fn addresses(&self) -> Vec<Vec<u8>> {
        let mut books = self.books();
        let counts = books.counts;
        let mut addresses = books.of(counts).addresses();
        drop(books);
        addresses.truncate(MOST_ADDRESSES);
        let bytes = |address| {
            let octets = octets(address);
            let v4 = std::net::Ipv6Addr::from(octets).to_ipv4_mapped();
            v4.map_or_else(|| octets.to_vec(), |v4| v4.octets().to_vec())
        };
        addresses.into_iter().map(bytes).collect()
    }
}

/// How long ago a time was, by the node's clock.
fn ago(since_1970: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(since_1970)
}

fn mapped(ip: IpAddr) -> book::Address {
    address(match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    })
}

#[cfg(test)]
mod tests;

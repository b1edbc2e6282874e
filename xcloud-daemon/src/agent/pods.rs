//! The pods of this node: where each one's packets are seen, and moving their hooks when that is not everywhere.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};
use xcloud_common::sample::{Sample, flag};
use xcloud_proto::{
    common::v1::{PodPlace, PodView},
    ingest::v1::Status,
};

use super::{
    bypass::{Case, Fate, Step, View},
    clock, egress,
    hooks::{Hooks, SharedHooks},
    names::Names,
    told,
};
use crate::{
    cli::InterfaceArgs,
    kernel::{
        ifaces::Interface,
        podns::{self, PodEnd},
    },
};

/// How often the tables are looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// How long an exchange may wait for its next hook before it counts as missing there: far longer than a CNI takes.
const GRACE_NS: u64 = 250_000_000;

/// How long a pod's first exchanges are held back while it is found out whether all of them are seen: with some CNIs
/// the handshakes are, and nothing else.
const HOLD: Duration = Duration::from_secs(2);
/// Most exchanges held back; further ones are reported at once.
const MOST_HELD: usize = 16_384;

/// Every pod's case, by the index of its interface on the node.
#[derive(Debug, Default)]
pub struct Pods {
    cases: BTreeMap<u32, Case>,
    /// The index, by the number of the pod's network namespace, of pods hooked in there.
    namespaces: BTreeMap<u32, u32>,
    /// What came from pods of which nothing is known yet, and when.
    held: VecDeque<(Instant, Sample)>,
}

impl Pods {
    /// A pod's interface was hooked.
    pub fn add(&mut self, index: u32) {
        self.cases.insert(index, Case::new());
    }

    /// It is gone.
    pub fn remove(&mut self, index: u32) {
        self.cases.remove(&index);
        self.namespaces.retain(|_, of| *of != index);
    }

    /// The interface on the node of the pod that a hook names.
    fn index(&self, place: u32) -> u32 {
        self.namespaces.get(&place).copied().unwrap_or(place)
    }

    /// Names every sample's pod by its interface on the node, holds back those of pods of which nothing is known yet,
    /// and takes out those of pods not seen in full; returns how many observations that were. With `last` nothing is
    /// held back.
    pub fn sift(&mut self, samples: &mut Vec<Sample>, now: Instant, last: bool) -> u64 {
        let mut hidden = 0;
        let room = MOST_HELD.saturating_sub(self.held.len());
        let mut joining = Vec::new();
        samples.retain_mut(|sample| {
            let index = self.index(sample.pod_ifindex);
            let inside = std::mem::replace(&mut sample.pod_ifindex, index) != index;
            let Some(case) = self.cases.get_mut(&index) else { return true };
            let (far, at_socket) = (flag::FAR, flag::AT_SOCKET);
            case.saw(sample.flags & far != 0, sample.flags & at_socket != 0, now);
            match case.fate(now) {
                _ if inside => true,
                Fate::Open { .. } if joining.len() < room => {
                    joining.push((now, *sample));
                    false
                }
                Fate::Open { .. } | Fate::Shown => true,
                Fate::Left => {
                    hidden += sample.observations();
                    false
                }
            }
        });
        self.held.extend(joining);
        hidden + self.release(samples, now, last)
    }

    /// Lets go of what was held back for long enough, or whose pod is known by now.
    fn release(&mut self, samples: &mut Vec<Sample>, now: Instant, last: bool) -> u64 {
        let mut hidden = 0;
        self.held.retain(|(since, sample)| {
            let due = last || now >= *since + HOLD;
            let case = self.cases.get(&sample.pod_ifindex);
            match case.map_or(Fate::Shown, |case| case.fate(now)) {
                Fate::Open { .. } if !due => return true,
                Fate::Shown | Fate::Open { suspicious: false } => samples.push(*sample),
                Fate::Left | Fate::Open { suspicious: true } => hidden += sample.observations(),
            }
            false
        });
        hidden
    }

    /// Where each pod is seen, if not at its interface on the node.
    pub fn elsewhere(&self) -> impl Iterator<Item = (u32, &View)> {
        let views = self.cases.iter().map(|(index, case)| (*index, case.view()));
        views.filter(|(_, view)| **view != View::Node)
    }

    fn may_use_sockets(&self, index: u32) -> bool {
        self.cases.get(&index).is_some_and(Case::may_use_sockets)
    }

    fn set(&mut self, index: u32, view: View) {
        if let Some(case) = self.cases.get_mut(&index) {
            case.set(view, Instant::now());
        }
    }
}

/// Addresses of uplinks are read every this many looks.
const LOOKS_PER_ADDRESSES: u64 = 8;
/// Most of them that the aggregator is told.
const MOST_UPLINK_ADDRESSES: usize = 256;

/// Judges every pod again and again, moves hooks, and tells what came of it.
///
/// # Errors
/// The clock cannot be read.
pub async fn watch(
    hooks: &SharedHooks,
    names: &Names,
    may: &InterfaceArgs,
    tell: &watch::Sender<Status>,
) -> Result<()> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = clock::monotonic_ns()?;
    let mut uplinks = Vec::new();
    for look in 0u64.. {
        ticks.tick().await;
        let now = clock::monotonic_ns()?;
        let wanted = hooks.lock().judge(now, now - before);
        before = now;
        for (interface, why) in wanted {
            let end = if may.pod_namespaces {
                podns::find(interface.index).await
            } else {
                Err(anyhow!("--pod-namespaces is false"))
            };
            hooks.lock().enter(&interface, why, end, may.pod_sockets);
        }
        hooks.lock().leave_idle_sockets();
        if look.is_multiple_of(LOOKS_PER_ADDRESSES) {
            uplinks = egress::addresses(hooks);
            uplinks.truncate(MOST_UPLINK_ADDRESSES);
        }
        let mut status = hooks.lock().view();
        status.uplink_addresses.clone_from(&uplinks);
        status.pod_addresses = names.addresses();
        tell.send_if_modified(|told| std::mem::replace(told, status.clone()) != status);
    }
    Ok(())
}

impl Hooks {
    /// The pods whose hooks should move, and why.
    fn judge(&mut self, now_ns: u64, since_ns: u64) -> Vec<(Interface, String)> {
        let tables = self.programs.tables();
        let mut missing = BTreeMap::new();
        for (place, found) in tables.missing(now_ns, GRACE_NS, GRACE_NS + since_ns) {
            missing.insert(self.pods.index(place), found);
        }
        let mut wanted = Vec::new();
        let mut pods = std::mem::take(&mut self.pods.cases);
        for (index, case) in &mut pods {
            let Some(interface) = self.interface(*index) else { continue };
            let found = missing.get(index).copied().unwrap_or_default();
            match case.judge(found, &interface.kind, Instant::now()) {
                Some(Step::Enter(why)) => wanted.push((interface.clone(), why)),
                Some(Step::Trust) => {
                    info!(
                        "pod interface {}: it shows all of its pod's packets now",
                        interface.name
                    );
                    case.set(View::Node, Instant::now());
                }
                None => {}
            }
        }
        self.pods.cases = pods;
        wanted
    }

    /// Moves a pod's hooks to its own end, or hides the pod.
    fn enter(&mut self, interface: &Interface, why: String, end: Result<PodEnd>, sockets: bool) {
        // It may have gone meanwhile, or another pod's may have come.
        if self.interface(interface.index) != Some(interface) {
            return;
        }
        let moved = end.and_then(|end| self.programs.move_inside(interface, &end).map(|()| end));
        match moved {
            Ok(end) => {
                info!(
                    "pod interface {}: hooked at {} inside the pod: {why}",
                    interface.name, end.interface
                );
                self.pods.namespaces.insert(end.namespace, interface.index);
                self.pods.set(interface.index, View::Inside(why));
            }
            Err(error) => {
                let why = format!("{why}; it cannot be hooked inside: {error:#}");
                self.stay_outside(interface, why, sockets);
            }
        }
    }

    /// What the hooks see now.
    fn view(&self) -> Status {
        let pods = self.pods.elsewhere().filter_map(|pod| self.told(pod)).collect();
        told::status(&self.status(), pods)
    }

    fn told(&self, (index, view): (u32, &View)) -> Option<PodView> {
        let (place, why) = match view {
            View::Node => return None,
            View::Inside(why) => (PodPlace::Inside, why),
            View::Sockets(why) => (PodPlace::Sockets, why),
            View::Hidden(why) => (PodPlace::Hidden, why),
        };
        let interface = self.interface(index)?.name.clone();
        Some(PodView { interface, place: place.into(), why: why.clone() })
    }

    /// Sees a pod at its sockets, or hides it.
    fn stay_outside(&mut self, interface: &Interface, why: String, sockets: bool) {
        let (index, name) = (interface.index, &interface.name);
        // What leaves the pod still passes there, and what enters it tells when all of it does again.
        if let Err(error) = self.programs.attach(interface) {
            debug!("pod interface {name}: {error:#}");
        }
        let watched = if !sockets {
            Err(anyhow!("--pod-sockets is false"))
        } else if !self.pods.may_use_sockets(index) {
            Err(anyhow!("its sockets do not show all of it"))
        } else {
            self.programs.watch_sockets()
        };
        let view = match watched {
            Ok(()) => {
                info!("pod interface {name}: seen at the pod's sockets: {why}");
                View::Sockets(why)
            }
            Err(error) => {
                let why = format!("{why}; nor seen at its sockets: {error:#}");
                warn!("pod interface {name}: the pod side is not visible: {why}");
                View::Hidden(why)
            }
        };
        self.pods.set(index, view);
    }

    /// Takes the tracepoint off that no pod needs any more.
    fn leave_idle_sockets(&mut self) {
        let needed = self.pods.elsewhere().any(|(_, view)| matches!(view, View::Sockets(_)));
        if !needed {
            self.programs.leave_sockets();
        }
    }
}

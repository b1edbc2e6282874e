//! The pods of this node: where each one's packets are seen, and moving their hooks when that is not everywhere.

pub mod sift;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};
use xcloud_proto::{
    common::v1::{PodPlace, PodView},
    ingest::v1::Status,
};

use super::{
    bypass::{Step, View},
    clock, egress,
    hooks::{Hooks, SharedHooks, State},
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
            warn!(
                "pod interface {name}: cannot attach again: {error:#}; tried again at the next change of interfaces"
            );
            return self.detach(index, State::Failed(format!("{error:#}")));
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

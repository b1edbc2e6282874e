//! Pod hooks inside the pod's network namespace, for pods whose packets do not pass their interface on the node.

use std::mem;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    SchedClassifier,
    TcAttachType::{Egress, Ingress},
};
use nix::net::if_::if_nametoindex;

use super::{
    attach::{Programs, program, refused},
    ifaces::Interface,
    podns::{self, PodEnd},
    probe::LOCKED,
    tc::{self, Hook, Place, Spot},
};

/// Programs there, with their direction as the pod sees it: what leaves it goes out.
const HOOKS: [(&str, aya::programs::TcAttachType); 2] =
    [("pod_out_inside", Egress), ("pod_in_inside", Ingress)];

/// The hooks in one pod.
#[derive(Debug)]
pub(super) struct Inside {
    /// The interface on the node.
    index: u32,
    end: PodEnd,
    hooks: Vec<Hook>,
}

/// A filter of a qdisc is taken away by interface number, which means another interface in another namespace. When the
/// pod's is gone the filters went with it.
impl Drop for Inside {
    fn drop(&mut self) {
        let mut hooks = mem::take(&mut self.hooks);
        if hooks.is_empty() {
            return;
        }
        self.end.follow(self.index);
        let taken = podns::within(&self.end.path, self.end.namespace, || {
            hooks.clear();
            Ok(())
        });
        if let Err(error) = taken {
            tracing::debug!("detaching from {} in a pod: {error:#}", self.end.interface);
            hooks.into_iter().for_each(Hook::abandon);
        }
    }
}

impl Inside {
    /// Which hooks other programs displaced there, and from where they run now.
    pub(super) fn displaced(&mut self) -> Result<Vec<(&'static str, Place)>> {
        self.end.follow(self.index);
        let Self { end, hooks, .. } = self;
        podns::within(&end.path, end.namespace, || {
            let places = hooks.iter().map(|hook| Ok((hook.program, hook.place()?)));
            let places = places.collect::<Result<Vec<_>>>()?;
            Ok(places.into_iter().filter(|(_, place)| *place != Place::First).collect())
        })
    }
}

/// Removes the filters that a killed agent left in the pods behind these interfaces; returns what and where. A pod that
/// cannot be entered any more keeps them: its namespace is the only place they are in.
pub async fn remove_leftovers(pods: impl IntoIterator<Item = u32>) -> Vec<String> {
    let programs = HOOKS.map(|(name, _)| name);
    let mut removed = Vec::new();
    for index in pods {
        let end = podns::find(index).await;
        let left = end.and_then(|PodEnd { path, namespace, .. }| {
            podns::within(&path, namespace, || tc::remove_leftovers(&programs))
        });
        match left {
            Ok(left) => removed.extend(left.iter().map(|one| format!("{one}, inside a pod"))),
            Err(error) => tracing::debug!("looking into the pod of interface {index}: {error:#}"),
        }
    }
    removed
}

impl Programs {
    /// Moves a pod's hooks from its interface on the node to the pod's end, so that no packet passes both.
    ///
    /// # Errors
    /// Kernel lockdown forbids it; then all stays as it is. Or the kernel refuses; then there are no hooks for the pod at
    /// all.
    pub fn move_inside(&mut self, interface: &Interface, end: &PodEnd) -> Result<()> {
        ensure!(self.plan.reads_kernel, "naming the pod reads kernel memory: {LOCKED}");
        self.detach(interface.index);
        let inside = self.hook_inside(interface.index, end.clone())?;
        self.inside.insert(interface.index, (interface.name.clone(), inside));
        Ok(())
    }

    /// Puts a pod's hooks at its end on anew, and so first.
    pub(super) fn put_first_inside(&mut self, ifindex: u32) -> Result<()> {
        let Some((name, inside)) = self.inside.remove(&ifindex) else { return Ok(()) };
        let end = inside.end.clone();
        // The kernel takes a program once at a place, so it must go before it can come.
        drop(inside);
        let inside = self.hook_inside(ifindex, end)?;
        self.inside.insert(ifindex, (name, inside));
        Ok(())
    }

    fn hook_inside(&mut self, index: u32, end: PodEnd) -> Result<Inside> {
        let mut inside = Inside { index, end, hooks: Vec::new() };
        let backend = self.plan.pod_hook;
        for (name, _) in HOOKS {
            let program: &mut SchedClassifier = program(&mut self.ebpf, name)?;
            // Few nodes need them, so they are loaded when the first pod does.
            if program.fd().is_err() {
                program.load().with_context(|| refused(name))?;
            }
        }
        let ebpf = &mut self.ebpf;
        let Inside { end, hooks, .. } = &mut inside;
        podns::within(&end.path, end.namespace, || {
            for (name, direction) in HOOKS {
                let program: &mut SchedClassifier = program(ebpf, name)?;
                let interface = end.interface.as_str();
                let ifindex = if_nametoindex(interface)?;
                let spot = Spot { ifindex, interface, direction };
                let hook = Hook::attach(program, name, spot, backend)
                    .with_context(|| format!("attaching {name} to {interface} in the pod"))?;
                hooks.push(hook);
            }
            Ok(())
        })?;
        Ok(inside)
    }
}

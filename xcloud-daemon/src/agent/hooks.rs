//! Keeps the kernel programs on the interfaces there are, first in their chains, and off where they must not be.

mod health;
mod status;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Result;
use tracing::{debug, info, warn};
use xcloud_common::{
    config::{Config, MAX_UPLINKS, Tunnels},
    counter::Counters,
};

use self::health::Unseen;
use super::{patience::Patience, pods::sift::Pods, watchdog::Watchdog};
use crate::kernel::{
    attach::Programs,
    ifaces::{Event, Interface, Role, traffic},
};

/// The programs, what they are told, and where they are.
#[derive(Debug)]
pub struct Hooks {
    pub(super) programs: Programs,
    pub(super) pods: Pods,
    config: Config,
    watched: BTreeMap<u32, Watched>,
    off: bool,
    started: Instant,
}

/// An interface to watch.
#[derive(Debug)]
struct Watched {
    interface: Interface,
    state: State,
    patience: Patience,
    unseen: Unseen,
    /// For pods, while the programs are on.
    watchdog: Option<Watchdog>,
}

/// Whether the programs are on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// They are.
    On,
    /// They are not yet, or the kill switch took them off.
    Off,
    /// They could not be put on, which is tried again at the next change, and why.
    Failed(String),
    /// They stay off for the life of the interface or of this agent, and why.
    LeftAlone(String),
}

/// [`Hooks`], shared between who follows interfaces and who reads counters and sets the shift.
#[derive(Clone, Debug)]
pub struct SharedHooks(Arc<Mutex<Hooks>>);

impl SharedHooks {
    /// Shares them.
    #[must_use]
    pub fn new(hooks: Hooks) -> Self {
        Self(Arc::new(Mutex::new(hooks)))
    }

    /// Locks them; never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, Hooks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hooks {
    /// Loaded programs, attached nowhere yet.
    #[must_use]
    pub fn new(programs: Programs, config: Config) -> Self {
        let started = Instant::now();
        let (pods, watched) = (Pods::default(), BTreeMap::new());
        Self { programs, pods, config, watched, off: false, started }
    }

    /// Follows one event. Trouble with one interface is told and tried again; it does not end the agent.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Added(interface) => self.add(interface),
            Event::Removed(index) => self.remove(index),
            Event::Tunnels(tunnels) => self.tell_tunnels(tunnels),
            Event::Changed => self.attach_waiting(|state| matches!(state, State::Failed(_))),
        }
    }

    fn add(&mut self, interface: Interface) {
        let index = interface.index;
        // One that went down and up again is the same interface.
        if let Some(known) = self.watched.get(&index)
            && let State::LeftAlone(why) = &known.state
            && known.interface.name == interface.name
        {
            info!("{}: still left alone: {why}", title(&interface));
            return;
        }
        let (patience, unseen, watchdog) = (Patience::default(), Unseen::default(), None);
        let watched = Watched { interface, state: State::Off, patience, unseen, watchdog };
        self.watched.insert(index, watched);
        if !self.off {
            self.attach(index);
        }
    }

    /// Takes the programs off one interface, which may be gone already.
    fn remove(&mut self, index: u32) {
        match self.watched.get(&index).map(|watched| &watched.state) {
            Some(State::On) => self.detach(index, State::Off),
            Some(State::LeftAlone(_)) => return,
            _ => {}
        }
        self.watched.remove(&index);
    }

    fn attach_waiting(&mut self, which: impl Fn(&State) -> bool) {
        if self.off {
            return;
        }
        let waiting = self.watched.iter().filter(|(_, watched)| which(&watched.state));
        for index in waiting.map(|(index, _)| *index).collect::<Vec<_>>() {
            self.attach(index);
        }
    }

    /// Attaches; the same failure as before is not told again.
    fn attach(&mut self, index: u32) {
        let Some(watched) = self.watched.get(&index) else { return };
        let (interface, before) = (watched.interface.clone(), watched.state.clone());
        // Counted before the first packet passes a program of ours.
        let counted = traffic(index).ok().filter(|_| interface.role == Role::Pod);
        let state = match self.try_attach(&interface) {
            Ok(hooks) => {
                info!(
                    interface = interface.name,
                    index,
                    "{}: attached {}",
                    title(&interface),
                    hooks.join(", ")
                );
                if interface.role == Role::Pod {
                    self.pods.add(index);
                }
                State::On
            }
            Err(error) => {
                let failed = State::Failed(format!("{error:#}"));
                if failed != before {
                    let what = title(&interface);
                    warn!(
                        interface = interface.name,
                        index,
                        "{what}: cannot attach: {error:#}; tried again at the next change of interfaces"
                    );
                }
                failed
            }
        };
        if let Some(watched) = self.watched.get_mut(&index) {
            watched.state = state;
            // Put on again, it is still judged by what was before the first time.
            watched.watchdog = watched.watchdog.take().or_else(|| counted.map(Watchdog::new));
        }
    }

    fn try_attach(&mut self, interface: &Interface) -> Result<Vec<String>> {
        if interface.role == Role::Uplink {
            self.tell_uplinks(&interface.leaves_by)?;
        }
        let result = self.programs.attach(interface);
        if result.is_err() && interface.role == Role::Uplink {
            self.tell_uplinks(&[])?;
        }
        result
    }

    pub(super) fn detach(&mut self, index: u32, state: State) {
        let Some(watched) = self.watched.get_mut(&index) else { return };
        watched.state = state;
        let interface = watched.interface.clone();
        self.programs.detach(index);
        self.pods.remove(index, Instant::now());
        info!(interface = interface.name, index, "{}: detached", title(&interface));
        if interface.role == Role::Uplink
            && let Err(error) = self.tell_uplinks(&[])
        {
            warn!("the kernel programs still count {} as an uplink: {error:#}", interface.name);
        }
    }

    /// Takes the programs off everything they are on.
    pub fn detach_all(&mut self) {
        for index in self.on() {
            self.detach(index, State::Off);
        }
        self.programs.detach_departure();
        self.programs.leave_sockets();
        self.programs.detach_stages();
    }

    /// Takes everything off at once, or puts it on again; returns whether that changed anything.
    ///
    /// # Errors
    /// The tracepoint, or the function that ends every stage, refuses to be hooked again.
    pub fn switch(&mut self, off: bool) -> Result<bool> {
        if off == self.off {
            return Ok(false);
        }
        if off {
            self.detach_all();
        } else {
            self.programs.attach_departure()?;
            self.programs.attach_stages()?;
        }
        self.off = off;
        self.attach_waiting(|state| !matches!(state, State::LeftAlone(_)));
        Ok(true)
    }

    /// Tells the tracepoint which devices the uplinks' packets leave by: of those attached, and of one about to be.
    fn tell_uplinks(&mut self, joining: &[u32]) -> Result<()> {
        let known = self.interfaces(Role::Uplink).flat_map(|interface| &interface.leaves_by);
        let mut uplinks: Vec<u32> = known.chain(joining).copied().collect();
        uplinks.sort_unstable();
        uplinks.dedup();
        if uplinks.len() > MAX_UPLINKS {
            anyhow::bail!(
                "uplinks leave by more than {MAX_UPLINKS} devices, the most there may be: name the ones to watch with --uplink"
            );
        }
        self.config.uplinks = [0; MAX_UPLINKS];
        self.config.uplinks[..uplinks.len()].copy_from_slice(&uplinks);
        self.config.uplink_count = u32::try_from(uplinks.len())?;
        self.programs.set_config(self.config)
    }

    /// Tells the programs into which packets to look for others.
    fn tell_tunnels(&mut self, tunnels: Tunnels) {
        self.config.tunnels = tunnels;
        match self.programs.set_config(self.config) {
            Ok(()) => debug!("tunnels: {tunnels:?}"),
            Err(error) => warn!("what tunnels carry is not seen at the uplinks: {error:#}"),
        }
    }

    /// Selects one exchange in `2^shift` from now on.
    pub fn set_shift(&mut self, shift: u32) -> Result<()> {
        self.config.shift = shift;
        self.programs.set_config(self.config)
    }

    /// The kernel's counters, summed over CPUs; its log goes to this process's.
    pub fn counters(&mut self) -> Result<Counters> {
        self.programs.pass_log_on();
        self.programs.counters()
    }

    /// Indexes of the interfaces that the programs are on.
    fn on(&self) -> Vec<u32> {
        let on = self.watched.iter().filter(|(_, watched)| watched.state == State::On);
        on.map(|(index, _)| *index).collect()
    }

    /// An interface that the programs are on, here or inside the pod.
    pub(super) fn interface(&self, index: u32) -> Option<&Interface> {
        let on = self.watched.get(&index).filter(|watched| watched.state == State::On);
        on.map(|watched| &watched.interface)
    }

    /// Whether an interface is a pod's, the programs being on it or not.
    #[must_use]
    pub fn is_pod(&self, index: u32) -> bool {
        self.watched.get(&index).is_some_and(|watched| watched.interface.role == Role::Pod)
    }

    /// Interfaces of a role that the programs are on.
    fn interfaces(&self, role: Role) -> impl Iterator<Item = &Interface> {
        let on = self.watched.values().filter(|watched| watched.state == State::On);
        on.map(|watched| &watched.interface).filter(move |interface| interface.role == role)
    }

    /// Tries the stage profile's functions again that were not there, except while the kill switch is there.
    pub fn retry_stages(&mut self) {
        self.programs.retry_stages();
    }
}

fn title(interface: &Interface) -> String {
    let role = match interface.role {
        Role::Pod => "pod interface",
        Role::Uplink => "uplink",
    };
    format!("{role} {} (index {})", interface.name, interface.index)
}

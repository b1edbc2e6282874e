//! Puts the kernel programs on interfaces as they come, and takes them off.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use log::{debug, info, warn};
use xcloud_common::{
    config::{Config, MAX_UPLINKS, Tunnels},
    counter::Counters,
};

use crate::kernel::{
    attach::Programs,
    ifaces::{Event, Interface, Role},
    stages::{RunTime, Told},
};

/// The programs, what they are told, and where they are.
#[derive(Debug)]
pub struct Hooks {
    programs: Programs,
    config: Config,
    attached: BTreeMap<u32, Interface>,
    /// Interfaces the programs could not be put on, tried again at the next change, and why.
    failed: BTreeMap<u32, (Interface, String)>,
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
        Self { programs, config, attached: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Follows one event. Trouble with one interface is told and tried again; it does not end the agent.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Added(interface) => self.attach(interface, None),
            Event::Removed(index) => self.detach(index),
            Event::Tunnels(tunnels) => self.tell_tunnels(tunnels),
            Event::Changed => {
                for (interface, why) in std::mem::take(&mut self.failed).into_values() {
                    self.attach(interface, Some(why));
                }
            }
        }
    }

    /// Attaches; the same failure as `before` is not told again.
    fn attach(&mut self, interface: Interface, before: Option<String>) {
        match self.try_attach(&interface) {
            Ok(hooks) => {
                info!(
                    "{} {} (index {}): attached {}",
                    role(&interface),
                    interface.name,
                    interface.index,
                    hooks.join(", ")
                );
                self.attached.insert(interface.index, interface);
            }
            Err(error) => {
                let why = format!("{error:#}");
                if before.as_ref() != Some(&why) {
                    warn!(
                        "{} {} (index {}): cannot attach: {why}; tried again at the next change of interfaces",
                        role(&interface),
                        interface.name,
                        interface.index
                    );
                }
                self.failed.insert(interface.index, (interface, why));
            }
        }
    }

    fn try_attach(&mut self, interface: &Interface) -> Result<Vec<String>> {
        if interface.role == Role::Uplink {
            self.tell_uplinks(Some(interface.index))?;
        }
        let result = self.programs.attach(interface);
        if result.is_err() && interface.role == Role::Uplink {
            self.tell_uplinks(None)?;
        }
        result
    }

    /// Takes the programs off one interface, which may be gone already.
    fn detach(&mut self, index: u32) {
        self.failed.remove(&index);
        let Some(interface) = self.attached.remove(&index) else {
            return;
        };
        self.programs.detach(index);
        info!("{} {} (index {index}): detached", role(&interface), interface.name);
        if interface.role == Role::Uplink
            && let Err(error) = self.tell_uplinks(None)
        {
            warn!("the kernel programs still count {} as an uplink: {error:#}", interface.name);
        }
    }

    /// Takes the programs off every interface.
    pub fn detach_all(&mut self) {
        for index in self.attached.keys().copied().collect::<Vec<_>>() {
            self.detach(index);
        }
    }

    /// Tells the tracepoint which interfaces are uplinks: those attached, and one about to be.
    fn tell_uplinks(&mut self, joining: Option<u32>) -> Result<()> {
        let known = self.attached.values().filter(|i| i.role == Role::Uplink);
        let uplinks: Vec<u32> = known.map(|i| i.index).chain(joining).collect();
        if uplinks.len() > MAX_UPLINKS {
            anyhow::bail!(
                "{MAX_UPLINKS} uplinks are watched already, the most there may be: name the ones to watch with --uplink"
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

    /// Tries the stage profile's functions again that were not there.
    pub fn retry_stages(&mut self) {
        self.programs.retry_stages();
    }

    /// Which functions the stage profile probes.
    #[must_use]
    pub fn stages(&self) -> &[Told] {
        self.programs.stages()
    }

    /// Runs and nanoseconds of the stage profile's programs.
    pub fn stage_run_times(&mut self) -> Result<Vec<RunTime>> {
        self.programs.stage_run_times()
    }

    /// Names of the uplinks watched now.
    #[must_use]
    pub fn uplinks(&self) -> Vec<&str> {
        let uplinks = self.attached.values().filter(|i| i.role == Role::Uplink);
        uplinks.map(|i| i.name.as_str()).collect()
    }

    /// Number of pod interfaces watched now.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.attached.len() - self.uplinks().len()
    }

    /// Whether an uplink is watched and no interface waits for its hooks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.failed.is_empty() && !self.uplinks().is_empty()
    }
}

fn role(interface: &Interface) -> &'static str {
    match interface.role {
        Role::Pod => "pod interface",
        Role::Uplink => "uplink",
    }
}

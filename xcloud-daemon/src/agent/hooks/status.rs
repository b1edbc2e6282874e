//! What is on where, and what is not.

use anyhow::Result;

use super::{Hooks, State, Watched};
use crate::kernel::{
    cost::Runs,
    ifaces::Role,
    stages::{RunTime, Told},
};

/// A hook of an interface, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookState {
    /// The interface.
    pub interface: String,
    /// What the hook is for.
    pub hook: &'static str,
    /// `on`, `off`, `failed` or `left_alone`.
    pub state: &'static str,
}

impl Hooks {
    /// How every hook is that an interface should have.
    #[must_use]
    pub fn hook_states(&self) -> Vec<HookState> {
        let mut all = Vec::new();
        for Watched { interface, state, .. } in self.watched.values() {
            let state = match state {
                State::On => "on",
                State::Off => "off",
                State::Failed(_) => "failed",
                State::LeftAlone(_) => "left_alone",
            };
            let one = |hook, state| HookState { interface: interface.name.clone(), hook, state };
            all.extend(self.programs.hooks_for(interface).map(|hook| one(hook, state)));
            if let Some(departs) =
                self.programs.departs().filter(|_| interface.role == Role::Uplink)
            {
                let state = if state == "on" && !departs { "off" } else { state };
                all.push(one("uplink_out", state));
            }
        }
        all
    }

    /// Whether the kill switch is there, so that nothing is hooked.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.off
    }

    /// One exchange in two to the power of this is selected.
    #[must_use]
    pub const fn shift(&self) -> u32 {
        self.config.shift
    }

    /// What the kernel counted of each program.
    ///
    /// # Errors
    /// It does not tell.
    pub fn run_times(&self) -> Result<Vec<Runs>> {
        self.programs.run_times()
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
        self.interfaces(Role::Uplink).map(|interface| interface.name.as_str()).collect()
    }

    /// Whether nothing is measured for want of an uplink, and not by somebody's will.
    #[must_use]
    pub fn lacks_uplink(&self) -> bool {
        !self.off && self.uplinks().is_empty()
    }

    /// Number of pod interfaces watched now.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.interfaces(Role::Pod).count()
    }

    /// Whether an uplink is watched and no interface waits for its hooks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let waits = |watched: &Watched| matches!(watched.state, State::Failed(_) | State::Off);
        !self.off && !self.watched.values().any(waits) && !self.uplinks().is_empty()
    }

    /// What is hooked where, and what is not and why: one line each, for the node's status.
    #[must_use]
    pub fn status(&self) -> Vec<String> {
        if self.off {
            return vec!["off: the kill switch is there".into()];
        }
        let not = self.watched.values().filter_map(|Watched { interface, state, .. }| {
            let (what, why) = match state {
                State::On | State::Off => return None,
                State::Failed(why) => ("cannot attach", why),
                State::LeftAlone(why) => ("left alone", why),
            };
            Some(format!("{}: {what}: {why}", interface.name))
        });
        self.programs.hooks().into_iter().chain(not).collect()
    }
}

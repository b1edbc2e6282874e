//! What is on where, and what is not.

use anyhow::Result;

use super::{Hooks, State, Watched};
use crate::kernel::{
    ifaces::Role,
    stages::{RunTime, Told},
};

impl Hooks {
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

//! Programs that are on stay first in their chains, and are taken off where packets are dropped since.

use std::time::Duration;

use anyhow::Error;
use tracing::{debug, warn};

use super::{Hooks, State, Watched, title};
use crate::{
    agent::watchdog::Harm,
    kernel::{ifaces::traffic, tc::Place},
};

/// When it is told that the kernel does not say where an interface's programs are. A pod that ends is gone by then.
const UNSEEN: Duration = Duration::from_secs(30);

/// Since when the kernel has not said where an interface's programs are.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    since: Option<Duration>,
    told: bool,
}

impl Unseen {
    /// Takes in a look in vain at a moment of some steady clock; returns whether to tell it, which is so once.
    fn look(&mut self, now: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        let tell = !self.told && now.saturating_sub(since) >= UNSEEN;
        self.told |= tell;
        tell
    }
}

impl Hooks {
    /// Looks whether the programs are still first, and puts them first again where they are not.
    pub fn keep_first(&mut self) {
        for index in self.on() {
            match self.programs.displaced(index) {
                Ok(displaced) => {
                    if let Some(watched) = self.watched.get_mut(&index) {
                        watched.unseen = Unseen::default();
                    }
                    if !displaced.is_empty() {
                        self.displaced(index, &displaced);
                    }
                }
                Err(error) => self.unseen(index, &error),
            }
        }
    }

    fn unseen(&mut self, index: u32, error: &Error) {
        let now = self.started.elapsed();
        let Some(watched) = self.watched.get_mut(&index) else { return };
        let what = title(&watched.interface);
        if watched.unseen.look(now) {
            warn!(
                "{what}: whether its programs are still first cannot be seen: {error:#}; if they are displaced, its \
                 packets are missed"
            );
        } else {
            // Mostly the interface just went away, which will be told.
            debug!("{what}: {error:#}");
        }
    }

    fn displaced(&mut self, index: u32, hooks: &[(&'static str, Place)]) {
        let now = self.started.elapsed();
        let Some(watched) = self.watched.get_mut(&index) else { return };
        let what = title(&watched.interface);
        let told: Vec<_> = hooks.iter().map(|(name, place)| format!("{name} is {place}")).collect();
        let told = told.join(", ");
        if watched.patience.displaced(now) {
            warn!(
                "{what}: {told}; another agent keeps displacing xcloud's programs, so they stay off it: let that agent \
                 attach after others, or leave the interface out with --uplink or --pod-interface"
            );
            let why = format!("another agent keeps displacing it: {told}");
            return self.detach(index, State::LeftAlone(why));
        }
        warn!("{what}: {told}; putting it first again, the other program stays");
        let names: Vec<&str> = hooks.iter().map(|(name, _)| *name).collect();
        if let Err(error) = self.programs.put_first(index, &names) {
            warn!("{what}: cannot put it first again: {error:#}; tried again at the next change");
            self.detach(index, State::Failed(format!("{error:#}")));
        }
    }

    /// Looks at the drops of pods' interfaces, and leaves those alone that drop more since the programs are on.
    pub fn watch_drops(&mut self) {
        for index in self.on() {
            let Some(watchdog) = self.watched.get_mut(&index).and_then(|w| w.watchdog.as_mut())
            else {
                continue;
            };
            match traffic(index).map(|counted| watchdog.look(counted)) {
                Ok(None) => {}
                Ok(Some(harm)) => self.harmed(index, harm),
                Err(error) => debug!("counters of interface {index}: {error}"),
            }
        }
    }

    fn harmed(&mut self, index: u32, Harm { before, now }: Harm) {
        let Some(watched) = self.watched.get(&index) else { return };
        let what = title(&watched.interface);
        let (before, now) = (before * 100.0, now * 100.0);
        let why = format!("it dropped {now:.1} % of its packets, {before:.1} % before");
        warn!(
            "{what}: since the programs are on, {why}; they are taken off and stay off until the interface is made \
             anew or the agent restarts. If the drops go on, xcloud is not their cause"
        );
        self.detach(index, State::LeftAlone(why));
    }

    /// Forgets interfaces left alone that are gone for good.
    pub fn forget_gone(&mut self) {
        let alone = |watched: &Watched| matches!(watched.state, State::LeftAlone(_));
        self.watched.retain(|index, watched| !alone(watched) || traffic(*index).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_told_once_and_not_at_once() {
        let mut unseen = Unseen::default();
        let told = (100..300).step_by(2).filter(|s| unseen.look(Duration::from_secs(*s)));
        assert_eq!(told.collect::<Vec<_>>(), [130]);
    }
}

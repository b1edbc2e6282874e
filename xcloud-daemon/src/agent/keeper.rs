//! Keeps the hooks on the interfaces there are and first in their chains, and off while the kill switch is there.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use log::{info, warn};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

use super::{hooks::SharedHooks, names::Names};
use crate::{
    cli::AgentArgs,
    kernel::{
        ifaces::{self, Event},
        tc,
    },
};

/// Interface events waiting for their hooks.
const EVENTS: usize = 64;
/// How often is looked at what tells nothing by itself: the kill switch, the order at TCX, the drops of pods'
/// interfaces. A dozen system calls a pod, so a millisecond of every two seconds with a hundred pods.
const LOOK: Duration = Duration::from_secs(2);

/// Who keeps them.
#[derive(Debug)]
pub struct Keeper<'a> {
    args: &'a AgentArgs,
    hooks: &'a SharedHooks,
    names: &'a Names,
    ready: bool,
    waiting: bool,
}

impl<'a> Keeper<'a> {
    /// Of these hooks.
    #[must_use]
    pub fn new(args: &'a AgentArgs, hooks: &'a SharedHooks, names: &'a Names) -> Self {
        Self { args, hooks, names, ready: false, waiting: false }
    }

    /// Works until something fails.
    ///
    /// # Errors
    /// The kernel does not tell about interfaces, the ready file cannot be written, or hooks cannot be put on again.
    pub async fn run(mut self) -> Result<()> {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let (bell, mut filters) = mpsc::channel(1);
        // Before the first interface comes.
        self.heed_kill_switch()?;
        let follow = tokio::spawn(ifaces::follow(self.args.interfaces.clone(), sender));
        let follow = AbortOnDropHandle::new(follow);
        let _filters = AbortOnDropHandle::new(tokio::spawn(follow_filters(bell)));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event)?,
                    None => break,
                },
                Some(()) = filters.recv() => self.hooks.lock().keep_first(),
                _ = looks.tick() => self.look()?,
            }
        }
        follow.await.context("following interfaces")?.context("following interfaces")
    }

    fn take(&mut self, event: Event) -> Result<()> {
        let settled = event == Event::Changed;
        self.names.heed(&event);
        self.hooks.lock().handle(event);
        if !settled {
            return Ok(());
        }
        let without_uplink = self.hooks.lock().lacks_uplink();
        if without_uplink && !self.waiting {
            warn!(
                "no uplink is watched, so nothing is measured yet: waiting for one; `xcloud check` says why each \
                 interface is left out, --uplink names one"
            );
        }
        self.waiting = without_uplink;
        self.tell_ready()
    }

    fn look(&mut self) -> Result<()> {
        self.heed_kill_switch()?;
        {
            let mut hooks = self.hooks.lock();
            hooks.keep_first();
            hooks.watch_drops();
            hooks.forget_gone();
        }
        self.tell_ready()
    }

    fn heed_kill_switch(&mut self) -> Result<()> {
        let path = &self.args.kill_switch;
        // A link to nowhere is there, too; what cannot be looked at is not.
        let there = fs::symlink_metadata(path).is_ok();
        if !self.hooks.lock().switch(there).context("hooking again after the kill switch")? {
            return Ok(());
        }
        let path = path.display();
        if there {
            warn!("kill switch {path}: all hooks are off until the file is removed");
            self.ready = false;
            return self.args.ready_file.as_deref().map_or(Ok(()), forget_ready);
        }
        info!("kill switch {path}: removed, so the hooks are on again");
        Ok(())
    }

    /// Says once that all hooks are on, and again after the kill switch.
    fn tell_ready(&mut self) -> Result<()> {
        let hooks = self.hooks.lock();
        if self.ready || !hooks.is_ready() {
            return Ok(());
        }
        self.ready = true;
        let uplinks = hooks.uplinks().join(", ");
        info!("ready: uplinks {uplinks}; {} pod interfaces", hooks.pods());
        match &self.args.ready_file {
            Some(path) => fs::write(path, format!("{uplinks}\n"))
                .with_context(|| format!("writing the ready file {}", path.display())),
            None => Ok(()),
        }
    }
}

/// TCX tells no changes, so without filters this costs nothing; where it fails, the looks notice a little later.
async fn follow_filters(bell: mpsc::Sender<()>) {
    if let Err(error) = tc::follow(bell).await {
        warn!("displaced filters are noticed within {LOOK:?} only: {error:#}");
    }
}

/// Removes the ready file; none there is no error.
pub(super) fn forget_ready(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the ready file {}", path.display()))
        }
        _ => Ok(()),
    }
}

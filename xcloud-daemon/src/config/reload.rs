//! Reads the file again when it changes or at SIGHUP. Keys that can take effect while the process runs do; the others,
//! and everything while the file is wrong, stay as they were, and that is said.

use std::{
    convert::Infallible, fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{
    Configured,
    settings::{Setting, Settings},
    show::{line, shown},
};
use crate::logging;

/// How often is looked whether the file changed. A ConfigMap's files change by a link elsewhere, which a watch on the
/// file itself would miss.
const LOOK: Duration = Duration::from_secs(1);

/// The arguments in force, which others subscribe to.
#[derive(Debug)]
pub struct Live<T> {
    settings: Settings,
    args: watch::Sender<Arc<T>>,
    /// The file as it was read last.
    read: Option<Stamp>,
    /// The file as it was looked at last.
    seen: Option<Stamp>,
}

/// What tells one state of a file from another: device, inode, seconds and nanoseconds of its change, and its size.
type Stamp = (u64, u64, i64, i64, u64);

impl<T: Configured> Live<T> {
    /// What a process was started with. Says all of it in the log.
    #[must_use]
    pub fn new(settings: Settings, args: T) -> Self {
        let from = settings
            .path
            .as_deref()
            .map_or_else(|| "no file".into(), |path| path.display().to_string());
        let line = line(&settings);
        info!(
            file = from,
            configuration = line,
            "configuration of {}, from {from}: {line}",
            settings.section.name()
        );
        let stamp = settings.path.as_deref().and_then(stamp);
        Self { settings, args: watch::Sender::new(Arc::new(args)), read: stamp, seen: stamp }
    }

    /// The arguments in force, now and after every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<T>> {
        self.args.subscribe()
    }

    /// The arguments in force now.
    #[must_use]
    pub fn args(&self) -> Arc<T> {
        Arc::clone(&self.args.borrow())
    }

    /// The file that it follows, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.settings.path.as_deref()
    }

    /// Follows the file for ever.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub async fn follow(mut self) -> Result<Infallible> {
        let mut hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = hangups.recv() => self.reload("SIGHUP"),
                _ = looks.tick() => if self.has_changed() { self.reload("it changed") },
            }
        }
    }

    /// Whether the file is another than was read, and no longer being written.
    fn has_changed(&mut self) -> bool {
        let Some(path) = &self.settings.path else { return false };
        let now = stamp(path);
        std::mem::replace(&mut self.seen, now) == now && now != self.read
    }

    /// Reads the file again, and says what came of it.
    fn reload(&mut self, prompted: &str) {
        let Some(path) = self.settings.path.clone() else {
            info!("{prompted}: there is no configuration file to read again");
            return;
        };
        self.read = stamp(&path);
        let path = path.display();
        match self.renew() {
            Ok(changes) if changes.is_empty() => {
                info!("configuration {path} was read again ({prompted}): nothing differs");
            }
            Ok(changes) => changes.iter().for_each(|change| change.tell(&path.to_string())),
            Err(error) => {
                let why = format!("{error:#}").replace('\n', "; ");
                warn!(error = why, "the configuration stays as it was: {why}");
            }
        }
    }

    /// Takes in what the file says now, as far as that can be without a restart.
    fn renew(&mut self) -> Result<Vec<Change>> {
        let wanted = self.settings.read()?;
        // All of it must be sound, whether it takes effect now or later.
        let (_, values) = self.settings.evaluate(&wanted)?;
        let changes = changes(&self.settings.values, values);
        let mut entries = self.settings.entries.clone();
        for change in changes.iter().filter(|change| change.to.key.hot) {
            let name = &change.to.key.name;
            match wanted.get(name) {
                Some(given) => entries.insert(name.clone(), given.clone()),
                None => entries.remove(name),
            };
        }
        let (cli, values) = self.settings.evaluate(&entries)?;
        (self.settings.entries, self.settings.values) = (entries, values);
        logging::set_levels(&cli.log);
        if let Some(args) = T::of(cli.command) {
            self.args.send_replace(Arc::new(args));
        }
        Ok(changes)
    }
}

/// A key whose value is another in the file than in force.
#[derive(Debug)]
struct Change {
    from: Setting,
    to: Setting,
}

impl Change {
    fn tell(&self, path: &str) {
        let (key, from, to) = (&self.to.key.name, shown(&self.from), shown(&self.to));
        if self.to.key.hot {
            info!(key, from, to, "configuration {path}: {key} is {to} from now on, it was {from}");
        } else {
            warn!(
                key,
                from,
                to,
                "configuration {path}: {key} stays {from} until a restart; the file says {to}"
            );
        }
    }
}

fn changes(before: &[Setting], after: Vec<Setting>) -> Vec<Change> {
    let pairs = before.iter().zip(after);
    let differing = pairs.filter(|(from, to)| from.texts != to.texts);
    differing.map(|(from, to)| Change { from: from.clone(), to }).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.ctime(), data.ctime_nsec(), data.size()))
}

//! Certificates in use, replaced while they are: files are looked at again and again, and what is wrong never replaces what
//! works. A Kubernetes secret changes by a link to another directory, so what counts is what the files hold.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::UnixTime;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::material::{Contents, End, Material, Paths, judge, text};

/// Longest file read.
const LONGEST: u64 = 1 << 20;

type Build<T> = Box<dyn Fn(&Material) -> Result<T> + Send + Sync>;

/// What was made of files, and stays until they hold something better.
pub struct Credentials<T> {
    paths: Paths,
    end: End,
    build: Build<T>,
    current: watch::Sender<Arc<T>>,
    seen: Mutex<Seen>,
}

/// What the last look found.
struct Seen {
    found: Result<Contents, String>,
    in_use: bool,
    not_after: Option<UnixTime>,
    told_expired: bool,
}

impl<T> fmt::Debug for Credentials<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<T> Credentials<T> {
    /// Reads files for the first time.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(
        paths: Paths,
        end: End,
        build: impl Fn(&Material) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        let contents = read(&paths)?;
        let material = judge(&paths, &contents, end, UnixTime::now())?;
        let not_after = material.own.as_ref().map(|own| own.not_after);
        let current = watch::Sender::new(Arc::new(build(&material)?));
        let seen = Seen { found: Ok(contents), in_use: true, not_after, told_expired: false };
        Ok(Self { paths, end, build: Box::new(build), current, seen: Mutex::new(seen) })
    }

    /// What is in use.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells when something else comes into use.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<T>> {
        self.current.subscribe()
    }

    /// Until when the certificate in use is valid.
    #[must_use]
    pub fn not_after(&self) -> Option<UnixTime> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Looks at the files: what is new and right comes into use, what is wrong is told once.
    pub fn look(&self) {
        let now = UnixTime::now();
        let found = read(&self.paths).map_err(|error| format!("{error:#}"));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let news = found != seen.found;
        // Files that change between two looks are being replaced: the next look finds them whole.
        if news && read(&self.paths).map_err(|error| format!("{error:#}")) != found {
            return;
        }
        if !news && seen.in_use {
            return seen.mind_expiry(&self.paths, now);
        }
        // What was not valid yet becomes so without any change.
        let judged = found.as_ref().map_err(Clone::clone).and_then(|contents| {
            let material = judge(&self.paths, contents, self.end, now);
            let made = material.and_then(|material| Ok(((self.build)(&material)?, material)));
            made.map_err(|error| format!("{error:#}"))
        });
        seen.found = found;
        seen.in_use = judged.is_ok();
        match judged {
            Ok((made, material)) => {
                seen.not_after = material.own.as_ref().map(|own| own.not_after);
                seen.told_expired = false;
                let until = seen.not_after.map_or_else(String::new, |until| {
                    format!("; this process's own is valid until {}", text(until))
                });
                tracing::info!("tls: new certificates are in use{until}");
                self.current.send_replace(Arc::new(made));
            }
            Err(why) if news => {
                tracing::warn!(
                    "tls: the certificates in use stay, as the new ones are wrong: {why}"
                );
            }
            Err(_) => seen.mind_expiry(&self.paths, now),
        }
    }

    /// Looks at the files for ever.
    pub async fn follow(&self, every: Duration) {
        let mut looks = interval(every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }
}

impl Seen {
    /// Says once that nothing new came in time.
    fn mind_expiry(&mut self, paths: &Paths, now: UnixTime) {
        let Some(until) = self.not_after.filter(|until| *until < now) else { return };
        if !std::mem::replace(&mut self.told_expired, true) {
            let file = paths.own.as_ref().map(|(cert, _)| cert.display().to_string());
            tracing::error!(
                "tls: the certificate in use expired at {}, and others refuse it; {} brings no new one",
                text(until),
                file.unwrap_or_default()
            );
        }
    }
}

fn read(paths: &Paths) -> Result<Contents> {
    let own = match &paths.own {
        Some((cert, key)) => Some((bytes(cert)?, bytes(key)?)),
        None => None,
    };
    Ok(Contents { own, ca: bytes(&paths.ca)? })
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    let mut file = File::open(path).with_context(reading)?.take(LONGEST + 1);
    file.read_to_end(&mut bytes).with_context(reading)?;
    ensure!(
        bytes.len() as u64 <= LONGEST,
        "{} is longer than {LONGEST} bytes, so it is no certificate",
        path.display()
    );
    Ok(bytes)
}

//! A suite made again and again: when its rounds begin, and where each is kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};

use crate::usage::usage;

/// What is no result, out of the way of those who read the directory.
const OWN: &str = ".schedule";

/// When rounds begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The suite's name.
    pub suite: String,
    /// When the first round began.
    pub started_unix_s: u64,
    /// From one start to the next.
    pub every_s: u64,
    /// From the first start to the end.
    pub lasts_s: u64,
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// 0 for the first.
    pub number: u64,
    /// When it begins.
    pub at_unix_s: u64,
}

impl Schedule {
    /// One that begins now.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn asked(suite: &str, every: Duration, lasts: Duration) -> Result<Self> {
        if every.as_secs() == 0 || lasts < every {
            return Err(usage("--every has to be 1s or more, and --for not shorter"));
        }
        let (every_s, lasts_s) = (every.as_secs(), lasts.as_secs());
        Ok(Self { suite: suite.into(), started_unix_s: now(), every_s, lasts_s })
    }

    /// The first round that begins now or later. What was missed is not made up for: its hour is over.
    #[must_use]
    pub fn next(&self, now_unix_s: u64) -> Option<Round> {
        let passed = now_unix_s.saturating_sub(self.started_unix_s);
        let number = passed.div_ceil(self.every_s.max(1));
        let offset = number.checked_mul(self.every_s).filter(|offset| *offset < self.lasts_s)?;
        let at_unix_s = self.started_unix_s.checked_add(offset)?;
        Some(Round { number, at_unix_s })
    }

    /// How many rounds there are, those that were made or missed included.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.lasts_s.div_ceil(self.every_s.max(1))
    }

    /// The name of a round's file.
    #[must_use]
    pub fn file(&self, round: Round) -> String {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(round.at_unix_s));
        let at = at.map(|at| humantime::format_rfc3339_seconds(at).to_string().replace(':', ""));
        format!("{}-{}.json", self.suite, at.unwrap_or_else(|| round.at_unix_s.to_string()))
    }
}

/// A directory of rounds, which no other program works on as long as this lives.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
    /// When its rounds begin.
    pub schedule: Schedule,
    _lock: Flock<File>,
}

impl Kept {
    /// Begins a schedule now, or goes on with the one begun in this directory.
    ///
    /// # Errors
    /// Another program works on it, another schedule was begun there, or it cannot be written to.
    pub fn open(directory: &Path, suite: &str, every: Duration, lasts: Duration) -> Result<Self> {
        let asked = Schedule::asked(suite, every, lasts)?;
        let own = directory.join(OWN);
        fs::create_dir_all(&own).with_context(|| format!("creating {}", own.display()))?;
        let lock = lock(&own.join("lock"), directory)?;
        let file = own.join("schedule.json");
        let schedule = match fs::read(&file) {
            Ok(text) => begun(&text, &asked, directory)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                begin(&file, &asked)?;
                asked
            }
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", file.display()));
            }
        };
        Ok(Self { directory: directory.into(), schedule, _lock: lock })
    }

    /// The next round that has no file yet, and the file it gets.
    #[must_use]
    pub fn next(&self) -> Option<(Round, PathBuf)> {
        let mut from = now();
        loop {
            let round = self.schedule.next(from)?;
            let file = self.directory.join(self.schedule.file(round));
            if !file.exists() {
                return Some((round, file));
            }
            from = round.at_unix_s + 1;
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn lock(path: &Path, directory: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => anyhow::anyhow!(
            "another schedule runs in {}: end it, or keep rounds in another directory",
            directory.display()
        ),
        other => anyhow::anyhow!("locking {}: {other}", path.display()),
    })
}

fn begin(file: &Path, schedule: &Schedule) -> Result<()> {
    let unfinished = file.with_extension("part");
    fs::write(&unfinished, serde_json::to_vec_pretty(schedule)?)
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("writing {}", file.display()))
}

fn begun(text: &[u8], asked: &Schedule, directory: &Path) -> Result<Schedule> {
    let directory = directory.display();
    let begun: Schedule = serde_json::from_slice(text)
        .with_context(|| format!("{directory}/{OWN}/schedule.json is no schedule"))?;
    if (Schedule { started_unix_s: begun.started_unix_s, ..asked.clone() }) != begun {
        let time = |seconds| humantime::format_duration(Duration::from_secs(seconds));
        return Err(usage(format!(
            "--keep {directory}: there {} was begun --every {} --for {}; go on with that, or keep this elsewhere",
            begun.suite,
            time(begun.every_s),
            time(begun.lasts_s)
        )));
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOURLY: u64 = 3600;

    fn hourly() -> Schedule {
        Schedule {
            suite: "a".into(),
            started_unix_s: 1_000_000,
            every_s: HOURLY,
            lasts_s: 336 * HOURLY,
        }
    }

    #[test]
    fn an_hour_for_fourteen_days_has_336_rounds() {
        let (mut now, mut rounds) = (1_000_000, 0);
        while let Some(round) = hourly().next(now) {
            assert_eq!(round.number, rounds);
            (now, rounds) = (round.at_unix_s + 1, rounds + 1);
        }
        assert_eq!((rounds, hourly().rounds()), (336, 336));
        assert_eq!(Schedule { lasts_s: HOURLY + 1, ..hourly() }.rounds(), 2);
    }

    #[test]
    fn a_round_that_took_too_long_costs_the_next() {
        let next = hourly().next(1_000_000 + HOURLY + 1).expect("a round");
        assert_eq!(next, Round { number: 2, at_unix_s: 1_000_000 + 2 * HOURLY });
        assert_eq!(hourly().file(next), "a-1970-01-12T154640Z.json");
    }

    #[test]
    fn what_was_begun_is_gone_on_with_and_nothing_is_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |every| {
            Kept::open(dir.path(), "a", Duration::from_secs(every), Duration::from_hours(9))
        };
        let first = open(600).expect("begun");
        let started = first.schedule.started_unix_s;
        let error = open(600).expect_err("one at a time").to_string();
        assert!(error.contains("another schedule runs"), "{error}");
        let (round, file) = first.next().expect("a round");
        assert_eq!(round.number, 0);
        fs::write(&file, "what was found").expect("written");
        drop(first);
        let again = open(600).expect("gone on with");
        assert_eq!(again.schedule.started_unix_s, started);
        assert_eq!(again.next().expect("a round").0.number, 1);
        drop(again);
        let error = open(60).expect_err("another").to_string();
        assert!(error.contains("--every 10m --for 9h"), "{error}");
        // Others find results in the directory and nothing else.
        let files = fs::read_dir(dir.path()).expect("listed").flatten();
        assert_eq!(files.filter(|entry| entry.path().is_file()).count(), 1);
    }

    proptest! {
        #[test]
        fn a_round_is_never_in_the_past_nor_past_the_end(
            started_unix_s: u64, every_s in 1u64..=u64::MAX, lasts_s: u64, now: u64,
        ) {
            let schedule = Schedule { suite: "a".into(), started_unix_s, every_s, lasts_s };
            if let Some(round) = schedule.next(now) {
                prop_assert!(round.at_unix_s >= now);
                prop_assert!(round.at_unix_s - started_unix_s < lasts_s);
                prop_assert_eq!((round.at_unix_s - started_unix_s) % every_s, 0);
            }
        }
    }
}

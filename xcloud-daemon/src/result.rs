//! What a load test found: the file that `xcloud load` writes, and `xcloud compare` and `xcloud report` read.
//!
//! A [`Run`] holds [`Trial`]s. A trial is the unit of replication: a comparison resamples trials, never requests. Nothing
//! is averaged away: percentiles come from the histograms, which can be merged.

mod histogram;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

pub use histogram::is_lower_bound;

/// Names this layout; a reader refuses others.
pub const SCHEMA: &str = "xcloud.run.v1";

/// Trials made for one purpose on one state of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`].
    pub schema: String,
    /// What its reader calls this run, e.g. `cilium`; where that is empty, what its file is called.
    pub label: String,
    /// The program that measured, and its version.
    pub tool: String,
    /// Facts that have to be the same for two runs to be compared: kernel, CPU, congestion control, CNI and its configuration.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// In the order in which they were made.
    pub trials: Vec<Trial>,
    /// What a reader has to know before believing any figure.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The suites that its trials were made by, so that their order can be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<Order>,
}

/// In which order a suite made its tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The suite's name.
    pub suite: String,
    /// What its random order starts from.
    pub seed: u64,
    /// How often each test was to be made.
    pub repeats: u32,
    /// All tests that were to be made.
    pub tests: u64,
}

/// One test on one pair of ends, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was done, e.g. `throughput` or the name of a suite's step. The same in all repeats.
    pub test: String,
    /// Where the load came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// When it began, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// How long it took, in nanoseconds of the monotonic clock.
    pub duration_ns: u64,
    /// How it was done, by the flag's name, e.g. `rate`, `connections`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Figures of the whole trial, by name, e.g. `throughput`, `retransmits`.
    #[serde(default)]
    pub metrics: BTreeMap<String, Metric>,
    /// Distributions, by name, e.g. `response` (from the intended send time), `service` (from the real one), `lateness`.
    #[serde(default)]
    pub histograms: BTreeMap<String, Histogram>,
    /// Second by second.
    #[serde(default)]
    pub intervals: Vec<Interval>,
    /// What is doubtful about this trial.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// In [`Self::unit`].
    pub value: f64,
    /// In the spelling of UCUM: `bit/s`, `ns`, `1`, `By`, `{request}/s`.
    pub unit: String,
    /// Which direction is good, where there is one.
    pub better: Option<Better>,
}

impl Metric {
    /// A figure.
    #[must_use]
    pub fn new(value: f64, unit: &str, better: Option<Better>) -> Self {
        Self { value, unit: unit.into(), better }
    }
}

/// Which of two figures one would rather have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// As in throughput.
    Higher,
    /// As in latency.
    Lower,
}

/// A distribution of times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The HdrHistogram V2 encoding, deflated, in base64: what the standard tools read.
    pub hdr: String,
    /// How many of the values are only lower bounds: requests that had not ended.
    #[serde(default)]
    pub censored: u64,
    /// The smallest of those. Files of before it was kept do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub censored_from_ns: Option<u64>,
}

/// A part of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// From the trial's beginning.
    pub start_ns: u64,
    /// How long.
    pub duration_ns: u64,
    /// Figures of this interval, with the names and units of the trial's.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Distributions of this interval; together they are the trial's.
    #[serde(default)]
    pub histograms: BTreeMap<String, Histogram>,
}

/// Whether a file can be written, so that nobody measures for an hour and then hears that it cannot.
///
/// # Errors
/// It cannot be.
pub fn may_write(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        bail!("{name} is a directory: name a file in it");
    }
    let trial = unfinished(path);
    File::create(&trial)
        .and_then(|_| fs::remove_file(&trial))
        .with_context(|| format!("{name} cannot be written"))
}

/// What a file is called until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

impl Run {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no run, or one of another layout.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let name = path.display().to_string();
        let run: Self = serde_json::from_reader(BufReader::new(file))
            .with_context(|| format!("{name} is no result of xcloud"))?;
        let mut run = run.of_this_layout(&name)?;
        if run.label.trim().is_empty() {
            run.label = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(run)
    }

    /// Reads what was sent, called so in errors.
    ///
    /// # Errors
    /// It is no run, or one of another layout.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        let run: Self = serde_json::from_slice(bytes)
            .with_context(|| format!("{name} is no result of xcloud"))?;
        run.of_this_layout(name)
    }

    fn of_this_layout(self, name: &str) -> Result<Self> {
        if self.schema != SCHEMA {
            bail!("{name} is of layout {:?}; this xcloud reads {SCHEMA}", self.schema);
        }
        Ok(self)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let unfinished = unfinished(path);
        let text = serde_json::to_vec_pretty(self)?;
        File::create(&unfinished)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&unfinished, path))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))
            .with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            schema: SCHEMA.into(),
            label: "a".into(),
            tool: "xcloud 0.1.0".into(),
            environment: BTreeMap::new(),
            trials: Vec::new(),
            warnings: vec!["noisy".into()],
            suites: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.json");
        run().write(&path).expect("written");
        assert_eq!(Run::read(&path).expect("read"), run());
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.json");
        Run { schema: "xcloud.run.v9".into(), ..run() }.write(&path).expect("written");
        let error = Run::read(&path).expect_err("refused").to_string();
        assert!(error.contains("xcloud.run.v9") && error.contains(SCHEMA), "{error}");
    }

    #[test]
    fn a_run_without_a_label_is_called_as_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("before.json");
        Run { label: " ".into(), ..run() }.write(&path).expect("written");
        assert_eq!(Run::read(&path).expect("read").label, "before");
    }

    #[test]
    fn what_cannot_be_written_is_known_before_there_is_something_to_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let says = |path: &Path| may_write(path).map_err(|error| format!("{error:#}"));
        assert_eq!(says(&dir.path().join("a.json")), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
        assert!(says(dir.path()).is_err_and(|error| error.contains("is a directory")));
        let nowhere = says(&dir.path().join("no/a.json")).expect_err("refused");
        assert!(nowhere.contains("no/a.json") && nowhere.contains("No such file"), "{nowhere}");
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_nothing() {
        let error = run().write(Path::new("/proc/nowhere/a.json")).expect_err("refused");
        assert!(format!("{error:#}").contains("/proc/nowhere/a.json"), "{error:#}");
    }
}

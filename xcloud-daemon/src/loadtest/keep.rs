//! Where tests and their results are kept: as files that survive restarts, or the latest in memory.
//!
//! A test `ID` is `ID.test`, its message as it is on the wire, and if it has a result `ID.json`, which `xcloud compare` and
//! `xcloud report` read.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;
use xcloud_proto::loadtest::v1::{LoadTest, LoadTestState};

use super::{id, registry::has_ended};
use crate::result::Run;

/// Tests known at once when results are files; files of older ones stay, unlisted.
const MOST_FILES: usize = 10_000;
/// Tests kept in memory.
const MOST_IN_MEMORY: usize = 100;
/// Bytes of results kept in memory.
const MOST_BYTES: usize = 256 << 20;
/// Longest message of a test.
const LONGEST_TEST: u64 = 64 << 10;
/// Longest result of a test.
pub const LONGEST_RESULT: usize = 32 << 20;

/// Where they are.
#[derive(Debug)]
pub enum Keep {
    /// The latest, until the aggregator ends.
    Memory(Mutex<VecDeque<(String, Vec<u8>)>>),
    /// In a directory that no other aggregator uses meanwhile.
    Directory {
        /// Where.
        path: PathBuf,
        /// Locked.
        lock: File,
    },
}

impl Keep {
    /// Opens it, and tells the tests of earlier lives. What still ran then has failed.
    ///
    /// # Errors
    /// The directory cannot be used, or another aggregator uses it.
    pub fn open(directory: Option<&Path>) -> Result<(Self, Vec<LoadTest>)> {
        let Some(path) = directory else { return Ok((Self::Memory(Mutex::default()), Vec::new())) };
        let using = || format!("keeping results of load tests in {}", path.display());
        fs::create_dir_all(path).with_context(using)?;
        let lock = File::create(path.join("lock")).with_context(using)?;
        if lock.try_lock().is_err() {
            bail!("{}: another aggregator does; name another --load-results", using());
        }
        let keep = Self::Directory { path: path.into(), lock };
        let mut tests = list(path).with_context(using)?;
        for test in tests.iter_mut().filter(|test| !has_ended(test)) {
            test.set_state(LoadTestState::Failed);
            test.error = "the aggregator ended while it ran".into();
            test.ended = Some(SystemTime::now().into());
            keep.note(test).with_context(using)?;
        }
        Ok((keep, tests))
    }

    /// How many tests that ended are known at most.
    #[must_use]
    pub const fn most(&self) -> usize {
        match self {
            Self::Memory(_) => MOST_IN_MEMORY,
            Self::Directory { .. } => MOST_FILES,
        }
    }

    /// Keeps how a test is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, test: &LoadTest) -> Result<()> {
        let Self::Directory { path, .. } = self else { return Ok(()) };
        let file = file(path, &test.id, "test")?;
        let unfinished = file.with_added_extension("part");
        fs::write(&unfinished, test.encode_to_vec())
            .and_then(|()| fs::rename(&unfinished, &file))
            .with_context(|| format!("writing {}", file.display()))
    }

    /// Keeps a result.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn store(&self, id: &str, run: &Run) -> Result<()> {
        match self {
            Self::Directory { path, .. } => run.write(&file(path, id, "json")?),
            Self::Memory(results) => {
                let mut results = lock(results);
                results.push_back((id.into(), serde_json::to_vec(run)?));
                while results.len() > MOST_IN_MEMORY || size(&results) > MOST_BYTES {
                    results.pop_front();
                }
                Ok(())
            }
        }
    }

    /// Bytes of a test's result, 0 if it is not kept.
    #[must_use]
    pub fn size(&self, id: &str) -> u64 {
        match self {
            Self::Directory { path, .. } => {
                let file = file(path, id, "json").and_then(|file| Ok(fs::metadata(file)?));
                file.map_or(0, |file| file.len())
            }
            Self::Memory(results) => {
                let results = lock(results);
                let found = results.iter().find(|(one, _)| one == id);
                found.map_or(0, |(_, run)| run.len() as u64)
            }
        }
    }

    /// The result of a test.
    ///
    /// # Errors
    /// It cannot be read, or is not kept any more.
    pub fn run(&self, id: &str) -> Result<Run> {
        match self {
            Self::Directory { path, .. } => Run::read(&file(path, id, "json")?),
            Self::Memory(results) => {
                let found =
                    lock(results).iter().find(|(one, _)| one == id).map(|(_, run)| run.clone());
                let bytes = found.with_context(|| {
                    format!("the result of {id} is not kept any more; --load-results keeps all")
                })?;
                Run::parse(&bytes, id)
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(results: &VecDeque<(String, Vec<u8>)>) -> usize {
    results.iter().map(|(_, run)| run.len()).sum()
}

fn file(directory: &Path, id: &str, kind: &str) -> Result<PathBuf> {
    ensure!(id::is_one(id), "{id:?} is no name of a test");
    Ok(directory.join(format!("{id}.{kind}")))
}

/// The newest tests of a directory; what is none is told and left alone.
fn list(directory: &Path) -> Result<Vec<LoadTest>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "test") {
            files.push(path);
        }
    }
    // Names begin with the time.
    files.sort_unstable_by(|one, other| other.cmp(one));
    if files.len() > MOST_FILES {
        tracing::warn!(
            "{}: {} older tests are not listed",
            directory.display(),
            files.len() - MOST_FILES
        );
    }
    let mut tests = Vec::new();
    for path in files.into_iter().take(MOST_FILES) {
        match read(&path) {
            Ok(test) => tests.push(test),
            Err(error) => tracing::warn!("{} is left out: {error:#}", path.display()),
        }
    }
    Ok(tests)
}

fn read(path: &Path) -> Result<LoadTest> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_TEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LONGEST_TEST, "it is longer than any test");
    let mut test = LoadTest::decode(&*bytes).context("it is no test")?;
    ensure!(
        id::is_one(&test.id) && path.file_stem().is_some_and(|stem| stem == &*test.id),
        "it is called {:?} inside",
        test.id
    );
    test.has_result &= path.with_extension("json").is_file();
    Ok(test)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::result::SCHEMA;

    fn run(label: &str) -> Run {
        Run {
            schema: SCHEMA.into(),
            label: label.into(),
            tool: "xcloud".into(),
            environment: BTreeMap::new(),
            trials: Vec::new(),
            warnings: Vec::new(),
            suites: Vec::new(),
        }
    }

    fn test(id: &str, state: LoadTestState) -> LoadTest {
        LoadTest { id: id.into(), state: state.into(), has_result: true, ..LoadTest::default() }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let (keep, before) = Keep::open(Some(dir.path())).expect("opened");
        assert_eq!(before, []);
        keep.store("1-a", &run("a")).expect("stored");
        keep.note(&test("1-a", LoadTestState::Done)).expect("noted");
        keep.note(&test("2-b", LoadTestState::Running)).expect("noted");
        drop(keep);
        let (keep, tests) = Keep::open(Some(dir.path())).expect("opened again");
        assert_eq!(keep.run("1-a").expect("kept"), run("a"));
        let [running, done] = &tests[..] else { panic!("{tests:?}") };
        assert_eq!((done.state(), done.has_result), (LoadTestState::Done, true));
        assert_eq!((running.state(), running.has_result), (LoadTestState::Failed, false));
        assert!(running.error.contains("aggregator ended"), "{}", running.error);
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = Keep::open(Some(dir.path())).expect("opened");
        let error = Keep::open(Some(dir.path())).expect_err("taken");
        assert!(error.to_string().contains("another aggregator"), "{error}");
    }

    #[test]
    fn what_is_no_test_is_left_out_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let other = test("3-c", LoadTestState::Done).encode_to_vec();
        let long = vec![0; 1 << 20];
        for (name, bytes) in
            [("1.test", &b"\xff\xff\xff"[..]), ("2.test", &other), ("4.test", &long)]
        {
            fs::write(dir.path().join(name), bytes).expect("written");
        }
        let (_, tests) = Keep::open(Some(dir.path())).expect("opened");
        assert_eq!(tests, []);
        assert!(dir.path().join("1.test").exists());
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (keep, _) = Keep::open(Some(dir.path())).expect("opened");
        assert!(keep.run("../../etc/passwd").is_err());
        assert!(keep.note(&test("a/b", LoadTestState::Done)).is_err());
    }

    #[test]
    fn memory_keeps_the_latest() {
        let (keep, _) = Keep::open(None).expect("opened");
        for number in 0..=MOST_IN_MEMORY {
            keep.store(&number.to_string(), &run("a")).expect("stored");
        }
        assert!(keep.run("0").expect_err("gone").to_string().contains("--load-results"));
        assert_eq!(keep.run("1").expect("kept"), run("a"));
    }
}

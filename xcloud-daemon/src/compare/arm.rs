//! One side of a comparison: the trials of all its files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::import;
use crate::{
    result::{Run, Trial},
    usage::usage,
};

/// Runs taken together.
#[derive(Clone, Debug)]
pub struct Arm {
    /// What its runs are called; empty if none has a label.
    pub label: String,
    /// The programs that measured.
    pub tools: BTreeSet<String>,
    /// By fact, what its runs say.
    pub environment: BTreeMap<String, BTreeSet<String>>,
    /// In the order in which they were made.
    pub trials: Vec<Trial>,
    /// What its runs say about themselves.
    pub warnings: BTreeSet<String>,
}

impl Arm {
    /// All trials of some runs.
    #[must_use]
    pub fn new(runs: Vec<Run>) -> Self {
        let labels = runs.iter().map(|run| run.label.trim()).filter(|label| !label.is_empty());
        let labels: BTreeSet<&str> = labels.collect();
        let mut arm = Self {
            label: labels.into_iter().collect::<Vec<_>>().join(", "),
            tools: BTreeSet::new(),
            environment: BTreeMap::new(),
            trials: Vec::new(),
            warnings: BTreeSet::new(),
        };
        for run in runs {
            arm.tools.insert(run.tool);
            arm.warnings.extend(run.warnings);
            for (fact, value) in run.environment {
                arm.environment.entry(fact).or_default().insert(value);
            }
            arm.trials.extend(run.trials);
        }
        arm.trials.sort_by_key(|trial| trial.started_unix_ns);
        arm
    }

    /// What an argument names: a file, several with commas between, or a directory of them.
    ///
    /// # Errors
    /// A file is missing or is nothing that can be compared.
    pub fn read(argument: &str) -> Result<Self> {
        let files = files(argument)?;
        let runs = files.iter().map(|file| import::read(file)).collect::<Result<Vec<_>>>()?;
        Ok(Self::new(runs))
    }
}

fn files(argument: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(argument);
    if path.is_dir() {
        let entries = path.read_dir().with_context(|| format!("listing {argument}"))?;
        let mut files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("listing {argument}"))?;
        files.retain(|file| file.is_file());
        files.sort();
        return if files.is_empty() {
            Err(usage(format!("{argument} holds no files")))
        } else {
            Ok(files)
        };
    }
    if path.exists() || !argument.contains(',') {
        return Ok(vec![path.into()]);
    }
    Ok(argument.split(',').map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::simulated::run;

    #[test]
    fn files_come_from_lists_and_directories() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("plain").to_owned();
        for name in ["b.json", "a.json"] {
            let one = run(name, 2, |_| 1.0);
            one.write(Path::new(&path(name))).expect("written");
        }
        for argument in [path(""), format!("{},{}", path("a.json"), path("b.json"))] {
            let arm = Arm::read(&argument).expect("read");
            assert_eq!((arm.label.as_str(), arm.trials.len()), ("a.json, b.json", 4));
        }
        assert_eq!(Arm::read(&path("a.json")).expect("read").trials.len(), 2);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Arm::read("nowhere.json").expect_err("missing");
        assert!(format!("{error:#}").contains("nowhere.json"), "{error:#}");
        let dir = tempfile::tempdir().expect("a directory");
        let error = Arm::read(dir.path().to_str().expect("plain")).expect_err("empty");
        assert!(error.to_string().contains("holds no files"), "{error}");
    }
}

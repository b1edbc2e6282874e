//! Visits of labs by turns: each brings a lab up, makes a suite once in it and takes it down again, so that what a single
//! lab happens to be like is one more thing that differs from trial to trial.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::arm::{self, Arm};
use crate::{
    idle,
    lab::{
        Lab,
        args::LabArgs,
        cni::Cni,
        process,
        run::{self, pause},
        state::{self, Process},
    },
    progress::Progress,
    signals,
};

/// How two modes are visited.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    /// The lab, but for its mode.
    pub(crate) lab: &'a LabArgs,
    /// The modes.
    pub(crate) modes: [Cni; 2],
    /// The suite's file.
    pub(crate) suite: &'a Path,
    /// Visits of each mode.
    pub(crate) repeats: u32,
    /// How long an idle machine is waited for.
    pub(crate) patience: Duration,
    /// Where results are written.
    pub(crate) directory: &'a Path,
}

impl Series<'_> {
    /// Makes all visits. After each, both runs are written as far as they are known.
    pub(crate) fn run(&self, arms: &mut [Arm; 2], progress: &Progress) -> Result<[PathBuf; 2]> {
        signals::stop_flag()?;
        let xcloud = run::xcloud(self.lab)?;
        fs::create_dir_all(self.directory)
            .with_context(|| format!("creating {}", self.directory.display()))?;
        for (number, which) in (1..).zip(arm::order(self.repeats)) {
            let arm = &mut arms[which];
            let visit = Visit { number, mode: self.modes[which], label: &arm.label };
            let tell = |what: &str| {
                let (all, label) = (2 * self.repeats, visit.label);
                progress.say(&format!("visit {number} of {all}, {label}: {what}"));
            };
            tell("waiting for an idle machine");
            let busy = idle::before(self.patience)?;
            let found = self.visit(&xcloud, &visit, tell);
            // Interrupted or not, what was found is kept.
            let after = idle::after().ok().flatten();
            busy.into_iter()
                .chain(after)
                .for_each(|why| arm.warn(format!("of visit {number}: {why}")));
            match found {
                Ok(run) => arm.add(run),
                Err(error) => {
                    eprintln!("xtask: visit {number}: {error:#}");
                    arm.warn(format!("visit {number} found nothing: {error:#}"));
                }
            }
            self.write(arm, which)?;
            if signals::stopped() {
                bail!("interrupted; {} has what was found", self.directory.display());
            }
        }
        Ok([0, 1].map(|which| self.file(which)))
    }

    fn file(&self, which: usize) -> PathBuf {
        self.directory.join(["a.json", "b.json"][which])
    }

    fn write(&self, arm: &Arm, which: usize) -> Result<()> {
        let Some(run) = arm.run() else { return Ok(()) };
        let path = self.file(which);
        fs::write(&path, serde_json::to_vec_pretty(&run)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Brings a lab up and makes the suite once. One that failed in part has a result all the same, which says so.
    fn visit(&self, xcloud: &Path, visit: &Visit<'_>, tell: impl Fn(&str)) -> Result<Value> {
        tell("bringing the clouds up");
        let lab = LabArgs { cni: visit.mode, load_tests: true, ..self.lab.clone() };
        let up = Lab::up(&lab, xcloud.to_owned(), false)?;
        let base = self.directory.join(format!("visit-{:03}", visit.number));
        let [result, log] = ["json", "log"].map(|extension| base.with_extension(extension));
        let suite = self.suite(xcloud, visit, &up.aggregator(), &result);
        let told = wait(suite, &log, tell);
        match (fs::read(&result), told) {
            (Ok(text), _) => serde_json::from_slice(&text)
                .with_context(|| format!("understanding {}", result.display())),
            (Err(_), Err(error)) => Err(error.context(up.logs())),
            (Err(error), Ok(())) => {
                Err(error).with_context(|| format!("reading {}", result.display()))
            }
        }
    }

    fn suite(&self, xcloud: &Path, visit: &Visit<'_>, aggregator: &str, result: &Path) -> Command {
        let seed = self.lab.seed + u64::from(visit.number);
        let mut command = Command::new(xcloud);
        command
            .args(["load", "suite", "--repeats", "1", "--label", visit.label])
            .args(["--aggregator", aggregator, "--seed", &seed.to_string()])
            .args(["--fact", &format!("cni={}", visit.mode.name())])
            .arg("--result")
            .args([result, self.suite])
            // What commands in the suite's file may want to know.
            .env("XCLOUD_LAB", &self.lab.name);
        command
    }
}

/// One visit.
struct Visit<'a> {
    number: u32,
    mode: Cni,
    label: &'a str,
}

/// Runs a program to its end, telling its last line as it goes.
fn wait(command: Command, log: &Path, tell: impl Fn(&str)) -> Result<()> {
    let mut child = process::start(command, None, log, false)?;
    let known = Process::new("suite", child.id())?;
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("xcloud load suite ended with {status}. It said:\n{}", process::tail(log));
            }
            return Ok(());
        }
        if let Err(interrupted) = pause() {
            state::end(&[&known]);
            child.wait()?;
            return Err(interrupted);
        }
        if let Some(line) = process::tail(log).lines().last() {
            tell(line);
        }
    }
}

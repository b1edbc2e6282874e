//! `cargo xtask run --host`: agent and aggregator on this machine's own interfaces.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{fcntl::Flock, unistd::Uid};

use super::{
    args::{LabArgs, Output},
    process, run,
    state::{self, Process},
};
use crate::{command, progress::Progress, signals};

const LISTEN: &str = "127.0.0.1:7171";
/// Time between two tables.
const EVERY: Duration = Duration::from_secs(5);

/// Agent and aggregator; both end when this is dropped.
struct Host {
    xcloud: PathBuf,
    directory: PathBuf,
    children: Vec<(Process, Child)>,
    _lock: Flock<File>,
}

/// Measures until Ctrl-C or for the duration, and prints the split: every few seconds as a table, or once as JSON.
pub(crate) fn run(args: &LabArgs, output: Output) -> Result<()> {
    let stop = signals::stop_flag()?;
    ensure!(Uid::effective().is_root(), "measuring needs root: it loads kernel programs");
    let xcloud = run::xcloud(args)?;
    let progress = Progress::new();
    progress.say("measuring this machine's interfaces: Ctrl-C ends it");
    let host = Host::start(xcloud)?;
    let end = args.duration.map(|duration| Instant::now() + duration);
    let over = || end.is_some_and(|end| Instant::now() >= end);
    let mut next = Instant::now() + EVERY;
    while !over() && run::pause().is_ok() {
        if output == Output::Table && Instant::now() >= next {
            next += EVERY;
            progress.done();
            print!("{}", host.split(output)?);
        }
    }
    progress.done();
    // Ctrl-C is the usual end here.
    drop(stop);
    print!("{}", host.split(output)?);
    Ok(())
}

impl Host {
    fn start(xcloud: PathBuf) -> Result<Self> {
        let lock = state::lock("host")?;
        let directory = state::directory("host");
        // An earlier run that was killed may have left it.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let mut host = Self { xcloud, directory, children: Vec::new(), _lock: lock };
        let socket = host.directory.join("aggregator.sock");
        let local = host.socket();
        host.spawn("aggregator", &["--listen", LISTEN, "--listen", &local], &socket)?;
        let ready = host.directory.join("agent.ready");
        let ready_text = ready.to_string_lossy().into_owned();
        let agent = ["--aggregator", &local, "--cloud", "host", "--ready-file", &ready_text];
        host.spawn("agent", &agent, &ready)?;
        Ok(host)
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.directory.join("aggregator.sock").display())
    }

    fn spawn(&mut self, what: &str, flags: &[&str], ready: &Path) -> Result<()> {
        let mut command = Command::new(&self.xcloud);
        command.arg(what).args(flags);
        let log = self.directory.join(format!("{what}.log"));
        let mut child = process::start(command, None, &log, false)?;
        let process = Process::new(what, child.id())?;
        let result = process::wait_ready(what, &mut child, &log, || ready.exists());
        self.children.push((process, child));
        result
    }

    fn split(&self, output: Output) -> Result<String> {
        let mut command = Command::new(&self.xcloud);
        let flags = ["split", "-o", output.name(), "--aggregator", &self.socket()];
        command::output(command.args(flags))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The agent, started last, first: it sends what it has and takes its hooks off.
        for (process, child) in self.children.iter_mut().rev() {
            state::end(&[process]);
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

//! What a lab has made on this machine, written down before it is made, so that the next start can clean up even
//! after a kill -9.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{plan::Plan, strays};
use crate::command;

/// How long a process may take to end when asked to.
const GRACE: Duration = Duration::from_secs(5);

/// The state file.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct State {
    /// The lab.
    pub(crate) plan: Plan,
    /// Whether it was made to stay.
    pub(crate) keep: bool,
    /// Processes started.
    pub(crate) processes: Vec<Process>,
}

/// A process that the lab started.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Process {
    /// What it is.
    pub(crate) name: String,
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot: a number is used again, a number with its start time is not.
    pub(crate) started: u64,
}

impl Process {
    /// The process `pid` as it is now.
    pub(crate) fn new(name: &str, pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let started = start_time(pid).with_context(|| format!("{name} ended at once"))?;
        Ok(Self { name: name.into(), pid, started })
    }

    /// Whether it still runs.
    pub(crate) fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Sends `signal`, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.alive() {
            // It may end in between.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Field 22 of `/proc/PID/stat`; `None` for a process that is gone or waits to be collected.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18)?.parse().ok())?
}

/// Ends processes in order: asks, waits, insists.
pub(crate) fn end(processes: &[&Process]) {
    for process in processes {
        process.signal(Signal::SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    while processes.iter().any(|p| p.alive()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    for process in processes {
        process.signal(Signal::SIGKILL);
    }
}

/// Directory of the lab `name`.
pub(crate) fn directory(name: &str) -> PathBuf {
    PathBuf::from(format!("/run/xcloud-{name}"))
}

/// Where the lab's agents pin what must survive a kill: a BPF file system of its own, so that nothing of an earlier
/// lab is taken for theirs.
pub(crate) fn bpffs(name: &str) -> PathBuf {
    directory(name).join("bpf")
}

/// Mounts it.
pub(crate) fn mount_bpffs(name: &str) -> Result<()> {
    let path = bpffs(name);
    fs::create_dir_all(&path)
        .and_then(|()| Ok(mount(Some("bpf"), &path, Some("bpf"), MsFlags::empty(), None::<&str>)?))
        .with_context(|| format!("mounting a BPF file system on {}", path.display()))
}

/// Makes sure that one command at a time works on the lab `name`.
pub(crate) fn lock(name: &str) -> Result<Flock<fs::File>> {
    let path = format!("/run/xcloud-{name}.lock");
    let file = fs::File::create(&path).with_context(|| format!("creating {path} (needs root)"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => anyhow::anyhow!(
            "another xtask works on the lab {name:?} now: wait for it, or use another --name"
        ),
        other => anyhow::anyhow!("locking {path}: {other}"),
    })
}

/// Reads the state of the lab `name`; `None` when there is none.
pub(crate) fn load(name: &str) -> Result<Option<State>> {
    let path = directory(name).join("state.json");
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("understanding {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

impl State {
    /// Writes the state down.
    pub(crate) fn save(&self) -> Result<()> {
        let directory = directory(&self.plan.name);
        let path = directory.join("state.json");
        let fresh = directory.join("state.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&fresh, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Ends the lab's processes and all others in its namespaces, and removes its namespaces and its directory.
    pub(crate) fn tear_down(&self) -> Result<()> {
        strays::end(&self.plan.namespaces(), &self.processes)?;
        // Each needs the next until its end: load the wire, agents the aggregator, both the wire.
        let rank = |p: &Process| match p.name.as_str() {
            "wire" => 2,
            "aggregator" => 1,
            _ => 0,
        };
        for wanted in 0..=2 {
            let group = self.processes.iter().filter(|p| rank(p) == wanted);
            end(&group.collect::<Vec<_>>());
        }
        let mut failures = Vec::new();
        for namespace in self.plan.namespaces() {
            if Path::new("/run/netns").join(namespace).exists()
                && let Err(error) =
                    command::output(Command::new("ip").args(["netns", "del", namespace]))
            {
                failures.push(format!("{error:#}"));
            }
        }
        if !failures.is_empty() {
            bail!("cleaning up the lab: {}", failures.join("; "));
        }
        let bpffs = bpffs(&self.plan.name);
        if let Err(errno) = umount2(&bpffs, MntFlags::MNT_DETACH)
            && !matches!(errno, Errno::EINVAL | Errno::ENOENT)
        {
            bail!("unmounting {}: {errno}", bpffs.display());
        }
        let directory = directory(&self.plan.name);
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))
    }
}

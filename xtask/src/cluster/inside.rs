//! What runs inside a cluster's own process and mount namespaces: when the first of its processes ends, however it does,
//! the kernel ends all the others and takes every mount and device of theirs with them.

use std::{
    fs,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{node, plan::state, plane};
use crate::lab::{ourselves, state::Process};

/// The cluster's own processes, each started by the one before.
#[derive(Debug, Subcommand)]
pub(crate) enum Inside {
    /// Hold the namespaces of a cluster
    Hold,
    /// Be the first process in them
    First,
    /// Be the control plane
    Plane,
    /// Be a node
    Node {
        /// Its cloud
        cloud: String,
    },
}

/// Is one of them.
pub(crate) fn run(task: &Inside) -> Result<()> {
    match task {
        Inside::Hold => hold(),
        Inside::First => first(),
        Inside::Plane => plane::run(),
        Inside::Node { cloud } => node::run(cloud),
    }
}

/// This program as one of the cluster's processes.
pub(super) fn ourselves_as(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(ourselves()?);
    command.args(["internal", "cluster"]).args(words).stdin(Stdio::null());
    Ok(command)
}

/// Makes the namespaces. Its child is the first process in them, and does not outlive it.
fn hold() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)
        .context("making namespaces for a cluster (needs root)")?;
    let mut command = ourselves_as(&["first"])?;
    // SAFETY: between fork and exec only one system call is made.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    let mut child = command.spawn().context("starting the first process of a cluster")?;
    let path = state().join("first.json");
    let first = Process::new("first", child.id())?;
    fs::write(&path, serde_json::to_vec(&first)?)
        .with_context(|| format!("writing {}", path.display()))?;
    succeeded(child.wait()?)
}

fn succeeded(status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "the cluster ended with {status}");
    Ok(())
}

/// Makes file systems of the cluster's own, then collects what others leave: a process whose parent is gone is ours.
fn first() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making the cluster's mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("keeping the cluster's mounts to itself")?;
    fresh("proc", Path::new("/proc"))?;
    fresh_run()?;
    let plane = ourselves_as(&["plane"])?.spawn().context("starting the control plane")?;
    let plane = Pid::from_raw(i32::try_from(plane.id())?);
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, 0)) if pid == plane => return Ok(()),
            Ok(status) if status.pid() == Some(plane) => bail!("the control plane: {status:?}"),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => bail!("waiting for the cluster's processes: {errno}"),
        }
    }
}

/// A `/run` of the cluster's or a node's own, in which only the cluster's state is this machine's.
pub(super) fn fresh_run() -> Result<()> {
    let state = state();
    let kept = fs::File::open(&state).with_context(|| format!("opening {}", state.display()))?;
    fresh("tmpfs", Path::new("/run"))?;
    for path in [Path::new("/run/netns"), &state] {
        fs::create_dir(path).with_context(|| format!("creating {}", path.display()))?;
    }
    bind(Path::new(&format!("/proc/self/fd/{}", kept.as_raw_fd())), &state)
}

/// Lets `at` show what is at `source`.
pub(super) fn bind(source: &Path, at: &Path) -> Result<()> {
    mount(Some(source), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("showing {} at {}", source.display(), at.display()))
}

/// Mounts an empty file system.
pub(super) fn fresh(kind: &str, at: &Path) -> Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mounting {kind} on {}", at.display()))
}

//! Starting the lab's processes in their namespaces.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::{prctl, signal::Signal};

use crate::{netns, signals};

/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(15);
const LINES_SHOWN: usize = 15;

/// Starts `command` in namespace `netns`, or here; its output going to `log`. Without
/// `keep` it ends when we do.
pub(crate) fn start(
    mut command: Command,
    netns: Option<&str>,
    log: &Path,
    keep: bool,
) -> Result<Child> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))?;
    if let Some(netns) = netns {
        netns::enter(&mut command, netns)?;
    }
    if !keep {
        // SAFETY: between fork and exec only one system call is made.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?));
        }
    }
    command
        // Ctrl-C is for us: we end the others in the right order.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("starting {command:?}"))
}

/// Waits until `ready` says so; an error tells what the process logged.
pub(crate) fn wait_ready(
    name: &str,
    child: &mut Child,
    log: &Path,
    ready: impl Fn() -> bool,
) -> Result<()> {
    wait_ready_for(START, name, child, log, ready)
}

/// The same for one that may take longer.
pub(crate) fn wait_ready_for(
    most: Duration,
    name: &str,
    child: &mut Child,
    log: &Path,
    ready: impl Fn() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + most;
    while !ready() {
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended with {status}. It said:\n{}", tail(log));
        }
        if signals::stopped() {
            bail!("interrupted");
        }
        if Instant::now() > deadline {
            bail!("{name} was not ready after {} s. It said:\n{}", most.as_secs(), tail(log));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// This program, for its hidden commands.
pub(crate) fn ourselves() -> Result<PathBuf> {
    let path = std::env::current_exe().context("finding this program's own file")?;
    // A rebuild replaces the file; Linux then marks the old name.
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

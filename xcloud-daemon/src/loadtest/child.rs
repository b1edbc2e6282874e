//! Processes that play parts. They end with the process that started them, however it ends.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{Pid, getpid, getppid, gettid},
};
use tokio::process::{Child, Command};

use super::keep::LONGEST_RESULT;

/// This program, also when its file was replaced meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// Starts this program with other arguments, in the same network namespace. It is killed when the handle is dropped and
/// when this process ends.
///
/// # Errors
/// It cannot be started, or this is not the thread to do so.
pub fn start(arguments: &[String], output: Stdio) -> Result<Child> {
    // The kernel tells the death of the *thread* that started a process; the first one lives as long as all.
    ensure!(gettid() == getpid(), "parts are started by the first thread only");
    let parent = getpid();
    let mut command = Command::new(PROGRAM);
    command
        .arg0("xcloud")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(move || bind_to(parent)) };
    command.spawn().with_context(|| format!("starting {PROGRAM} {}", arguments.join(" ")))
}

/// Ends this process with its parent, and keeps its files small.
fn bind_to(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Some(Signal::SIGKILL))?;
    if getppid() != parent {
        return Err(io::ErrorKind::NotFound.into());
    }
    let most = LONGEST_RESULT as u64;
    Ok(setrlimit(Resource::RLIMIT_FSIZE, most, most)?)
}

/// Asks a process to end in good order.
pub fn ask_to_end(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id {
        // One that has ended needs no asking.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
}

/// Why a process failed: its last words, or the signal that ended it.
#[must_use]
pub fn reason(status: ExitStatus, words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.map(|line| line.trim_start_matches("xcloud: "));
    match (status.signal(), last) {
        (Some(signal), _) => format!("the process was ended by signal {signal}"),
        (None, Some(last)) => last.into(),
        (None, None) => format!("the process ended with {status} and no word"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_last_line_or_the_signal() {
        let (failed, killed) = (ExitStatus::from_raw(0x100), ExitStatus::from_raw(9));
        assert_eq!(reason(failed, b"[WARN] x\nxcloud: no route\n\n"), "no route");
        assert_eq!(reason(killed, b"xcloud: no route\n"), "the process was ended by signal 9");
        assert!(reason(failed, b"").contains("no word"));
    }
}

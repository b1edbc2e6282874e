//! The operator's own commands, ended with all that they started when their time is over.

use std::{
    io::stderr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How often the end of the time is looked for.
const STEP: Duration = Duration::from_millis(5);

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// As the kernel tells it.
    status: ExitStatus,
    /// It had not ended when the time was over.
    pub(crate) killed: bool,
}

impl Ended {
    /// Its exit code, or minus the signal that ended it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or(0))
    }

    /// What is wrong with that, for people.
    pub(crate) fn wrong(&self) -> Option<String> {
        match self.code() {
            _ if self.killed => Some("did not end in time and was killed".into()),
            0 => None,
            code if code < 0 => Some(format!("was killed by signal {}", -code)),
            code => Some(format!("ended with exit code {code}")),
        }
    }
}

/// Runs a command in the shell with further variables in its environment, until `over` says so at most. What it says goes
/// to standard error.
///
/// # Errors
/// There is no shell.
pub(crate) fn run(
    command: &str,
    variables: &[(&str, String)],
    over: impl Fn() -> bool,
) -> Result<Ended> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::from(stderr()))
        // So that it can be ended with all that it started.
        .process_group(0)
        .spawn()
        .context("running a command with /bin/sh")?;
    wait(&mut child, over).with_context(|| format!("waiting for {command:?}"))
}

fn wait(child: &mut Child, over: impl Fn() -> bool) -> Result<Ended> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended { status, killed: false });
        }
        if over() {
            killpg(Pid::from_raw(child.id().try_into()?), Signal::SIGKILL)?;
            return Ok(Ended { status: child.wait()?, killed: true });
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(command: &str) -> Ended {
        run(command, &[("FROM", "aws".into())], || false).expect("a shell")
    }

    #[test]
    fn a_commands_end_is_told() {
        assert_eq!(["exit 3", "kill -9 $$"].map(|command| ended(command).code()), [3, -9]);
        assert_eq!(ended("test $FROM = aws").wrong(), None);
        assert_eq!(ended("exit 3").wrong().as_deref(), Some("ended with exit code 3"));
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let ended = run("sleep 600", &[], || true).expect("a shell");
        assert_eq!((ended.code(), ended.killed), (-9, true));
    }
}

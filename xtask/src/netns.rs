//! Network namespaces registered under `/run/netns`, where `ip netns` looks for them too.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

fn path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn open(path: &Path) -> Result<File> {
    File::open(path)
        .with_context(|| format!("opening namespace {} (is the lab up?)", path.display()))
}

/// Runs `work` in namespace `name`, on a thread of its own, so that the caller's namespace never changes.
pub(crate) fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = open(&path(name))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("entering namespace {name} (needs root)"))?;
            work()
        });
        thread.join().map_err(|_| anyhow!("panicked in namespace {name}"))?
    })
}

/// Makes `command` start in namespace `name`. Unlike `ip netns exec` this leaves its mounts alone.
pub(crate) fn enter(command: &mut Command, name: &str) -> Result<()> {
    enter_at(command, &path(name))
}

/// The same for a namespace that is a file elsewhere.
pub(crate) fn enter_at(command: &mut Command, path: &Path) -> Result<()> {
    let namespace = open(path)?;
    // SAFETY: between fork and exec only one system call is made, on a file that the closure owns.
    unsafe {
        command.pre_exec(move || {
            if libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    Ok(())
}

//! A network namespace without a name: it ends with the test, however that ends.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            File::open("/proc/thread-self/ns/net").expect("its file")
        });
        Self(made.join().expect("a namespace"))
    }

    /// A name that `ip` takes for it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Makes the calling thread stay in it.
    pub(crate) fn enter(&self) {
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).expect("entering the namespace");
    }

    /// Does something in it, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().expect("work in the namespace")
        })
    }

    /// Makes a command start in it.
    pub(crate) fn host(&self, command: &mut Command) {
        let fd = self.0.try_clone().expect("a descriptor");
        // SAFETY: between fork and exec only one system call is made, on a file that the closure owns.
        unsafe {
            command.pre_exec(move || Ok(setns(fd.as_fd(), CloneFlags::CLONE_NEWNET)?));
        }
    }

    /// Runs a shell script in it; returns what it said.
    pub(crate) fn sh(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        self.host(command.args(["-ec", script]));
        let output = command.output().expect("a shell");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

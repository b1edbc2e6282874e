//! A distribution's kernel under QEMU on this machine's own files, read-only, running one command.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::{prctl, signal::Signal};

use super::{image, packages::Kernel};
use crate::{setup, signals};

/// How the guest's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accel {
    /// In software, everywhere.
    Tcg,
    /// By the processor.
    Kvm,
}

/// A kernel, and where a boot of it keeps its files.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) accel: Accel,
    /// An empty directory.
    pub(super) scratch: &'a Path,
}

/// How a boot ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The command did, with this status.
    Exited(i32),
    /// The kernel did; what it said first of why.
    Panicked(String),
}

/// A child that does not outlive us.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long virtiofsd may take to listen.
const LISTEN: Duration = Duration::from_secs(5);
/// A boot takes 2 seconds where the processor helps. One under a hypervisor that only seems to allow it hangs.
const PROBE: Duration = Duration::from_secs(8);
const MEMORY: &str = "2G";
const TICK: Duration = Duration::from_millis(100);
const LINES_SHOWN: usize = 25;

/// KVM when a boot under it works. That `/dev/kvm` can be opened says little: inside some virtual machines it can, and
/// guests then hang.
pub(super) fn best_accel(kernel: &Kernel, scratch: &Path) -> Accel {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| processor.split_whitespace().any(|word| word == flag);
    if !Path::new("/dev/kvm").exists() || !(has("vmx") || has("svm")) {
        return Accel::Tcg;
    }
    let guest = Guest { kernel, accel: Accel::Kvm, scratch };
    match guest.run(&["true".into()], Path::new("/"), PROBE, |_| {}) {
        Ok(Ended::Exited(0)) => Accel::Kvm,
        _ => Accel::Tcg,
    }
}

impl Guest<'_> {
    /// Boots, runs `words` in `cwd` and gives each line that it writes to standard output to `line`. What it writes to
    /// standard error goes to [`Self::console`].
    pub(super) fn run(
        &self,
        words: &[String],
        cwd: &Path,
        most: Duration,
        mut line: impl FnMut(&str),
    ) -> Result<Ended> {
        signals::stop_flag()?;
        let image = self.scratch.join("init.cpio");
        image::write(self.kernel, words, cwd, &image)?;
        let socket = self.scratch.join("files.sock");
        let _files = self.share(&socket)?;
        let mut qemu = Owned(self.qemu(&image, &socket)?);
        let output = qemu.0.stdout.take().context("no output of QEMU")?;
        let lines = read(output);
        let end = Instant::now() + most;
        let mut status = None;
        loop {
            match lines.recv_timeout(TICK) {
                Ok(text) => match text.strip_prefix(image::STATUS) {
                    Some(code) => status = code.parse().ok(),
                    None => line(&text),
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if signals::stopped() {
                bail!("interrupted");
            }
            if Instant::now() > end {
                bail!(
                    "Linux {} was not done after {most:?}{}",
                    self.kernel.release,
                    self.last_words()
                );
            }
        }
        if let Some(status) = status {
            return Ok(Ended::Exited(status));
        }
        match self.panic() {
            Some(why) => Ok(Ended::Panicked(why)),
            None => bail!(
                "Linux {} ended before its command did{}",
                self.kernel.release,
                self.last_words()
            ),
        }
    }

    /// Kernel messages, and what the command wrote to standard error.
    pub(super) fn console(&self) -> PathBuf {
        self.scratch.join("console.log")
    }

    /// What the kernel gave as the reason of its panic, if it had one.
    fn panic(&self) -> Option<String> {
        let text = self.said();
        text.contains("Kernel panic").then_some(())?;
        let first =
            |line: &&str| ["Oops:", "BUG:", "Kernel panic"].iter().any(|w| line.contains(w));
        text.lines().find(first).map(|line| line.trim().to_owned())
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.console()).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let text = self.said();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n  ");
        format!(". Its console said last:\n  {last}")
    }

    /// Starts the daemon through which the guest sees this machine's files.
    fn share(&self, socket: &Path) -> Result<Owned> {
        let daemon = setup::virtiofsd().context("no virtiofsd: run cargo xtask kernels as root")?;
        let _ = fs::remove_file(socket);
        let mut command = Command::new(&daemon);
        command.arg(format!("--socket-path={}", socket.display()));
        // QEMU's own, written in C, was replaced by one written in Rust.
        if daemon.ends_with("qemu/virtiofsd") {
            command.args(["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"]);
        } else {
            command.args(["--shared-dir=/", "--sandbox=none", "--cache=always"]);
        }
        let log = self.scratch.join("virtiofsd.log");
        let file = File::create(&log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut owned = Owned(spawn(command)?);
        let end = Instant::now() + LISTEN;
        while !socket.exists() {
            if owned.0.try_wait()?.is_some() || Instant::now() > end {
                bail!("{} does not listen; see {}", daemon.display(), log.display());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(owned)
    }

    fn qemu(&self, image: &Path, socket: &Path) -> Result<Child> {
        let mut command = Command::new("qemu-system-x86_64");
        match self.accel {
            Accel::Tcg => command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]),
            Accel::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
        };
        command
            .args(["-smp", "2", "-m", MEMORY, "-nodefaults", "-display", "none", "-no-reboot"])
            .arg("-object")
            .arg(format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"))
            .args(["-numa", "node,memdev=memory"])
            .arg("-chardev")
            .arg(format!("socket,id=files,path={}", socket.display()))
            .args(["-device", "vhost-user-fs-pci,chardev=files,tag=root"])
            .arg("-serial")
            .arg(format!("file:{}", self.console().display()))
            .args(["-serial", "stdio", "-append", "console=ttyS0 quiet panic=-1", "-kernel"])
            .arg(self.kernel.directory.join("vmlinuz"))
            .arg("-initrd")
            .arg(image)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        spawn(command)
    }
}

fn spawn(mut command: Command) -> Result<Child> {
    // SAFETY: between fork and exec only one system call is made.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    command
        // Ctrl-C is for us.
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {command:?}"))
}

fn read(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    lines
}

//! The binary without what this process's environment says, and files for it.

use std::{
    cell::Cell,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn xcloud(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// What it prints when all is well.
pub(crate) fn passes(command: &mut Command) -> String {
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn fails(command: &mut Command, code: i32, says: &str) {
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{command:?} said {said:?}, not {says:?}");
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert_eq!(output.stdout, b"", "{command:?}");
}

/// Files that are gone after the test.
pub(crate) struct Folder {
    directory: TempDir,
    written: Cell<u32>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a folder"), written: Cell::new(0) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new file with this text.
    pub(crate) fn write(&self, text: &str) -> String {
        self.written.set(self.written.get() + 1);
        let path = self.path().join(format!("{}.yaml", self.written.get()));
        fs::write(&path, text).expect("writable");
        path.to_str().expect("UTF-8").into()
    }
}

/// A mounted ConfigMap: the file is a link into a folder that is itself a link, which is replaced.
pub(crate) struct ConfigMap {
    folder: Folder,
    generation: Cell<u32>,
}

impl ConfigMap {
    pub(crate) fn new(text: &str) -> Self {
        let map = Self { folder: Folder::new(), generation: Cell::new(0) };
        map.replace(text);
        std::os::unix::fs::symlink("..data/xcloud.yaml", map.path()).expect("a link");
        map
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("xcloud.yaml")
    }

    /// Replaces the content at once, as a kubelet does.
    pub(crate) fn replace(&self, text: &str) {
        self.generation.set(self.generation.get() + 1);
        let name = format!("..{}", self.generation.get());
        let root = self.folder.path();
        fs::create_dir(root.join(&name)).expect("a folder");
        fs::write(root.join(&name).join("xcloud.yaml"), text).expect("writable");
        let (new, data) = (root.join("..data_tmp"), root.join("..data"));
        std::os::unix::fs::symlink(&name, &new).expect("a link");
        fs::rename(new, data).expect("a link replaced");
    }
}

/// A daemon and what it says on standard error; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary runs");
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, into) = (BufReader::new(child.stderr.take().expect("piped")), said.clone());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *into.lock().expect("no panic") += &(line + "\n");
            }
        });
        Self { child, said }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// Waits until it has said this.
    pub(crate) fn await_word(&self, word: &str) {
        let late = Instant::now() + PATIENCE;
        while !self.said().contains(word) {
            assert!(Instant::now() < late, "in vain: {word:?} in\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where an aggregator that said so listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.await_word("listening on ");
        let said = self.said();
        let rest = said.split("listening on ").nth(1).and_then(|rest| rest.split(';').next());
        rest.expect("an address").parse().expect("an address")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("a process");
    }

    /// Ends it as an operator does; returns all it said.
    pub(crate) fn end(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A cluster as seen from outside it: starting, finding, asking and ending it.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{fcntl::Flock, sys::signal::Signal, unistd::Uid};
use serde_json::Value;

use super::{
    cgroups,
    credentials::Credentials,
    images,
    inside::ourselves_as,
    node::CONTAINERD,
    parts::Parts,
    plan::{NAME, NODES, Node, PLANE, state},
};
use crate::{
    command,
    lab::{
        process,
        state::{self as lab, Process},
    },
    netns, signals,
};

/// How long a cluster may take until both nodes are ready.
const START: Duration = Duration::from_secs(150);
const TICK: Duration = Duration::from_millis(100);
const HOLD: &str = "hold";

/// A cluster that is up. Dropping it takes it down, unless it is to stay.
#[derive(Debug)]
pub(super) struct Cluster {
    parts: Parts,
    keep: bool,
    // The first process's child; none when it was found.
    hold: Option<Child>,
    // Held as long as the cluster is worked on.
    _lock: Flock<File>,
}

impl Cluster {
    /// Starts one, after removing what an earlier one left.
    pub(super) fn up(keep: bool) -> Result<Self> {
        ensure!(Uid::effective().is_root(), "a cluster needs root: it makes namespaces");
        signals::stop_flag()?;
        let parts = Parts::get()?;
        let lock = lab::lock(NAME)?;
        ensure!(
            first().is_none(),
            "a cluster is up: cargo xtask cluster down ends it, and all that is in it"
        );
        clear()?;
        fs::create_dir_all(state()).with_context(|| format!("creating {}", state().display()))?;
        Credentials::of(&state()).make()?;
        cgroups::make()?;
        let log = state().join("cluster.log");
        let hold = process::start(ourselves_as(&[HOLD])?, None, &log, keep)?;
        let mut cluster = Self { parts, keep: false, hold: Some(hold), _lock: lock };
        cluster.wait().with_context(|| format!("starting a cluster. It said:\n{}", tails()))?;
        cluster.keep = keep;
        Ok(cluster)
    }

    /// The one that is up.
    pub(super) fn found() -> Result<Self> {
        ensure!(first().is_some(), "no cluster is up: start one with cargo xtask cluster up");
        Ok(Self { parts: Parts::there(), keep: true, hold: None, _lock: lab::lock(NAME)? })
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        self.until(deadline, "its processes to start", |_| Ok(state().join("ready").exists()))?;
        let pause = images::pause(&images::directory()?)?;
        self.import(&pause)?;
        self.until(deadline, "both nodes to be ready", |cluster| cluster.nodes_ready())
    }

    /// Waits for something that is looked at again and again.
    pub(super) fn until(
        &mut self,
        deadline: Instant,
        what: &str,
        mut reached: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        while !reached(self)? {
            if let Some(hold) = &mut self.hold
                && let Some(status) = hold.try_wait()?
            {
                bail!("the cluster ended with {status} while waiting for {what}");
            }
            ensure!(!signals::stopped(), "interrupted while waiting for {what}");
            ensure!(Instant::now() < deadline, "waited too long for {what}");
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn nodes_ready(&self) -> Result<bool> {
        let nodes = self.get(&["nodes"])?;
        let ready = nodes["items"].as_array().into_iter().flatten().filter(|node| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
                && node["spec"]["taints"].is_null()
        });
        Ok(ready.count() == NODES.len())
    }

    /// kubectl in the management network, as an administrator.
    pub(super) fn kubectl(&self, words: &[&str]) -> Result<Command> {
        let mut kubectl = enter(self.parts.kubectl())?;
        kubectl.args(words);
        Ok(kubectl)
    }

    /// What kubectl printed.
    pub(super) fn ask(&self, words: &[&str]) -> Result<String> {
        command::output(&mut self.kubectl(words)?)
    }

    /// What `kubectl get` says of objects.
    pub(super) fn get(&self, words: &[&str]) -> Result<Value> {
        let said = self.ask(&[&["get", "-o", "json"], words].concat())?;
        serde_json::from_str(&said).context("understanding the answer of kubectl get")
    }

    /// Applies a manifest.
    pub(super) fn apply(&self, manifest: &str) -> Result<String> {
        command::feed(&mut self.kubectl(&["apply", "-f", "-"])?, manifest)
    }

    /// Any program in the management network; kubectl is found there, and finds the cluster.
    pub(super) fn inside(&self, program: &str, words: &[&str]) -> Result<Command> {
        let mut command = enter(Command::new(program))?;
        command
            .args(words)
            .env("PATH", self.parts.path()?)
            .env("KUBECONFIG", Credentials::of(&state()).kubeconfig("admin"))
            .env("KUBECACHEDIR", state().join("kubectl"));
        Ok(command)
    }

    /// `PATH` of programs that call kubectl.
    pub(super) fn path(&self) -> Result<OsString> {
        self.parts.path()
    }

    /// Any program in a node: its network and its files.
    pub(super) fn on(&self, node: Node, words: &[String]) -> Result<Command> {
        let pid = host_pid(node)?;
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid.to_string(), "-m", "-n", "-p", "--"]).args(words);
        command.env("PATH", self.parts.path()?);
        Ok(command)
    }

    /// Puts an image into every node.
    pub(super) fn import(&self, image: &Path) -> Result<()> {
        let image = image.to_str().context("the image's path is no text")?;
        self.runtimes(&["images", "import", image])
    }

    /// Gives an image that is there another name too.
    pub(super) fn tag(&self, image: &str, other: &str) -> Result<()> {
        self.runtimes(&["images", "tag", image, other])
    }

    /// Has every node's container runtime do something.
    fn runtimes(&self, words: &[&str]) -> Result<()> {
        for node in NODES {
            let socket = files_of(node)?.join(CONTAINERD.trim_start_matches('/'));
            let mut command = Command::new(self.parts.program("ctr"));
            command.arg("-a").arg(socket).args(["-n", "k8s.io"]).args(words);
            command::output(&mut command)
                .with_context(|| format!("{} on {}", words.join(" "), node.name()))?;
        }
        Ok(())
    }

    /// Ends the one that is up, and removes what one has left that is no more.
    pub(super) fn down() -> Result<()> {
        let _lock = lab::lock(NAME)?;
        match first() {
            Some(first) => first.signal(Signal::SIGKILL),
            None => eprintln!("no cluster is up"),
        }
        clear()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(first) = first() {
            first.signal(Signal::SIGKILL);
        }
        if let Some(mut hold) = self.hold.take() {
            // It ends with the first process, or has failed before there was one.
            let _ = hold.wait();
        }
        clear()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.end()
        {
            eprintln!("xtask: {error:#}");
        }
    }
}

/// Lets a program start in the management network.
fn enter(mut command: Command) -> Result<Command> {
    let first = first().context("the cluster is gone")?;
    netns::enter_at(&mut command, &root_of(first.pid).join("run/netns").join(PLANE))?;
    Ok(command)
}

/// Removes what a cluster leaves that is no more.
fn clear() -> Result<()> {
    cgroups::remove()?;
    match fs::remove_dir_all(state()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", state().display()))
        }
        _ => Ok(()),
    }
}

/// The first process of the cluster that is up, if one is.
fn first() -> Option<Process> {
    let text = fs::read(state().join("first.json")).ok()?;
    serde_json::from_slice::<Process>(&text).ok().filter(Process::alive)
}

/// The file system that a process sees.
fn root_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root"))
}

/// The file system that a node sees.
pub(super) fn files_of(node: Node) -> Result<PathBuf> {
    host_pid(node).map(root_of)
}

/// A node's process, which knows itself only by its number inside the cluster.
fn host_pid(node: Node) -> Result<i32> {
    let first = first().context("the cluster is gone")?;
    let path = state().join(node.cloud).join("pid");
    let inside =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let ours = namespace(first.pid);
    let entries = fs::read_dir("/proc").context("listing /proc")?;
    let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|&pid| namespace(pid) == ours && number_inside(pid).as_deref() == Some(inside.trim()))
        .with_context(|| format!("{} is gone", node.name()))
}

/// Processes called `name` that run in a node's network.
pub(super) fn pids_of(name: &str, node: Node) -> Result<Vec<i32>> {
    let network = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let ours = network(host_pid(node)?);
    let called = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let entries = fs::read_dir("/proc").context("listing /proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|&pid| network(pid) == ours && called(pid).trim() == name).collect())
}

fn number_inside(pid: i32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last().map(String::from)
}

/// The last lines of every log.
fn tails() -> String {
    let mut shown = String::new();
    let directories = std::iter::once(state()).chain(NODES.map(|node| state().join(node.cloud)));
    let files = directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    for path in files.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.extension().is_some_and(|end| end == "log") {
            shown += &format!("--- {}\n{}\n", path.display(), process::tail(&path));
        }
    }
    shown
}

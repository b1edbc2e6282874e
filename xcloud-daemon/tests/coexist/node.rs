//! A node with one pod and one uplink to a far host, and the agent on it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::namespace::Namespace;

/// The pod's interface on the node.
pub(crate) const POD: &str = "pod0";
/// The node's interface to the far host.
pub(crate) const UPLINK: &str = "up0";
/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Tcx,
    Clsact,
}

pub(crate) struct Node {
    pub(crate) node: Namespace,
    pub(crate) pod: Namespace,
    pub(crate) far: Namespace,
    directory: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (node, pod, far) = (Namespace::new(), Namespace::new(), Namespace::new());
        node.sh(&format!(
            "sysctl -qw net.ipv4.ip_forward=1
             ip link set lo up
             ip link add {POD} type veth peer name eth0 netns {}
             ip link add {UPLINK} type veth peer name eth0 netns {}
             ip addr add 10.1.0.1/24 dev {POD}
             ip addr add 100.64.0.1/24 dev {UPLINK}
             ip link set {POD} up
             ip link set {UPLINK} up",
            pod.path(),
            far.path()
        ));
        pod.sh("ip addr add 10.1.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.1.0.1");
        far.sh("ip addr add 100.64.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 100.64.0.1");
        let node = Self { node, pod, far, directory };
        fs::create_dir(node.bpffs()).expect("a directory");
        node.mount_bpffs();
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn bpffs(&self) -> PathBuf {
        self.path("bpf")
    }

    /// Mounts a BPF file system, on top of the one there may be.
    pub(crate) fn mount_bpffs(&self) {
        mount(Some("bpf"), &self.bpffs(), Some("bpf"), MsFlags::empty(), None::<&str>)
            .expect("mounting a BPF file system");
    }

    /// Names of the counters that agents pinned.
    pub(crate) fn pins(&self) -> BTreeSet<OsString> {
        let agents = fs::read_dir(self.bpffs().join("xcloud")).expect("agents' directories");
        let pins = agents.flat_map(|agent| fs::read_dir(agent.expect("one").path()).expect("pins"));
        pins.map(|pin| pin.expect("a pin").file_name()).collect()
    }

    pub(crate) fn inside(&self, script: &str) {
        self.node.sh(script);
    }

    /// Starts the agent and waits until its hooks are on.
    pub(crate) fn agent(&self, backend: Backend, more: &[&str]) -> Agent {
        let agent = self.start_agent(backend, more);
        until("the agent is ready", || self.path("ready").exists());
        agent
    }

    pub(crate) fn start_agent(&self, backend: Backend, more: &[&str]) -> Agent {
        self.start_agent_at(backend, &[&["--uplink", UPLINK], more].concat())
    }

    /// Starts the agent, which finds its uplink itself if none is among the flags.
    pub(crate) fn start_agent_at(&self, backend: Backend, more: &[&str]) -> Agent {
        let _ = fs::remove_file(self.path("ready"));
        let log = self.path("log");
        let file = File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
        command
            .env("XCLOUD_AGGREGATOR", "unix:/nonexistent")
            .args(["agent", "--node", "coexist"])
            .args(["--metadata", "off", "--kubernetes", "off", "--cri-socket", "off"])
            .arg("--tc-backend")
            .arg(match backend {
                Backend::Tcx => "tcx",
                Backend::Clsact => "clsact",
            })
            .arg("--bpffs")
            .arg(self.bpffs())
            .arg("--ready-file")
            .arg(self.path("ready"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        self.node.host(&mut command);
        Agent { child: command.spawn().expect("starting the agent"), log }
    }

    /// Names of the programs at a place, in the order they run in.
    pub(crate) fn chain(&self, backend: Backend, device: &str, direction: &str) -> Vec<String> {
        match backend {
            Backend::Tcx => self.node.run(|| tcx(device, direction)),
            Backend::Clsact => {
                filters(&self.node.sh(&format!("tc -j filter show dev {device} {direction}")))
            }
        }
    }

    pub(crate) fn await_chain(
        &self,
        backend: Backend,
        device: &str,
        direction: &str,
        wanted: &[&str],
    ) {
        until(&format!("{backend:?} {device} {direction} runs {wanted:?}"), || {
            self.chain(backend, device, direction) == wanted
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // As often as it was mounted.
        while umount2(&self.bpffs(), MntFlags::MNT_DETACH).is_ok() {}
    }
}

fn tcx(device: &str, direction: &str) -> Vec<String> {
    let direction =
        if direction == "egress" { TcAttachType::Egress } else { TcAttachType::Ingress };
    let (_, programs) = SchedClassifier::query_tcx(device, direction).expect("querying TCX");
    let name = |program: &ProgramInfo| program.name_as_str().unwrap_or_default().to_owned();
    programs.iter().map(name).collect()
}

/// Names in what `tc -j filter show` prints.
fn filters(json: &str) -> Vec<String> {
    let filters: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let options = filters.as_array().into_iter().flatten().map(|filter| &filter["options"]);
    options.filter_map(|options| options["bpf_name"].as_str()).map(str::to_owned).collect()
}

pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A thread of an agent, by `/proc`.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) name: String,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) no_new_privileges: bool,
}

impl Thread {
    fn read(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
        };
        let set = |name| u64::from_str_radix(&field(name), 16).expect("a set");
        Self {
            name: field("Name:"),
            permitted: set("CapPrm:"),
            effective: set("CapEff:"),
            no_new_privileges: field("NoNewPrivs:") == "1",
        }
    }
}

/// A running agent; dropping it kills it.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    pub(crate) fn await_log(&self, text: &str) {
        until(&format!("the log says {text:?}"), || self.log().contains(text));
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    /// Ends it as an operator does.
    pub(crate) fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"));
        kill(pid, Signal::SIGTERM).expect("asking the agent to end");
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its threads, and what they may do.
    pub(crate) fn threads(&self) -> Vec<Thread> {
        let tasks = Path::new("/proc").join(self.child.id().to_string()).join("task");
        let tasks = fs::read_dir(tasks).expect("the agent's threads");
        let status =
            tasks.map(|task| fs::read_to_string(task.expect("a thread").path().join("status")));
        status.map(|text| Thread::read(&text.expect("its status"))).collect()
    }

    /// How many tracepoints it is hooked to.
    pub(crate) fn tracepoints(&self) -> usize {
        let files = Path::new("/proc").join(self.child.id().to_string()).join("fdinfo");
        let files = fs::read_dir(files).expect("the agent's descriptors");
        let info = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        info.filter(|info| info.contains("link_type:\traw_tracepoint")).count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end();
    }
}

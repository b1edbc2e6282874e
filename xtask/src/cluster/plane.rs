//! The control plane: etcd, the API server, the controllers, the scheduler; then the nodes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{
    credentials::Credentials,
    dns,
    inside::ourselves_as,
    network,
    parts::Parts,
    plan::{API_PORT, NODES, PLANE, PLANE_IPV4, SERVICES, state},
};
use crate::{
    command,
    lab::{ourselves, process},
    netns,
};

/// How long one may take until it is ready.
const START: Duration = Duration::from_secs(60);
/// Time between looks at what must go on running.
const TICK: Duration = Duration::from_millis(200);

/// Processes that run as long as the cluster does.
pub(super) struct Running {
    state: PathBuf,
    children: Vec<(String, Child)>,
}

impl Running {
    /// None yet; each one's log will be in `state`.
    pub(super) fn new(state: PathBuf) -> Self {
        Self { state, children: Vec::new() }
    }

    /// Starts one, in namespace `netns` or here.
    pub(super) fn start(
        &mut self,
        name: &str,
        netns: Option<&str>,
        command: Command,
    ) -> Result<&mut Child> {
        let child = process::start(command, netns, &self.log(name), true)?;
        self.children.push((name.into(), child));
        self.children.last_mut().map(|(_, child)| child).context("no child")
    }

    /// Starts one and waits until it is `ready`.
    pub(super) fn start_ready(
        &mut self,
        name: &str,
        netns: Option<&str>,
        command: Command,
        ready: impl Fn() -> bool,
    ) -> Result<()> {
        let log = self.log(name);
        let child = self.start(name, netns, command)?;
        process::wait_ready_for(START, name, child, &log, ready)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.state.join(format!("{name}.log"))
    }

    /// Returns when one has ended, which none should.
    pub(super) fn watch(&mut self) -> Result<()> {
        loop {
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    let said = process::tail(&self.state.join(format!("{name}.log")));
                    bail!("{name} ended with {status}. It said:\n{said}");
                }
            }
            thread::sleep(TICK);
        }
    }
}

/// Brings everything up and keeps it up.
pub(super) fn run() -> Result<()> {
    let (state, parts) = (state(), Parts::there());
    let credentials = Credentials::of(&state);
    network::build()?;
    let mut running = Running::new(state.clone());
    start_wire(&mut running, &state)?;
    start_etcd(&mut running, &parts)?;
    start_api_server(&mut running, &parts, &credentials)?;
    start_controllers(&mut running, &parts, &credentials)?;
    dns::start()?;
    for node in NODES {
        let name = format!("{}-node", node.cloud);
        let ready = state.join(node.cloud).join("ready");
        let command = ourselves_as(&["node", node.cloud])?;
        running.start_ready(&name, Some(node.cloud), command, || ready.exists())?;
    }
    fs::write(state.join("ready"), "").context("saying that the cluster is up")?;
    running.watch()
}

fn start_wire(running: &mut Running, state: &Path) -> Result<()> {
    let config = network::wire(state);
    let path = state.join("wire.json");
    fs::write(&path, serde_json::to_vec_pretty(&config)?)
        .with_context(|| format!("writing {}", path.display()))?;
    let mut command = Command::new(ourselves()?);
    command.args(["internal", "wire"]).arg(&path);
    running.start_ready("wire", Some(PLANE), command, || config.ready_file.exists())
}

fn start_etcd(running: &mut Running, parts: &Parts) -> Result<()> {
    let mut command = Command::new(parts.program("etcd"));
    command.args(["--data-dir", "/run/etcd", "--unsafe-no-fsync"]);
    running.start("etcd", Some(PLANE), command).map(|_| ())
}

fn start_api_server(running: &mut Running, parts: &Parts, credentials: &Credentials) -> Result<()> {
    let mut command = Command::new(parts.program("kube-apiserver"));
    let files = [
        ("--tls-cert-file", "api.crt"),
        ("--tls-private-key-file", "api.key"),
        ("--token-auth-file", "tokens.csv"),
        ("--service-account-key-file", "accounts.key"),
        ("--service-account-signing-key-file", "accounts.key"),
    ];
    for (flag, file) in files {
        command.arg(flag).arg(credentials.file(file));
    }
    command
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--etcd-servers", "http://127.0.0.1:2379"])
        .args(["--advertise-address", &PLANE_IPV4.to_string()])
        .args(["--secure-port", &API_PORT.to_string()])
        .args(["--service-cluster-ip-range", SERVICES])
        .args(["--authorization-mode", "Node,RBAC"])
        .args(["--enable-admission-plugins", "NodeRestriction"])
        .args(["--kubelet-preferred-address-types", "InternalIP"])
        // The agent's pods ask for it.
        .arg("--allow-privileged");
    running.start_ready("kube-apiserver", Some(PLANE), command, || {
        let mut asked = parts.kubectl();
        asked.args(["get", "--raw", "/readyz"]);
        netns::enter(&mut asked, PLANE).is_ok() && command::output(&mut asked).is_ok()
    })
}

fn start_controllers(
    running: &mut Running,
    parts: &Parts,
    credentials: &Credentials,
) -> Result<()> {
    let mut controllers = Command::new(parts.program("kube-controller-manager"));
    controllers
        .arg("--kubeconfig")
        .arg(credentials.kubeconfig("system:kube-controller-manager"))
        .arg("--service-account-private-key-file")
        .arg(credentials.file("accounts.key"))
        .arg("--root-ca-file")
        .arg(credentials.file("ca.crt"))
        .args(["--use-service-account-credentials", "--leader-elect=false"])
        // A test puts a kubelet to sleep for a minute, and its node and the pods there are to stay ready meanwhile.
        .args(["--node-monitor-grace-period", "150s"])
        // By default it asks 20 times a second, and namespaces take a minute to go.
        .args(["--kube-api-qps", "200", "--kube-api-burst", "400"]);
    running.start("kube-controller-manager", Some(PLANE), controllers)?;
    let mut scheduler = Command::new(parts.program("kube-scheduler"));
    scheduler
        .arg("--kubeconfig")
        .arg(credentials.kubeconfig("system:kube-scheduler"))
        .arg("--leader-elect=false");
    running.start("kube-scheduler", Some(PLANE), scheduler).map(|_| ())
}

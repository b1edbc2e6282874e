//! A node: containerd, kubelet and kube-proxy in a network namespace that is the machine, with file systems of its own
//! wherever such programs keep what they know.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{
    cgroups,
    credentials::Credentials,
    images::PAUSE,
    inside::{bind, fresh, fresh_run},
    network,
    parts::Parts,
    plan::{DOMAIN, Node, PLANE_IPV4, PODS, state},
    plane::Running,
};

/// Where containerd listens, inside the node.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Directories in which a node sees nothing of this machine and this machine nothing of the node.
const OWN: [&str; 2] = ["/var/lib", "/var/log"];
const BPFFS: &str = "/sys/fs/bpf";
/// Settings of the whole machine, each with what a kubelet sets it to: it finds them so, and leaves the machine's alone.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Starts the node of `cloud` in the namespace it is called in, and keeps it up.
pub(super) fn run(cloud: &str) -> Result<()> {
    let node = Node::find(cloud).with_context(|| format!("no cloud {cloud:?}"))?;
    let (parts, home) = (Parts::there(), state().join(node.cloud));
    fs::create_dir_all(&home).with_context(|| format!("creating {}", home.display()))?;
    file_systems()?;
    network::write_plugins(node, &home.join("cni"))?;
    let mut running = Running::new(home.clone());
    start_containerd(&mut running, &parts, &home)?;
    start_kubelet(&mut running, &parts, node, &home)?;
    start_proxy(&mut running, &parts, node)?;
    fs::write(home.join("pid"), std::process::id().to_string())?;
    fs::write(home.join("ready"), "").context("saying that the node is up")?;
    running.watch()
}

fn file_systems() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making a node's mount namespace")?;
    fresh_run()?;
    for path in OWN {
        fresh("tmpfs", Path::new(path))?;
    }
    fresh("bpf", Path::new(BPFFS))?;
    for (name, value) in TUNABLES {
        let shown = Path::new("/run").join(name.replace('/', "-"));
        fs::write(&shown, value)?;
        bind(&shown, &Path::new("/proc/sys").join(name))?;
    }
    // As systemd does: pods may ask for mounts that come later.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED, None::<&str>)
        .context("sharing the node's mounts with its pods")
}

fn start_containerd(running: &mut Running, parts: &Parts, home: &Path) -> Result<()> {
    let config = home.join("containerd.toml");
    fs::write(&config, containerd_config(parts, home))?;
    let mut command = Command::new(parts.program("containerd"));
    command.arg("--config").arg(&config).env("PATH", parts.path()?);
    running.start_ready("containerd", None, command, || Path::new(CONTAINERD).exists())
}

/// Without `CAP_SYS_RESOURCE`, which not every machine gives, nothing may ask to be spared when memory is short.
fn containerd_config(parts: &Parts, home: &Path) -> String {
    format!(
        "version = 2\n\
         disabled_plugins = ['io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs']\n\
         [plugins.'io.containerd.internal.v1.opt']\n\
         path = '/run/containerd/opt'\n\
         [grpc]\n\
         address = '{CONTAINERD}'\n\
         [plugins.'io.containerd.grpc.v1.cri']\n\
         sandbox_image = '{PAUSE}'\n\
         restrict_oom_score_adj = true\n\
         [plugins.'io.containerd.grpc.v1.cri'.cni]\n\
         bin_dir = '{}'\n\
         conf_dir = '{}'\n\
         [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n\
         runtime_type = 'io.containerd.runc.v2'\n\
         [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\n\
         BinaryName = '{}'\n",
        parts.plugins().display(),
        home.join("cni").display(),
        parts.program("runc").display(),
    )
}

fn start_kubelet(running: &mut Running, parts: &Parts, node: Node, home: &Path) -> Result<()> {
    let config = home.join("kubelet.json");
    fs::write(&config, serde_json::to_vec_pretty(&kubelet_config(node))?)?;
    let credentials = Credentials::of(&state());
    let user = format!("system:node:{}", node.name());
    let labels = [("region", node.region), ("zone", node.zone)]
        .map(|(name, value)| format!("topology.kubernetes.io/{name}={value}"));
    let mut command = Command::new(parts.program("kubelet"));
    command
        .arg("--config")
        .arg(&config)
        .arg("--kubeconfig")
        .arg(credentials.kubeconfig(&user))
        .args(["--container-runtime", "remote"])
        .arg(format!("--container-runtime-endpoint=unix://{CONTAINERD}"))
        .args(["--hostname-override", &node.name()])
        .args(["--node-ip", &node.ipv4().to_string()])
        .args(["--node-labels", &labels.join(",")])
        .env("PATH", parts.path()?);
    running.start("kubelet", None, command).map(|_| ())
}

/// Pods are not to be evicted for how full this machine is.
fn kubelet_config(node: Node) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": node.provider_id,
        "clusterDNS": [PLANE_IPV4],
        "clusterDomain": DOMAIN,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::of(node),
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "failSwapOn": false,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": "/var/lib/kubelet/plugins",
        "healthzPort": 0,
        // By default it may look at a pod whose containers have ended once a minute, and the pod is there until then.
        "syncFrequency": "5s",
        // By default it asks five times a second, and after thousands of pods it is late by minutes.
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
    })
}

fn start_proxy(running: &mut Running, parts: &Parts, node: Node) -> Result<()> {
    let credentials = Credentials::of(&state());
    let mut command = Command::new(parts.program("kube-proxy"));
    command
        .arg("--kubeconfig")
        .arg(credentials.kubeconfig("system:kube-proxy"))
        .args(["--hostname-override", &node.name()])
        .args(["--cluster-cidr", PODS, "--proxy-mode", "iptables"])
        // The machine's own limits are not the node's.
        .args(["--conntrack-max-per-core", "0"])
        .args(["--conntrack-tcp-timeout-established", "0"])
        .args(["--conntrack-tcp-timeout-close-wait", "0"])
        .env("PATH", parts.path()?);
    running.start("kube-proxy", None, command).map(|_| ())
}

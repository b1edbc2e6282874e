//! Clouds in network namespaces on one machine, joined by a wire with the properties of a WAN.

pub(crate) mod args;
pub(crate) mod cni;
pub(crate) mod collectors;
mod endpoints;
pub(crate) mod host;
mod load;
pub(crate) mod manage;
mod nat;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod requests;
pub(crate) mod run;
mod stand_in;
pub(crate) mod state;
mod strays;
pub(crate) mod topology;
mod tunnels;
mod verify;

pub(crate) use self::process::ourselves;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{fcntl::Flock, unistd::Uid};

use self::{
    args::LabArgs,
    plan::{AGGREGATOR, Cloud, METRICS_PORT, OTLP, Plan},
    state::{Process, State},
};
use crate::wire::config::{Detour, Impairment, Uplink, WireConfig};

/// Fails early where the lab cannot work.
pub(crate) fn check(args: &LabArgs) -> Result<()> {
    Plan::new(args)?;
    ensure!(Uid::effective().is_root(), "the lab needs root: it makes network namespaces");
    Ok(())
}

/// A lab that is up. Dropping it takes it down, unless it was told to stay.
#[derive(Debug)]
pub(crate) struct Lab {
    state: State,
    children: Vec<(String, Child)>,
    xcloud: PathBuf,
    keep: bool,
    // Held as long as the lab is worked on.
    _lock: Flock<fs::File>,
}

impl Lab {
    /// Makes namespaces and devices, starts the wire, the aggregator and the agents. What an earlier lab of the same
    /// name left behind is removed first.
    pub(crate) fn up(args: &LabArgs, xcloud: PathBuf, keep: bool) -> Result<Self> {
        let plan = Plan::new(args)?;
        let lock = state::lock(&args.name)?;
        if let Some(old) = state::load(&args.name)? {
            ensure!(
                !old.keep || !old.processes.iter().any(Process::alive),
                "the lab {:?} is up: cargo xtask lab down first, or use another --name",
                args.name
            );
            old.tear_down()?;
        }
        let directory = state::directory(&args.name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let state = State { plan, keep, processes: Vec::new() };
        state.save()?;
        let mut lab = Self { state, children: Vec::new(), xcloud, keep: false, _lock: lock };
        lab.keep = keep;
        if let Err(error) = lab.bring_up(args) {
            lab.keep = false;
            return Err(error);
        }
        Ok(lab)
    }

    fn bring_up(&mut self, args: &LabArgs) -> Result<()> {
        for namespace in self.plan().namespaces() {
            topology::add_namespace(namespace)?;
        }
        topology::build(self.plan())?;
        state::mount_bpffs(&self.plan().name)?;
        stand_in::put_up(self.plan())?;
        self.start_wire(args)?;
        self.start_aggregator()?;
        for cloud in self.plan().clouds.clone() {
            self.start_agent(&cloud)?;
        }
        stand_in::push_in(self.plan())?;
        self.start_servers(args)?;
        if self.plan().load_tests { self.start_endpoints() } else { Ok(()) }
    }

    /// Names and addresses.
    pub(crate) fn plan(&self) -> &Plan {
        &self.state.plan
    }

    fn path(&self, file: &str) -> PathBuf {
        state::directory(&self.plan().name).join(file)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// The socket that the aggregator also listens on, reachable from any namespace.
    pub(crate) fn aggregator(&self) -> String {
        format!("unix:{}", self.path("aggregator.sock").display())
    }

    fn start(&mut self, name: &str, netns: &str, command: Command) -> Result<&mut Child> {
        let child = process::start(command, Some(netns), &self.log(name), self.keep)?;
        let process = Process::new(name, child.id());
        self.children.push((name.into(), child));
        self.state.processes.push(process?);
        self.state.save()?;
        self.children.last_mut().map(|(_, child)| child).context("no child")
    }

    /// Starts a process and waits until `file` exists.
    fn start_ready(
        &mut self,
        name: &str,
        netns: &str,
        command: Command,
        file: &Path,
    ) -> Result<()> {
        // An earlier instance may have left it.
        let _ = fs::remove_file(file);
        let log = self.log(name);
        let child = self.start(name, netns, command)?;
        process::wait_ready(name, child, &log, || file.exists())
    }

    fn start_wire(&mut self, args: &LabArgs) -> Result<()> {
        let config = self.wire_config(args)?;
        let path = self.path("wire.json");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)
            .with_context(|| format!("writing {}", path.display()))?;
        let mut command = Command::new(ourselves()?);
        command.args(["internal", "wire"]).arg(&path);
        let mgmt = self.plan().mgmt.clone();
        self.start_ready("wire", &mgmt, command, &config.ready_file)
    }

    fn wire_config(&self, args: &LabArgs) -> Result<WireConfig> {
        let clouds = &self.plan().clouds;
        Ok(WireConfig {
            ready_file: self.path("wire.ready"),
            report_file: self.path("wire-report.json"),
            seed: args.seed,
            mtu: args.wire_mtu,
            wan: Impairment {
                delay_ns: nanoseconds(args.wan_rtt)? / 2,
                jitter_ns: nanoseconds(args.wan_jitter)?,
                loss: args.wan_loss,
                reorder: args.wan_reorder,
                rate: args.wan_rate,
            },
            uplinks: clouds.iter().flat_map(uplinks).collect(),
            detours: clouds.iter().map(detours).collect::<Result<Vec<_>>>()?.concat(),
        })
    }

    fn start_aggregator(&mut self) -> Result<()> {
        let mut command = Command::new(&self.xcloud);
        command
            .args(["aggregator", "--insecure", "--listen", &AGGREGATOR.to_string()])
            .args(["--listen", &self.aggregator()]);
        if self.plan().load_tests {
            command.args(endpoints::LEAVE);
        }
        if self.plan().metrics {
            command
                .args(["--metrics-listen", &format!("{}:{METRICS_PORT}", AGGREGATOR.ip())])
                .args(["--otlp-endpoint", &format!("http://{OTLP}"), "--otlp-interval", "2s"]);
        }
        let socket = self.path("aggregator.sock");
        let mgmt = self.plan().mgmt.clone();
        self.start_ready("aggregator", &mgmt, command, &socket)
    }

    fn start_agent(&mut self, cloud: &Cloud) -> Result<()> {
        let ready = self.path(&format!("agent-{}.ready", cloud.name));
        let mut command = Command::new(&self.xcloud);
        command
            .args(["agent", "--cloud", &cloud.name, "--region", &cloud.region])
            .args(["--node", &cloud.node, "--aggregator", &AGGREGATOR.to_string()])
            // The machine's own place and pods are not the lab's.
            .args(["--metadata", "off", "--kubernetes", "off", "--cri-socket", "off"])
            .arg("--bpffs")
            .arg(state::bpffs(&self.plan().name))
            .arg("--ready-file")
            .arg(&ready);
        if !self.plan().pod_namespaces {
            command.arg("--pod-namespaces=false");
        }
        if !self.plan().pod_sockets {
            command.arg("--pod-sockets=false");
        }
        if self.plan().metrics {
            let listen = format!("{}:{METRICS_PORT}", cloud.mgmt_ipv4());
            command.args(["--metrics-listen", &listen, "--bpf-stats", "--account"]);
        }
        if let Some(how) = &self.plan().tc_backend {
            command.args(["--tc-backend", how]);
        }
        if let Some(how) = &self.plan().uplink_out {
            command.args(["--uplink-out", how]);
        }
        if !cloud.clock_offset.is_zero() {
            let offset = humantime::format_duration(cloud.clock_offset).to_string();
            command.arg(format!("--pretend-clock-offset={offset}"));
        }
        if cloud.clock_ppm != 0.0 {
            command.arg(format!("--pretend-clock-ppm={}", cloud.clock_ppm));
        }
        let name = format!("agent-{}", cloud.name);
        self.start_ready(&name, &cloud.netns, command, &ready)
    }

    /// Kills a process without warning and collects it.
    fn kill(&mut self, name: &str) -> Result<()> {
        let at = self.children.iter().position(|(other, _)| other == name);
        let (_, mut child) = self.children.remove(at.context("no such process")?);
        child.kill().with_context(|| format!("killing {name}"))?;
        child.wait().with_context(|| format!("collecting {name}"))?;
        self.state.processes.retain(|p| p.name != name);
        self.state.save()
    }

    /// Ends the processes whose name starts with `prefix`.
    fn end(&mut self, prefix: &str) {
        let ours = |name: &str| name.starts_with(prefix);
        let (ending, staying) = std::mem::take(&mut self.state.processes)
            .into_iter()
            .partition(|p: &Process| ours(&p.name));
        self.state.processes = staying;
        state::end(&ending.iter().collect::<Vec<_>>());
        self.collect(ours);
    }

    /// Collects ended children, so that they do not stay as zombies.
    fn collect(&mut self, which: impl Fn(&str) -> bool) {
        self.children.retain_mut(|(name, child)| {
            // One that will not end was already sent SIGKILL.
            !which(name) || child.wait().is_err()
        });
    }

    /// What the agents, the aggregator and the wire logged last.
    pub(crate) fn logs(&self) -> String {
        let names = self.state.processes.iter().map(|p| p.name.as_str());
        let shown = names.map(|name| format!("--- {name}\n{}", process::tail(&self.log(name))));
        shown.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.state.tear_down() {
            eprintln!("xtask: {error:#}");
        }
        self.collect(|_| true);
    }
}

fn uplinks(cloud: &Cloud) -> impl Iterator<Item = Uplink> {
    cloud.uplinks.iter().map(|device| Uplink {
        netns: cloud.netns.clone(),
        device: device.clone(),
        prefixes: cloud.prefixes(),
        queue: cloud.injected.queue,
    })
}

fn detours(cloud: &Cloud) -> Result<Vec<Detour>> {
    let wanted = cloud.injected.detours();
    wanted
        .map(|(device, delay)| {
            Ok(Detour {
                netns: cloud.netns.clone(),
                device: device.into(),
                delay_ns: nanoseconds(delay)?,
            })
        })
        .collect()
}

fn nanoseconds(duration: Duration) -> Result<u64> {
    u64::try_from(duration.as_nanos()).context("duration too long")
}

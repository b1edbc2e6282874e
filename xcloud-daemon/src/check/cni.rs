//! Which CNI a node has and in which mode, without the Kubernetes API: a pure function from traces found on the node.
//!
//! No single trace proves a mode: configuration files are left behind, devices outlive what made them. So programs on
//! devices count most, then devices, then files, and what was looked at is told with the answer.

use serde::{Deserialize, Serialize};

mod look;
mod sight;
#[cfg(test)]
mod tests;

pub use look::look;
pub use sight::{Sight, Visible, visible};

/// What was found on a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// The configuration file in force, without its directory.
    pub config: String,
    /// Types of the plugins it chains, in order.
    pub plugins: Vec<String>,
    /// Devices, as `name kind`, and ` up` when up.
    pub devices: Vec<String>,
    /// Programs on devices, as `device name`.
    pub programs: Vec<String>,
    /// Files, sockets and pins known of CNIs that are there.
    pub files: Vec<String>,
    /// Names of nftables tables.
    pub tables: Vec<String>,
    /// Whether the programs that Cilium made for the node are told to route by themselves. That they are not is no sign:
    /// newer releases tell them so in another place.
    pub host_routing: bool,
    /// Number of ESP states of IPsec.
    pub esp: usize,
}

/// Who connects pods. Serialised names are stable.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plugin {
    /// Cilium.
    Cilium,
    /// Calico.
    Calico,
    /// Amazon VPC CNI.
    AwsVpc,
    /// Azure CNI.
    Azure,
    /// GKE.
    Gke,
    /// flannel.
    Flannel,
    /// OVN-Kubernetes.
    OvnKubernetes,
    /// kube-router.
    KubeRouter,
    /// Not recognised.
    Unknown,
}

/// Who moves packets between pod and uplink. Serialised names are stable.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Datapath {
    /// The kernel's routing, filtered by iptables.
    Iptables,
    /// The kernel's routing, filtered by nftables.
    Nftables,
    /// The kernel's routing.
    Routed,
    /// A bridge.
    Bridge,
    /// Cilium's programs and the kernel's routing.
    EbpfLegacy,
    /// Cilium's programs; whether they redirect past the kernel's routing could not be told.
    Ebpf,
    /// Programs that redirect past the kernel's routing.
    EbpfRouting,
    /// The same behind netkit devices.
    EbpfNetkit,
    /// Open vSwitch.
    Ovs,
    /// Not recognised.
    Unknown,
}

/// What packets between nodes are wrapped in. Serialised names are stable.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrap {
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// IP in IP.
    Ipip,
    /// Encrypted by WireGuard.
    Wireguard,
    /// Encrypted by IPsec.
    Ipsec,
}

/// The CNI and its mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cni {
    /// Who connects pods.
    pub plugin: Plugin,
    /// Who else acts on their packets, in a chain.
    pub chained: Option<Plugin>,
    /// Who moves packets.
    pub datapath: Datapath,
    /// What packets between nodes are wrapped in.
    pub wraps: Vec<Wrap>,
    /// What says so, or what was looked at in vain.
    pub evidence: Vec<String>,
}

/// Says which CNI the traces are of.
#[must_use]
pub fn recognise(traces: &Traces) -> Cni {
    let (mut plugin, mut evidence) = traces.plugin();
    let chained = (plugin != Plugin::Cilium && traces.cilium()).then_some(Plugin::Cilium);
    if chained.is_some() && plugin == Plugin::Unknown {
        plugin = Plugin::Cilium;
    }
    let chained = chained.filter(|_| plugin != Plugin::Cilium);
    let (datapath, why) = traces.datapath(plugin, chained);
    let wraps = traces.wraps();
    evidence.push(why);
    evidence.extend(wraps.iter().map(|(_, why)| why.clone()));
    Cni {
        plugin,
        chained,
        datapath,
        wraps: wraps.into_iter().map(|(wrap, _)| wrap).collect(),
        evidence,
    }
}

/// What Cilium's programs are compiled with for eBPF host routing.
const HOST_ROUTING: &str = "ENABLE_HOST_ROUTING in its node_config.h";

/// Devices that wrap, by prefix. Plain `tunl0` comes with its module, so it must be up.
const WRAPPING: [(&str, Wrap); 16] = [
    ("cilium_vxlan", Wrap::Vxlan),
    ("vxlan.calico", Wrap::Vxlan),
    ("vxlan-v6.calico", Wrap::Vxlan),
    ("flannel-wg", Wrap::Wireguard),
    ("flannel.ipip", Wrap::Ipip),
    ("flannel.", Wrap::Vxlan),
    ("flannel-v6.", Wrap::Vxlan),
    ("cilium_geneve", Wrap::Geneve),
    ("genev_sys_", Wrap::Geneve),
    ("cilium_ipip", Wrap::Ipip),
    ("tunl0", Wrap::Ipip),
    ("tun-", Wrap::Ipip),
    ("cilium_wg0", Wrap::Wireguard),
    ("wireguard.cali", Wrap::Wireguard),
    ("wg-v6.cali", Wrap::Wireguard),
    ("vxlan_sys_", Wrap::Vxlan),
];

/// Who a plugin's type, a device's prefix or a file's name belongs to, the strongest kind of trace first.
const TYPES: [(&str, Plugin); 7] = [
    ("aws-cni", Plugin::AwsVpc),
    ("azure-vnet", Plugin::Azure),
    ("calico", Plugin::Calico),
    ("flannel", Plugin::Flannel),
    ("ovn-k8s-cni-overlay", Plugin::OvnKubernetes),
    ("cilium-cni", Plugin::Cilium),
    ("azure-ipam", Plugin::Cilium),
];
const DEVICES: [(&str, Plugin); 10] = [
    ("gke", Plugin::Gke),
    ("cali", Plugin::Calico),
    ("vxlan.calico", Plugin::Calico),
    ("cilium_host", Plugin::Cilium),
    ("lxc", Plugin::Cilium),
    ("kube-bridge", Plugin::KubeRouter),
    ("ovn-k8s-mp", Plugin::OvnKubernetes),
    ("flannel", Plugin::Flannel),
    ("azv", Plugin::Azure),
    ("eni", Plugin::AwsVpc),
];
const FILES: [(&str, Plugin); 6] = [
    ("/var/run/cilium/cilium.sock", Plugin::Cilium),
    ("/var/run/aws-node/ipamd.sock", Plugin::AwsVpc),
    ("/run/flannel/subnet.env", Plugin::Flannel),
    ("/var/lib/calico/nodename", Plugin::Calico),
    ("/sys/fs/bpf/cilium", Plugin::Cilium),
    ("/var/run/ovn-kubernetes", Plugin::OvnKubernetes),
];

impl Traces {
    fn plugin(&self) -> (Plugin, Vec<String>) {
        if self.config.contains("gke") {
            return (Plugin::Gke, vec![format!("configuration {}", self.config)]);
        }
        if self.config.contains("kuberouter") || self.config.contains("kube-router") {
            return (Plugin::KubeRouter, vec![format!("configuration {}", self.config)]);
        }
        for name in &self.plugins {
            if let Some((_, plugin)) = TYPES.iter().find(|(known, _)| known == name) {
                return (*plugin, vec![format!("plugin {name} in {}", self.config)]);
            }
        }
        let device = DEVICES.iter().find_map(|(prefix, plugin)| {
            // A machine's own LXC has a bridge `lxcbr0`.
            let mut devices = self.devices.iter().filter(|device| !device.starts_with("lxcbr"));
            let device = devices.find(|device| device.starts_with(prefix))?;
            Some((*plugin, vec![format!("device {}", name(device))]))
        });
        let file = FILES.iter().find(|(path, _)| self.files.iter().any(|file| file == path));
        let file = file.map(|(path, plugin)| (*plugin, vec![format!("file {path}")]));
        device.or(file).unwrap_or_else(|| (Plugin::Unknown, vec![self.looked_at()]))
    }

    fn looked_at(&self) -> String {
        let config = if self.config.is_empty() { "no configuration" } else { &self.config };
        format!(
            "looked at {config}, plugins [{}], {} devices, {} programs on them, {} files of CNIs, {} nftables tables: \
             none is known",
            self.plugins.join(", "),
            self.devices.len(),
            self.programs.len(),
            self.files.len(),
            self.tables.len()
        )
    }

    fn datapath(&self, plugin: Plugin, chained: Option<Plugin>) -> (Datapath, String) {
        let acting = chained.unwrap_or(plugin);
        match acting {
            Plugin::Cilium => self.cilium_datapath(),
            Plugin::Calico => self.calico_datapath(),
            Plugin::AwsVpc | Plugin::Azure | Plugin::Gke => {
                (Datapath::Routed, "it routes by the kernel".into())
            }
            Plugin::Flannel | Plugin::KubeRouter => match self.bridge() {
                Some(bridge) => (Datapath::Bridge, format!("device {bridge}")),
                None => (Datapath::Unknown, "no bridge of its own was found".into()),
            },
            Plugin::OvnKubernetes => (Datapath::Ovs, "it uses Open vSwitch".into()),
            Plugin::Unknown => match self.bridge() {
                Some(bridge) => (Datapath::Bridge, format!("device {bridge}")),
                None => (Datapath::Unknown, "how packets move is unknown".into()),
            },
        }
    }

    /// eBPF host routing needs Cilium's programs on the uplinks, but recent releases put them there in any mode; pods' own
    /// devices always have some.
    fn cilium_datapath(&self) -> (Datapath, String) {
        if let Some(device) = self.netkit() {
            return (Datapath::EbpfNetkit, format!("netkit device {device}"));
        }
        let uplink = self.programs.iter().find(|program| is_ciliums_uplink(program));
        match uplink {
            Some(program) if self.host_routing => {
                (Datapath::EbpfRouting, format!("program {program}, {HOST_ROUTING}"))
            }
            Some(program) => (Datapath::Ebpf, format!("program {program}, no {HOST_ROUTING}")),
            None if self.programs.iter().any(|program| is_cilium(program)) => {
                (Datapath::EbpfLegacy, "cil_* programs on pods' devices, none on an uplink".into())
            }
            None => (Datapath::Unknown, "no cil_* program could be seen on any device".into()),
        }
    }

    fn calico_datapath(&self) -> (Datapath, String) {
        if let Some(device) = self.netkit() {
            return (Datapath::EbpfNetkit, format!("netkit device {device}"));
        }
        // The kernel keeps 15 letters of a program's name.
        let program = self.programs.iter().find(|p| p.contains(" cali_tc_preamb"));
        if let Some(program) = program {
            return (Datapath::EbpfRouting, format!("program {program}"));
        }
        match self.tables.iter().find(|table| *table == "calico") {
            Some(table) => (Datapath::Nftables, format!("nftables table {table}")),
            None => (Datapath::Iptables, "neither cali_tc_* programs nor an nftables table".into()),
        }
    }

    fn cilium(&self) -> bool {
        self.programs.iter().any(|program| is_cilium(program))
            || self.plugins.iter().any(|name| name == "cilium-cni")
    }

    fn wraps(&self) -> Vec<(Wrap, String)> {
        let mut found: Vec<(Wrap, String)> = vec![];
        for device in &self.devices {
            let wrap = WRAPPING.iter().find(|(prefix, _)| device.starts_with(prefix));
            if let Some((prefix, wrap)) = wrap
                && (*prefix != "tunl0" || device.ends_with(" up"))
                && !found.iter().any(|(other, _)| other == wrap)
            {
                found.push((*wrap, format!("device {}", name(device))));
            }
        }
        if self.esp > 0 {
            found.push((Wrap::Ipsec, format!("{} ESP states of IPsec", self.esp)));
        }
        found
    }

    fn device(&self, prefix: &str) -> Option<&str> {
        self.devices.iter().find(|device| device.starts_with(prefix)).map(|device| name(device))
    }

    fn bridge(&self) -> Option<&str> {
        ["cni0", "kube-bridge", "cbr0"].iter().find_map(|bridge| self.device(bridge))
    }

    fn netkit(&self) -> Option<&str> {
        let netkit = self.devices.iter().find(|d| d.split(' ').nth(1) == Some("netkit"));
        netkit.map(|device| name(device))
    }
}

fn is_cilium(program: &str) -> bool {
    program.split_once(' ').is_some_and(|(_, name)| name.starts_with("cil_"))
}

/// Filters are named after their device, too: `cil_from_netdev-eth0`.
fn is_ciliums_uplink(program: &str) -> bool {
    let uplinks = ["cil_from_netdev", "cil_to_netdev"];
    let name = program.split_once(' ').map_or("", |(_, name)| name);
    uplinks.iter().any(|uplink| name.starts_with(uplink))
}

fn name(device: &str) -> &str {
    device.split(' ').next().unwrap_or(device)
}

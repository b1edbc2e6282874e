//! What is visible at which hook in a CNI's mode, when our programs are first there.

use serde::{Deserialize, Serialize};

use super::{Cni, Datapath, Plugin, Wrap};

/// How much of pods' traffic a hook sees. Serialised names are stable.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Every packet.
    All,
    /// Every packet, wrapped in another.
    Wrapped,
    /// Every packet, encrypted.
    Encrypted,
    /// Connections' first packets only, which must not be taken for all.
    Handshake,
    /// None.
    Nothing,
    /// Not known.
    Unknown,
}

/// What one hook sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visible {
    /// The hook, or whose traffic passes none.
    pub hook: &'static str,
    /// How much.
    pub sight: Sight,
    /// Why, or what to mind.
    pub detail: String,
}

const HOST_NETWORK: &str =
    "the node's own sockets and host-network pods pass no pod interface: not split, in no figure";

/// What each hook sees, and whose traffic none does.
#[must_use]
pub fn visible(cni: &Cni) -> Vec<Visible> {
    let (out, out_why) = pod_out(cni);
    let (inn, in_why) = pod_in(cni);
    let (uplink, uplink_why) = uplink(cni);
    let row = |hook, sight, detail: &str| Visible { hook, sight, detail: detail.into() };
    vec![
        row("pod_out", out, out_why),
        row("uplink_out", uplink, uplink_why),
        row("uplink_in", uplink, uplink_why),
        row("pod_in", inn, in_why),
        row("host_network", Sight::Nothing, HOST_NETWORK),
    ]
}

fn pod_out(cni: &Cni) -> (Sight, &'static str) {
    match cni.datapath {
        Datapath::EbpfNetkit => (
            Sight::Nothing,
            "netkit redirects before the node's end: hook inside the pod's namespace",
        ),
        Datapath::EbpfLegacy | Datapath::Ebpf | Datapath::EbpfRouting => {
            (Sight::All, "if first: the CNI's own program ends the chain")
        }
        Datapath::Ovs => (Sight::All, "unless Open vSwitch is offloaded to the NIC"),
        Datapath::Unknown => (Sight::Unknown, "the datapath was not recognised"),
        _ => (Sight::All, ""),
    }
}

fn pod_in(cni: &Cni) -> (Sight, &'static str) {
    let ebpf = cni.datapath == Datapath::EbpfRouting;
    match cni.datapath {
        Datapath::EbpfNetkit => {
            (Sight::Nothing, "redirected into the pod: hook inside the pod's namespace")
        }
        Datapath::EbpfRouting if cni.plugin == Plugin::Calico => (
            Sight::Handshake,
            "Calico 3.29 and newer redirects established connections into the pod: hook inside its namespace",
        ),
        _ if ebpf => (Sight::Nothing, "redirected into the pod: hook inside the pod's namespace"),
        Datapath::Ebpf => (
            Sight::Unknown,
            "all with legacy host routing, nothing with eBPF's: the agent finds out from packets, and then hooks inside",
        ),
        Datapath::Ovs => (Sight::All, "unless Open vSwitch is offloaded to the NIC"),
        Datapath::Unknown => (Sight::Unknown, "the datapath was not recognised"),
        _ => (Sight::All, ""),
    }
}

fn uplink(cni: &Cni) -> (Sight, &'static str) {
    if cni.wraps.contains(&Wrap::Wireguard) {
        let why =
            "encrypted between nodes; at Cilium's uplink a packet passes TC twice, and leaves once";
        (Sight::Encrypted, why)
    } else if cni.wraps.contains(&Wrap::Ipsec) {
        (Sight::Encrypted, "by IPsec, where its policies say so; what else leaves goes as it is")
    } else if !cni.wraps.is_empty() {
        (Sight::Wrapped, "between nodes; traffic that leaves the cluster may go as it is")
    } else {
        match cni.plugin {
            Plugin::AwsVpc => (Sight::All, "pods use several uplinks: all must be watched"),
            Plugin::Azure => {
                (Sight::All, "the virtual function below the uplink must not be watched too")
            }
            Plugin::Unknown => (Sight::Unknown, "the CNI was not recognised"),
            _ => (Sight::All, ""),
        }
    }
}

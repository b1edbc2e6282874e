//! The ways a node's network carries pods' packets, each as a CNI does it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How packets get from pod to uplink and back.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cni {
    /// Routed through the node's stack (Calico, AWS, Azure)
    #[default]
    Routed,
    /// Routed, and pods' addresses hidden behind the node's
    Masquerade,
    /// Pods on a bridge (flannel, kube-router)
    Bridge,
    /// Between nodes in VXLAN (flannel, Calico, Cilium)
    Vxlan,
    /// Redirected by TC programs past the node's stack (Cilium's and Calico's eBPF host routing)
    Ebpf,
    /// Between nodes in Geneve (Cilium, OVN)
    Geneve,
    /// Between nodes in IP (Calico, kube-router)
    Ipip,
    /// Between nodes encrypted by WireGuard
    Wireguard,
    /// Between nodes encrypted by IPsec
    Ipsec,
    /// Pods behind netkit devices (Cilium)
    Netkit,
}

impl Cni {
    /// The flag's value.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A stand-in for a CNI's program that ends the chain of programs at a hook.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Impostor {
    /// Returns `TC_ACT_OK`: the packet goes on, nobody else is asked (Cilium, AWS)
    Ok,
    /// Redirects as eBPF host routing does
    Redirect,
    /// Redirects all but handshakes (Calico's eBPF dataplane)
    Established,
    /// Returns `TC_ACT_PIPE`: only classifiers of a qdisc are asked after it
    Pipe,
}

/// Where in a chain.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// First, once the agent has put itself there
    Before,
    /// Behind the agent's programs
    After,
}

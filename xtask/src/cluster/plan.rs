//! What the cluster consists of: names and addresses. No I/O.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use crate::{bpf, wire::config::Prefix};

/// There is one on a machine, which nothing else may be called.
pub(super) const NAME: &str = "cluster";
/// Namespace of the control plane, and the name of that place.
pub(super) const PLANE: &str = "plane";
/// Address of the control plane in the management network.
pub(super) const PLANE_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 254);
/// Port of the API server there.
pub(super) const API_PORT: u16 = 6443;
/// Addresses of services.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The first of them: the API server's own service.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// What names of services end in.
pub(super) const DOMAIN: &str = "cluster.local";
/// All pods' addresses.
pub(super) const PODS: &str = "10.244.0.0/16";
/// Device of a node's way out.
pub(super) const UPLINK: &str = "wan0";

/// The nodes: one in each cloud.
pub(super) const NODES: [Node; 2] = [
    Node {
        cloud: "aws",
        number: 1,
        region: "us-east-1",
        zone: "us-east-1a",
        provider_id: "aws:///us-east-1a/i-0a1b2c3d4e5f60718",
    },
    Node {
        cloud: "gcp",
        number: 2,
        region: "us-east4",
        zone: "us-east4-a",
        provider_id: "gce://xcloud-cluster/us-east4-a/gcp-node",
    },
];

/// One node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Its cloud, and its network namespace.
    pub(super) cloud: &'static str,
    /// 1 for the first.
    pub(super) number: u8,
    /// Its region.
    pub(super) region: &'static str,
    /// Its zone.
    pub(super) zone: &'static str,
    /// What its cloud calls it.
    pub(super) provider_id: &'static str,
}

impl Node {
    /// Its name in the cluster.
    pub(super) fn name(self) -> String {
        format!("{}-node", self.cloud)
    }

    /// Its address, on the uplink.
    pub(super) fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(100, 64, 0, self.number)
    }

    /// Its address in the management network.
    pub(super) fn mgmt_ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77, self.number)
    }

    /// Addresses of its pods.
    pub(super) fn pods(self) -> Prefix {
        Prefix { address: IpAddr::V4(Ipv4Addr::new(10, 244, self.number, 0)), bits: 24 }
    }

    /// The node called `name`, or in the cloud of that name.
    pub(super) fn find(name: &str) -> Option<Self> {
        NODES.into_iter().find(|node| node.cloud == name || node.name() == name)
    }
}

/// Where the programs are kept.
pub(super) fn home() -> PathBuf {
    bpf::target().join("cluster")
}

/// Logs and credentials of the cluster that is up.
pub(super) fn state() -> PathBuf {
    PathBuf::from(format!("/run/xcloud-{NAME}"))
}

//! The management network, the nodes' uplinks, and the wire between them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::plan::{NODES, Node, PLANE, PLANE_IPV4, UPLINK};
use crate::{
    lab::topology::{add_namespace, allow_congestion_control, ip, set_sysctls},
    wire::config::{Impairment, Prefix, Uplink, WireConfig},
};

/// One direction of the way between the clouds.
const DELAY_NS: u64 = 10_000_000;

/// Makes the namespaces of the control plane and of every node, and joins them.
pub(super) fn build() -> Result<()> {
    allow_congestion_control()?;
    add_namespace(PLANE)?;
    ip(PLANE, "", &plane()).context("building the management network")?;
    for node in NODES {
        add_namespace(node.cloud)?;
        set_sysctls(node.cloud)?;
        ip(node.cloud, "", &uplink(node)).with_context(|| format!("building {}", node.name()))?;
        ip(PLANE, "", &attach(node))?;
    }
    Ok(())
}

fn plane() -> String {
    format!(
        "link set lo up\n\
         link add br0 type bridge\n\
         link set br0 up\n\
         addr add {PLANE_IPV4}/24 dev br0\n"
    )
}

fn uplink(node: Node) -> String {
    format!(
        "link set lo up\n\
         link add mgmt0 type veth peer name {cloud} netns {PLANE}\n\
         addr add {mgmt}/24 dev mgmt0\n\
         link set mgmt0 up\n\
         tuntap add dev {UPLINK} mode tun vnet_hdr\n\
         link set {UPLINK} addrgenmode none up\n\
         addr add {ipv4}/32 dev {UPLINK}\n\
         route add default dev {UPLINK} src {ipv4}\n",
        cloud = node.cloud,
        mgmt = node.mgmt_ipv4(),
        ipv4 = node.ipv4(),
    )
}

/// The control plane's end, and its way to the node and to the node's pods.
fn attach(node: Node) -> String {
    let (cloud, via) = (node.cloud, node.mgmt_ipv4());
    format!(
        "link set {cloud} master br0\n\
         link set {cloud} up\n\
         route add {}/32 via {via}\n\
         route add {} via {via}\n",
        node.ipv4(),
        node.pods(),
    )
}

/// What the wire between the nodes is to be, its files being in `state`.
pub(super) fn wire(state: &Path) -> WireConfig {
    let uplinks = NODES.map(|node| Uplink {
        netns: node.cloud.into(),
        device: UPLINK.into(),
        prefixes: vec![node.pods(), Prefix::host(node.ipv4().into())],
        queue: None,
    });
    WireConfig {
        ready_file: state.join("wire.ready"),
        report_file: state.join("wire-report.json"),
        seed: 1,
        mtu: None,
        wan: Impairment { delay_ns: DELAY_NS, ..Impairment::default() },
        uplinks: uplinks.into(),
        detours: Vec::new(),
    }
}

/// How the network plugins connect a node's pods: to a bridge, from which the node routes.
pub(super) fn write_plugins(node: Node, directory: &Path) -> Result<()> {
    let config = serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": node.pods().to_string()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    fs::create_dir_all(directory)?;
    let path = directory.join("10-pods.conflist");
    fs::write(&path, serde_json::to_vec_pretty(&config)?)
        .with_context(|| format!("writing {}", path.display()))
}

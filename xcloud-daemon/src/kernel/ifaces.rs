//! Which interfaces are watched, and why: a pure function from what netlink told to decisions with a reason.
//!
//! An **uplink** is where packets leave the node for good: an interface that is up, carries a default or another
//! route to global unicast addresses (in any table but the local one), and is none of: loopback, bridge, slave of a
//! bond, dummy, tunnel (its packets leave again through an uplink), a name of a CNI or container runtime. A veth,
//! netkit or TUN device must carry the main table's default route. A physical port counts when its bridge carries
//! the default route. A VLAN or macvlan counts only if its parent does not, so that each packet passes one uplink.
//!
//! A **pod interface** is a veth or netkit whose peer is in another namespace and that is no uplink, unless it tells
//! otherwise: its name starts with `mgmt`; or it is no bridge port, no route to a single host leads through it, and
//! this node has an address on it that is neither a small subnet's (/29, /125 or longer) nor the first or last of
//! its subnet, so the node is one member of a wider network there and not a pod's gateway.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Serialize;
use xcloud_common::config::{MAX_TUNNEL_PORTS, Tunnels};

use crate::cli::InterfaceArgs;

mod follow;
mod netlink;
mod rules;
#[cfg(test)]
mod tests;
mod traffic;

pub use follow::{Event, follow};
pub use netlink::read;
pub use traffic::{Traffic, other_end, traffic};

/// What an interface is to the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads to a pod.
    Pod,
    /// Leads to other nodes.
    Uplink,
}

/// What a packet starts with on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkLayer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    L3,
}

/// An interface to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Interface index in the agent's network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// What it is to the measurement.
    pub role: Role,
    /// What its packets start with.
    pub link_layer: LinkLayer,
    /// Kind as rtnetlink names it, e.g. `veth`; `physical` when the kernel names none.
    pub kind: String,
    /// Indexes of the devices that have its packets last: the members of a bond, the device below a VLAN, else itself.
    pub leaves_by: Vec<u32>,
}

/// What was decided about an interface, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Interface index in the agent's network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Kind as rtnetlink names it; `physical` when the kernel names none.
    pub kind: String,
    /// What its packets start with.
    pub link_layer: LinkLayer,
    /// Indexes of the devices that have its packets last: the members of a bond, the device below a VLAN, else itself.
    pub leaves_by: Vec<u32>,
    /// What it is to the measurement; none when it is left out.
    pub role: Option<Role>,
    /// Why, in one sentence.
    pub reason: String,
}

impl Decision {
    /// The interface, when it is watched.
    #[must_use]
    pub fn interface(&self) -> Option<Interface> {
        self.role.map(|role| Interface {
            index: self.index,
            name: self.name.clone(),
            role,
            link_layer: self.link_layer,
            kind: self.kind.clone(),
            leaves_by: self.leaves_by.clone(),
        })
    }
}

/// A link as netlink tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `IFLA_INFO_KIND`, empty for a physical device.
    pub kind: String,
    /// `ARPHRD_*` number.
    pub hardware: u16,
    /// Administratively up.
    pub up: bool,
    /// Loopback.
    pub loopback: bool,
    /// `IFLA_MASTER`.
    pub master: Option<u32>,
    /// `IFLA_LINK`: the parent of a VLAN, the peer of a veth.
    pub parent: Option<u32>,
    /// `IFLA_LINK_NETNSID` is present: parent or peer is in another network namespace.
    pub parent_elsewhere: bool,
    /// UDP port at which a VXLAN or Geneve device receives.
    pub tunnel_port: Option<u16>,
}

/// A unicast route as netlink tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network; unspecified with prefix length 0 is the default route.
    pub destination: IpAddr,
    /// Prefix length in bits.
    pub prefix_len: u8,
    /// Routing table.
    pub table: u32,
    /// Interfaces it leads through; several with multipath.
    pub devices: Vec<u32>,
}

/// An address of this node as netlink tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Interface index.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix_len: u8,
}

/// All that netlink told about one namespace.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its links.
    pub links: Vec<Link>,
    /// Its unicast routes.
    pub routes: Vec<Route>,
    /// Its addresses.
    pub addresses: Vec<Address>,
}

impl Facts {
    /// Ports of the tunnels that end here, the lowest first; what does not fit is left out.
    #[must_use]
    pub fn tunnels(&self) -> Tunnels {
        let ports = |kind| {
            let of_kind = self.links.iter().filter(|link| link.kind == kind);
            let found: BTreeSet<u16> = of_kind.filter_map(|link| link.tunnel_port).collect();
            if found.len() > MAX_TUNNEL_PORTS {
                tracing::warn!(
                    "{kind} devices use {} ports; packets to the last are not looked into",
                    found.len()
                );
            }
            let mut ports = [0; MAX_TUNNEL_PORTS];
            ports.iter_mut().zip(found).for_each(|(slot, port)| *slot = port);
            ports
        };
        Tunnels { vxlan: ports("vxlan"), geneve: ports("geneve") }
    }
}

/// Decides about every interface, in index order. Names given by the user replace the finding of that role.
#[must_use]
pub fn decide(facts: &Facts, wanted: &InterfaceArgs) -> Vec<Decision> {
    let mut links: Vec<&Link> = facts.links.iter().collect();
    links.sort_by_key(|link| link.index);
    links.into_iter().map(|link| facts.decide_one(link, wanted)).collect()
}

/// Fails when an uplink was named that does not exist, and says which interfaces there are.
pub fn check_names(facts: &Facts, wanted: &InterfaceArgs) -> anyhow::Result<()> {
    let names: Vec<&str> = facts.links.iter().map(|link| link.name.as_str()).collect();
    match wanted.uplinks.iter().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => anyhow::bail!(
            "--uplink {name}: there is no such interface in this network namespace; there are {}",
            names.join(", ")
        ),
    }
}

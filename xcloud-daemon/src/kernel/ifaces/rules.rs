//! The rules that [`super::decide`] applies to one interface.

use std::net::IpAddr;

use super::{Address, Decision, Facts, Link, LinkLayer, Role, Route};
use crate::cli::InterfaceArgs;

/// Ok or not, with the reason in either case.
type Verdict = Result<String, String>;

const ARPHRD_ETHER: u16 = 1;
const TABLE_LOCAL: u32 = 255;
const TABLE_MAIN: u32 = 254;
/// Most devices one upon another that are followed down: the kernel allows eight.
const MOST_STACKED: usize = 8;
/// Names of interfaces that CNIs and container runtimes make for themselves.
const NOT_UPLINKS: [&str; 9] =
    ["cilium_", "lxc", "cni", "docker", "cali", "cbr", "kube-", "nodelocaldns", "virbr"];
/// Kinds whose packets leave again, wrapped, through an uplink.
const TUNNELS: [&str; 15] = [
    "vxlan",
    "geneve",
    "gre",
    "gretap",
    "erspan",
    "ip6gre",
    "ip6gretap",
    "ipip",
    "ip6tnl",
    "sit",
    "vti",
    "vti6",
    "xfrm",
    "wireguard",
    "bareudp",
];

impl Facts {
    pub(super) fn decide_one(&self, link: &Link, wanted: &InterfaceArgs) -> Decision {
        let (role, reason) = match self.uplink(link, wanted) {
            Ok(reason) => (Some(Role::Uplink), reason),
            Err(no_uplink) => match self.pod(link, wanted) {
                Ok(reason) => (Some(Role::Pod), reason),
                Err(no_pod) if pair(link) => (None, no_pod),
                Err(_) => (None, no_uplink),
            },
        };
        Decision {
            index: link.index,
            name: link.name.clone(),
            kind: match link.kind.as_str() {
                "" if link.loopback => "loopback".into(),
                "" => "physical".into(),
                kind => kind.into(),
            },
            link_layer: if link.hardware == ARPHRD_ETHER {
                LinkLayer::Ethernet
            } else {
                LinkLayer::L3
            },
            leaves_by: self.leaves_by(link, MOST_STACKED),
            role,
            reason,
        }
    }

    /// The devices that have a link's packets last. Their queues are where its packets wait: a bond and a VLAN have none.
    fn leaves_by(&self, link: &Link, most: usize) -> Vec<u32> {
        let below: Vec<&Link> = match link.kind.as_str() {
            _ if most == 0 => vec![],
            "bond" | "team" => {
                self.links.iter().filter(|member| member.master == Some(link.index)).collect()
            }
            "vlan" | "macvlan" | "ipvlan" if !link.parent_elsewhere => {
                self.links.iter().filter(|parent| Some(parent.index) == link.parent).collect()
            }
            _ => vec![],
        };
        if below.is_empty() {
            return vec![link.index];
        }
        below.into_iter().flat_map(|lower| self.leaves_by(lower, most - 1)).collect()
    }

    fn uplink(&self, link: &Link, wanted: &InterfaceArgs) -> Verdict {
        if wanted.uplinks.is_empty() {
            self.found_uplink(link)
        } else if wanted.uplinks.contains(&link.name) {
            Ok("named by --uplink".into())
        } else {
            Err("not named by --uplink".into())
        }
    }

    fn pod(&self, link: &Link, wanted: &InterfaceArgs) -> Verdict {
        if wanted.pods.is_empty() {
            self.found_pod(link)
        } else if wanted.pods.iter().any(|pattern| matches(pattern, &link.name)) {
            Ok("named by --pod-interface".into())
        } else {
            Err("not named by --pod-interface".into())
        }
    }

    fn found_uplink(&self, link: &Link) -> Verdict {
        self.may_leave(link)?;
        if let Some(master) = self.master(link) {
            return self.port(link, master);
        }
        let must_have_default = pair(link) || link.kind == "tun";
        let main_default =
            self.routes_by(link, |route| route.prefix_len == 0 && route.table == TABLE_MAIN);
        let reason = if main_default.is_some() {
            "carries the default route".to_owned()
        } else if must_have_default {
            return Err(format!("{} without the default route", link.kind));
        } else {
            let route = self
                .routes_by(link, leads_out)
                .ok_or("no route to other nodes leads through it")?;
            format!("carries the route to {}/{}", route.destination, route.prefix_len)
        };
        match self.watched_parent(link) {
            Some(parent) => Err(format!("its packets pass {}, which is watched", parent.name)),
            None => Ok(reason),
        }
    }

    /// Rules out interfaces that no packet leaves the node by, whatever the routes say.
    fn may_leave(&self, link: &Link) -> Result<(), String> {
        let why = match link.kind.as_str() {
            _ if link.loopback => "loopback".into(),
            _ if !link.up => "down".into(),
            "bridge" | "openvswitch" => "a bridge: packets leave by its ports".into(),
            "vrf" => "a VRF: packets leave by its members".into(),
            "dummy" | "ifb" | "nlmon" => format!("{}: no packet leaves by it", link.kind),
            kind if TUNNELS.contains(&kind) => format!(
                "a tunnel ({kind}): its packets leave through an uplink; name it with --uplink to watch it instead"
            ),
            _ => match NOT_UPLINKS.iter().find(|p| link.name.starts_with(**p)) {
                Some(prefix) => format!("{prefix}* belongs to a CNI or container runtime"),
                None => return Ok(()),
            },
        };
        Err(why)
    }

    fn port(&self, link: &Link, master: &Link) -> Verdict {
        let switch = matches!(master.kind.as_str(), "bridge" | "openvswitch");
        if !switch {
            return Err(format!("slave of {}, which stands for it", master.name));
        }
        // A port of an Open vSwitch names ovs-system as its master; the routes are on another port of that kind.
        let carrier = self.links.iter().find(|other| {
            (other.index == master.index
                || other.kind == "openvswitch" && master.kind == other.kind)
                && self.routes_by(other, |route| route.prefix_len == 0).is_some()
        });
        match carrier {
            Some(bridge) if !pair(link) && link.kind != "tun" => {
                Ok(format!("port of {}, which carries the default route", bridge.name))
            }
            _ => Err(format!("port of {}", master.name)),
        }
    }

    fn found_pod(&self, link: &Link) -> Verdict {
        if !pair(link) {
            return Err("neither veth nor netkit".into());
        }
        if !link.parent_elsewhere {
            return Err("its peer is in this namespace".into());
        }
        if !link.up {
            return Err("down".into());
        }
        if link.name.starts_with("mgmt") {
            return Err("a management link by its name".into());
        }
        if let Some(master) = self.master(link) {
            return Ok(format!("port of {}, peer in another namespace", master.name));
        }
        if let Some(route) = self.routes_by(link, |r| is_host(r.destination, r.prefix_len)) {
            return Ok(format!("leads to the one host {}", route.destination));
        }
        self.gateway(link)
    }

    fn gateway(&self, link: &Link) -> Verdict {
        let mut verdict = Ok("its peer is in another namespace".to_owned());
        for own in self.addresses.iter().filter(|a| a.index == link.index) {
            if !global(own.address) {
                continue;
            }
            let Address { address, prefix_len, .. } = own;
            if is_gateway(*address, *prefix_len) {
                return Ok(format!(
                    "this node is the gateway {address}/{prefix_len} of what is behind it"
                ));
            }
            verdict = Err(format!(
                "this node is one member ({address}/{prefix_len}) of a network there; name it with --pod-interface if \
                 it leads to a pod"
            ));
        }
        verdict
    }

    /// The master that takes the link's packets; a VRF only groups routes.
    fn master(&self, link: &Link) -> Option<&Link> {
        let index = link.master?;
        self.links.iter().find(|other| other.index == index && other.kind != "vrf")
    }

    /// The watched uplink below a VLAN or macvlan.
    fn watched_parent(&self, link: &Link) -> Option<&Link> {
        let stacked = matches!(link.kind.as_str(), "vlan" | "macvlan" | "ipvlan" | "macsec");
        if !stacked || link.parent_elsewhere {
            return None;
        }
        let parent = self.links.iter().find(|l| Some(l.index) == link.parent)?;
        self.found_uplink(parent).is_ok().then_some(parent)
    }

    fn routes_by(&self, link: &Link, accept: impl Fn(&Route) -> bool) -> Option<&Route> {
        self.routes.iter().find(|route| route.devices.contains(&link.index) && accept(route))
    }
}

fn pair(link: &Link) -> bool {
    matches!(link.kind.as_str(), "veth" | "netkit")
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

fn leads_out(route: &Route) -> bool {
    route.table != TABLE_LOCAL && (route.prefix_len == 0 || global(route.destination))
}

fn global(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !local && !address.is_loopback() && !address.is_multicast() && !address.is_unspecified()
}

fn is_host(destination: IpAddr, prefix_len: u8) -> bool {
    prefix_len == if destination.is_ipv4() { 32 } else { 128 } && global(destination)
}

/// Whether an address is one that a pod's gateway has: in a small subnet, or the first or last of a larger one.
fn is_gateway(address: IpAddr, prefix_len: u8) -> bool {
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host_len = u32::from(width - prefix_len.min(width));
    let hosts = 1u128.checked_shl(host_len).map_or(u128::MAX, |n| n - 1);
    let host = bits & hosts;
    host_len <= 3 || host == 1 || (address.is_ipv4() && host == hosts - 1)
}

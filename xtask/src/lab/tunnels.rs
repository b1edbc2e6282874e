//! What carries pods' packets between nodes: tunnels and encryption, as `ip`, `bridge` and `wg` commands.
//!
//! Pods' IPv4 goes between the nodes' IPv4 addresses and pods' IPv6 between their IPv6 addresses, by devices of its own;
//! WireGuard and IPsec carry both between IPv4 addresses.

use std::{fmt::Write as _, net::IpAddr, process::Command};

use anyhow::{Context as _, Result};

use super::{
    cni::Cni,
    plan::{Cloud, Plan},
    topology::ip,
};
use crate::{command, netns, wire::config::Prefix};

const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const WIREGUARD: &str = "wg0";
const WIREGUARD_PORT: u16 = 51_820;
/// Leaves room for any outer headers within 1 500 bytes.
const INNER_MTU: u16 = 1400;
/// A key for packets that never leave this machine: AES-128 and four bytes of salt (RFC 4106).
const IPSEC_KEY: &str = "0x6c61626c61626c61626c61626c61626c61626c61";

/// MTU of pods' interfaces.
pub(super) fn pod_mtu(plan: &Plan) -> u16 {
    match plan.cni {
        Cni::Vxlan | Cni::Geneve | Cni::Ipip | Cni::Wireguard | Cni::Ipsec => INNER_MTU,
        _ => 1500,
    }
}

/// Devices by which the node's stack receives what was carried.
pub(super) fn devices(plan: &Plan, cloud: &Cloud) -> Vec<String> {
    let per_node = |kind: &str| {
        let numbers = plan.others(cloud).map(|other| other.number);
        numbers.flat_map(|number| [4, 6].map(|family| format!("{kind}{family}-{number}"))).collect()
    };
    match plan.cni {
        Cni::Vxlan => vec!["vxlan4".into(), "vxlan6".into()],
        Cni::Geneve => per_node("geneve"),
        Cni::Ipip => per_node("ipip"),
        Cni::Wireguard => vec![WIREGUARD.into()],
        _ => Vec::new(),
    }
}

/// What it may mean that a device cannot be made.
pub(super) const LACKING: &str = "this kernel or its tools may lack this --cni; `cargo xtask kernels 6.12` runs it in one that has it";

/// Builds one node's end.
pub(super) fn build(plan: &Plan, cloud: &Cloud) -> Result<()> {
    let built = match plan.cni {
        Cni::Vxlan => [false, true].into_iter().try_for_each(|ipv6| vxlan(plan, cloud, ipv6)),
        Cni::Geneve => per_node(plan, cloud, geneve),
        Cni::Ipip => per_node(plan, cloud, ipip),
        Cni::Wireguard => wireguard(plan, cloud),
        Cni::Ipsec => per_node(plan, cloud, ipsec),
        _ => return Ok(()),
    };
    built.context(LACKING)
}

/// One end of a tunnel for one family of pods' addresses.
struct Way<'a> {
    node: &'a Cloud,
    other: &'a Cloud,
    ipv6: bool,
}

impl Way<'_> {
    fn device(&self, kind: &str) -> String {
        format!("{kind}{}-{}", self.number(), self.other.number)
    }

    fn number(&self) -> u8 {
        if self.ipv6 { 6 } else { 4 }
    }

    fn family(&self) -> &'static str {
        if self.ipv6 { "-6" } else { "-4" }
    }

    fn outer(&self, cloud: &Cloud) -> IpAddr {
        if self.ipv6 { cloud.uplink_ipv6().into() } else { cloud.uplink_ipv4().into() }
    }

    fn pods(&self, cloud: &Cloud) -> Prefix {
        cloud.pod_prefixes()[usize::from(self.ipv6)]
    }

    /// Commands that route the other node's pods through a device with Ethernet headers.
    fn route_by_ethernet(&self, device: &str) -> String {
        let (pods, mac) = (self.pods(self.other), mac(self.other));
        let gateway = pods.address;
        format!(
            "neigh replace {gateway} lladdr {mac} dev {device} nud permanent\n\
             route add {pods} via {gateway} dev {device} onlink\n"
        )
    }
}

fn mac(cloud: &Cloud) -> String {
    format!("02:78:63:00:00:{:02x}", cloud.number)
}

fn per_node(plan: &Plan, cloud: &Cloud, build: fn(&Way<'_>) -> Result<()>) -> Result<()> {
    for other in plan.others(cloud) {
        for ipv6 in [false, true] {
            build(&Way { node: cloud, other, ipv6 })?;
        }
    }
    Ok(())
}

/// One device for all nodes, as flannel and Calico have it.
fn vxlan(plan: &Plan, cloud: &Cloud, ipv6: bool) -> Result<()> {
    let ways = || plan.others(cloud).map(|other| Way { node: cloud, other, ipv6 });
    let Some(first) = ways().next() else { return Ok(()) };
    let (device, local) = (format!("vxlan{}", first.number()), first.outer(cloud));
    let mut script = format!(
        "link add {device} mtu {INNER_MTU} address {} type vxlan id {} local {local} dstport {VXLAN_PORT} nolearning\n\
         link set {device} addrgenmode none up\n",
        mac(cloud),
        4096 + u32::from(ipv6),
    );
    let mut peers = String::new();
    for way in ways() {
        script += &way.route_by_ethernet(&device);
        let (mac, remote) = (mac(way.other), way.outer(way.other));
        let _ = writeln!(peers, "fdb append {mac} dev {device} dst {remote}");
    }
    ip(&cloud.netns, first.family(), &script)?;
    let mut bridge = Command::new("bridge");
    command::feed(bridge.args(["-n", &cloud.netns, "-batch", "-"]), &peers).map(|_| ())
}

fn geneve(way: &Way<'_>) -> Result<()> {
    let (device, remote) = (way.device("geneve"), way.outer(way.other));
    let script = format!(
        "link add {device} mtu {INNER_MTU} address {} type geneve id {} remote {remote} dstport {GENEVE_PORT}\n\
         link set {device} addrgenmode none up\n",
        mac(way.node),
        way.number(),
    );
    ip(&way.node.netns, way.family(), &(script + &way.route_by_ethernet(&device)))
}

fn ipip(way: &Way<'_>) -> Result<()> {
    let (device, pods) = (way.device("ipip"), way.pods(way.other));
    let (local, remote) = (way.outer(way.node), way.outer(way.other));
    let kind = if way.ipv6 { "ip6tnl mode ip6ip6" } else { "ipip" };
    let script = format!(
        "link add {device} mtu {INNER_MTU} type {kind} local {local} remote {remote}\n\
         link set {device} up\n\
         route add {pods} dev {device}\n"
    );
    ip(&way.node.netns, way.family(), &script)
}

fn ipsec(way: &Way<'_>) -> Result<()> {
    let (ours, theirs) = (way.node.uplink_ipv4(), way.other.uplink_ipv4());
    let mut script = String::new();
    for (from, to, directions) in
        [(way.node, way.other, &["out"][..]), (way.other, way.node, &["in", "fwd"])]
    {
        let (source, destination) = (from.uplink_ipv4(), to.uplink_ipv4());
        let spi = 256 + 16 * u32::from(from.number) + u32::from(to.number);
        if !way.ipv6 {
            let _ = writeln!(
                script,
                "xfrm state add src {source} dst {destination} proto esp spi {spi} reqid 1 mode tunnel \
                 flag af-unspec aead rfc4106(gcm(aes)) {IPSEC_KEY} 128"
            );
        }
        for direction in directions {
            let _ = writeln!(
                script,
                "xfrm policy add src {} dst {} dir {direction} \
                 tmpl src {source} dst {destination} proto esp reqid 1 mode tunnel",
                way.pods(from),
                way.pods(to)
            );
        }
    }
    ip(&way.node.netns, "", &script).with_context(|| format!("IPsec from {ours} to {theirs}"))
}

fn wireguard(plan: &Plan, cloud: &Cloud) -> Result<()> {
    let up =
        format!("link add {WIREGUARD} mtu {INNER_MTU} type wireguard\nlink set {WIREGUARD} up\n");
    // Made in the namespace, where its socket then is too.
    ip(&cloud.netns, "", &up)?;
    let mut wg = Command::new("wg");
    netns::enter(&mut wg, &cloud.netns)?;
    wg.args(["set", WIREGUARD, "listen-port", &WIREGUARD_PORT.to_string()]);
    wg.args(["private-key", "/proc/self/fd/0"]);
    for other in plan.others(cloud) {
        let public = command::feed(Command::new("wg").arg("pubkey"), &private_key(other))?;
        let [ipv4, ipv6] = other.pod_prefixes();
        wg.args(["peer", public.trim(), "allowed-ips", &format!("{ipv4},{ipv6}")]);
        wg.args(["endpoint", &format!("{}:{WIREGUARD_PORT}", other.uplink_ipv4())]);
    }
    command::feed(&mut wg, &private_key(cloud))?;
    for other in plan.others(cloud) {
        for (family, pods) in ["-4", "-6"].into_iter().zip(other.pod_prefixes()) {
            ip(&cloud.netns, family, &format!("route add {pods} dev {WIREGUARD}\n"))?;
        }
    }
    Ok(())
}

/// A node's key; packets that it protects never leave this machine. Base64 of 32 bytes.
fn private_key(cloud: &Cloud) -> String {
    format!("{}{}AA=", "labo".repeat(10), char::from(b'A' + cloud.number % 26))
}

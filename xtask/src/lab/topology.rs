//! Namespaces, devices, addresses and routes, as `ip` and `tc` commands that can be read and typed.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::{Context as _, Result};

use super::{
    cni::Cni,
    nat,
    plan::{AGGREGATOR, BRIDGE, Cloud, EGRESS, INGRESS, Plan, Pod, UPLINK},
    tunnels,
};
use crate::{command, netns, wire::filler::QUEUE_MTU};

/// Routing tables of packets that take a detour.
const EGRESS_TABLE: u32 = 101;
const INGRESS_TABLE: u32 = 102;

/// The congestion control in the lab, whatever this machine prefers.
const CONGESTION_CONTROL: &str = "cubic";
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

/// Kernel settings of every namespace but the management network.
const SYSCTLS: [(&str, &str); 10] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/ip_forward", "1"),
    // Of several ways out, one for each connection and not for each pair of addresses.
    ("ipv4/fib_multipath_hash_policy", "1"),
    ("ipv6/fib_multipath_hash_policy", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    // Addresses are chosen here: checking for duplicates would only cost the first second.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv4/tcp_congestion_control", CONGESTION_CONTROL),
];

/// Makes one namespace.
pub(crate) fn add_namespace(name: &str) -> Result<()> {
    command::output(Command::new("ip").args(["netns", "add", name])).map(|_| ())
}

/// Configures the namespaces of `plan`, which exist already.
pub(crate) fn build(plan: &Plan) -> Result<()> {
    allow_congestion_control()?;
    ip(&plan.mgmt, "", &mgmt(plan)).context("building the management network")?;
    for cloud in &plan.clouds {
        build_node(plan, cloud).with_context(|| format!("building {}", cloud.node))?;
    }
    Ok(())
}

/// A namespace may only choose among what the whole machine allows; this adds to that and changes nothing in use.
pub(crate) fn allow_congestion_control() -> Result<()> {
    let allowed = fs::read_to_string(ALLOWED).with_context(|| format!("reading {ALLOWED}"))?;
    if allowed.split_whitespace().any(|name| name == CONGESTION_CONTROL) {
        return Ok(());
    }
    fs::write(ALLOWED, format!("{} {CONGESTION_CONTROL}", allowed.trim())).with_context(|| {
        format!("adding {CONGESTION_CONTROL} to {ALLOWED} (is it in this kernel?)")
    })
}

fn build_node(plan: &Plan, cloud: &Cloud) -> Result<()> {
    set_sysctls(&cloud.netns)?;
    for pod in &cloud.pods {
        set_sysctls(&pod.netns)?;
    }
    let devices = ip(&cloud.netns, "", &node_v4(plan, cloud));
    if plan.cni == Cni::Netkit { devices.context(tunnels::LACKING) } else { devices }?;
    ip(&cloud.netns, "-6", &node_v6(plan, cloud))?;
    for pod in &cloud.pods {
        ip(&pod.netns, "", &pod_v4(plan, cloud, pod))?;
        ip(&pod.netns, "-6", &pod_v6(plan, cloud, pod))?;
    }
    let attach = format!("link set {0} master br0\nlink set {0} up\n", cloud.name);
    ip(&plan.mgmt, "", &attach)?;
    tunnels::build(plan, cloud)?;
    nat::build(plan, cloud)?;
    shape(cloud)
}

/// Runs `ip` commands in a namespace.
pub(crate) fn ip(netns: &str, family: &str, script: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    if !family.is_empty() {
        ip.arg(family);
    }
    command::feed(ip.args(["-n", netns, "-batch", "-"]), script).map(|_| ())
}

pub(crate) fn set_sysctls(name: &str) -> Result<()> {
    netns::within(name, || {
        for (key, value) in SYSCTLS {
            let path = format!("/proc/sys/net/{key}");
            fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))?;
        }
        Ok(())
    })
}

fn mgmt(_plan: &Plan) -> String {
    format!(
        "link set lo up\n\
         link add br0 type bridge\n\
         link set br0 up\n\
         addr add {}/24 dev br0\n",
        AGGREGATOR.ip()
    )
}

fn node_v4(plan: &Plan, cloud: &Cloud) -> String {
    let mut script = format!(
        "link set lo up\n\
         link add mgmt0 type veth peer name {} netns {}\n\
         addr add {}/24 dev mgmt0\n\
         link set mgmt0 up\n",
        cloud.name,
        plan.mgmt,
        cloud.mgmt_ipv4(),
    );
    let mtu = cloud.injected.queue.map_or(1500, |_| QUEUE_MTU);
    for (index, device) in cloud.uplinks.iter().enumerate() {
        let address = if index == 0 { cloud.uplink_ipv4() } else { cloud.further_ipv4(index) };
        let _ = write!(
            script,
            "tuntap add dev {device} mode tun vnet_hdr\n\
             link set {device} mtu {mtu} addrgenmode none up\n\
             addr add {address}/32 dev {device}\n"
        );
    }
    script += &default_route(cloud, "");
    script += &pod_interfaces(plan, cloud);
    for (device, _) in cloud.injected.detours() {
        let _ = write!(
            script,
            "tuntap add dev {device} mode tun vnet_hdr\n\
             link set {device} addrgenmode none up\n"
        );
    }
    script + &detour_routes(plan, cloud, false)
}

/// The way out; of several the kernel takes one for each connection. IPv6 asks for a `gateway` to do so.
fn default_route(cloud: &Cloud, gateway: &str) -> String {
    let mut script = String::from("route add default");
    match cloud.uplinks.as_slice() {
        [only] => script += &format!(" dev {only}"),
        several => script.extend(several.iter().map(|dev| format!(" nexthop {gateway} dev {dev}"))),
    }
    script + "\n"
}

fn pod_interfaces(plan: &Plan, cloud: &Cloud) -> String {
    let mut script = String::new();
    if plan.cni == Cni::Bridge {
        let _ = write!(
            script,
            "link add {BRIDGE} type bridge\n\
             link set {BRIDGE} addrgenmode none up\n\
             addr add {}/24 dev {BRIDGE}\n",
            cloud.gateway_ipv4()
        );
    }
    for pod in &cloud.pods {
        let (device, address) = (&pod.interface, pod.ipv4);
        script += &pair(plan, pod);
        let mtu = tunnels::pod_mtu(plan);
        let _ = writeln!(script, "link set {device} mtu {mtu} addrgenmode none up");
        if plan.cni == Cni::Bridge {
            let _ = writeln!(script, "link set {device} master {BRIDGE}");
        } else {
            let _ = write!(
                script,
                "addr add 169.254.1.1/32 dev {device}\n\
                 route add {address} dev {device}\n"
            );
        }
    }
    script
}

/// A pod's interface on the node and its end in the pod.
fn pair(plan: &Plan, Pod { interface, netns, .. }: &Pod) -> String {
    if plan.cni == Cni::Netkit {
        // The iproute2 of Debian 12 knows none of a netkit device's options, so the kernel names the other end.
        format!("link add {interface} type netkit\nlink set nk0 netns {netns} name eth0\n")
    } else {
        format!("link add {interface} type veth peer name eth0 netns {netns}\n")
    }
}

fn node_v6(plan: &Plan, cloud: &Cloud) -> String {
    let mut script = format!("addr add {}/128 dev {UPLINK} nodad\n", cloud.uplink_ipv6());
    script += &default_route(cloud, "via fe80::1 onlink");
    if plan.cni == Cni::Bridge {
        let _ = writeln!(script, "addr add {}/64 dev {BRIDGE} nodad", cloud.gateway_ipv6());
    } else {
        for pod in &cloud.pods {
            let (device, address) = (&pod.interface, pod.ipv6);
            let _ = write!(
                script,
                "addr add fe80::1/64 dev {device} nodad\n\
                 route add {address} dev {device}\n"
            );
        }
    }
    script + &detour_routes(plan, cloud, true)
}

/// Sends packets between pods and uplink through the detours; when they come back, the main table applies.
fn detour_routes(plan: &Plan, cloud: &Cloud, ipv6: bool) -> String {
    let mut script = String::new();
    if plan.redirects() {
        return script;
    }
    if cloud.injected.egress.is_some() {
        for device in from_pods(plan, cloud) {
            let _ = writeln!(script, "rule add iif {device} lookup {EGRESS_TABLE}");
        }
        for other in plan.others(cloud) {
            let prefix = other.pod_prefixes()[usize::from(ipv6)];
            let _ = writeln!(script, "route add {prefix} dev {EGRESS} table {EGRESS_TABLE}");
        }
    }
    if cloud.injected.ingress.is_some() {
        let prefix = cloud.pod_prefixes()[usize::from(ipv6)];
        for device in tunnels::devices(plan, cloud).iter().chain(&cloud.uplinks) {
            let _ = writeln!(script, "rule add iif {device} lookup {INGRESS_TABLE}");
        }
        let _ = writeln!(script, "route add {prefix} dev {INGRESS} table {INGRESS_TABLE}");
    }
    script
}

/// Devices by which the node's stack receives what pods send.
fn from_pods(plan: &Plan, cloud: &Cloud) -> Vec<String> {
    if plan.cni == Cni::Bridge {
        return vec![BRIDGE.into()];
    }
    cloud.pods.iter().map(|pod| pod.interface.clone()).collect()
}

fn pod_v4(plan: &Plan, cloud: &Cloud, pod: &Pod) -> String {
    let up = format!("link set lo up\nlink set eth0 mtu {} up\n", tunnels::pod_mtu(plan));
    let address = pod.ipv4;
    up + &if plan.cni == Cni::Bridge {
        let gateway = cloud.gateway_ipv4();
        format!("addr add {address}/24 dev eth0\nroute add default via {gateway}\n")
    } else {
        format!(
            "addr add {address}/32 dev eth0\n\
             route add 169.254.1.1 dev eth0\n\
             route add default via 169.254.1.1 dev eth0\n"
        )
    }
}

fn pod_v6(plan: &Plan, cloud: &Cloud, pod: &Pod) -> String {
    let address = pod.ipv6;
    if plan.cni == Cni::Bridge {
        let gateway = cloud.gateway_ipv6();
        format!("addr add {address}/64 dev eth0 nodad\nroute add default via {gateway}\n")
    } else {
        format!("addr add {address}/128 dev eth0 nodad\nroute add default via fe80::1 dev eth0\n")
    }
}

/// Gives the uplink a qdisc with a rate, where one is asked for.
fn shape(cloud: &Cloud) -> Result<()> {
    let injected = &cloud.injected;
    let (rate, burst, limit) = match (injected.queue, injected.rate) {
        // The burst only lets the qdisc catch up after a late timer: a standing queue never saves up tokens.
        (Some(queue), _) => (queue.rate, 256 << 10, queue_limit(queue.delay_ns, queue.rate)),
        // 200 ms of packets, in bursts of two.
        (None, Some(rate)) => (rate, 3200, (rate / 8 / 5).max(64 << 10)),
        (None, None) => return Ok(()),
    };
    for device in &cloud.uplinks {
        let mut tc = Command::new("tc");
        tc.args(["-n", &cloud.netns, "qdisc", "add", "dev", device, "root", "tbf"]);
        tc.args(["rate", &format!("{rate}bit"), "burst", &burst.to_string()]);
        tc.args(["limit", &limit.to_string()]);
        command::output(&mut tc)?;
    }
    Ok(())
}

/// Twice the standing queue and some real packets.
fn queue_limit(delay_ns: u64, rate: u64) -> u64 {
    let bytes = u128::from(delay_ns) * u128::from(rate) / 8_000_000_000;
    u64::try_from(2 * bytes).unwrap_or(u64::MAX) + (4 << 20)
}

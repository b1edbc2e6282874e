//! Address translation by the node's stack: pods behind the node's address, pods behind a service's.
//!
//! A packet that takes a detour passes the stack twice. The connection must be known to the stack in one of them only:
//! it is translated where it leaves the pod or the node, and passes untracked the other time.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, Result};

use super::{
    cni::Cni,
    plan::{Cloud, EGRESS, INGRESS, LOAD_PORT, Plan},
};
use crate::{command, netns};

/// Sets up a node's translation, if there is any.
pub(super) fn build(plan: &Plan, cloud: &Cloud) -> Result<()> {
    let rules = match plan.cni {
        Cni::Masquerade => masquerade(cloud),
        _ if plan.service => services(plan, cloud),
        _ => return Ok(()),
    };
    let mut nft = Command::new("nft");
    netns::enter(&mut nft, &cloud.netns)?;
    command::feed(nft.args(["-f", "-"]), &rules).map(|_| ()).context("setting up translation")
}

fn masquerade(cloud: &Cloud) -> String {
    let mut untracked = vec![INGRESS.to_owned()];
    if cloud.injected.egress.is_some() {
        untracked.extend(cloud.pods.iter().map(|pod| pod.interface.clone()));
    }
    let [ipv4, ipv6] = cloud.pod_prefixes();
    let ways_out = set(&cloud.uplinks);
    let rules = format!(
        "type nat hook postrouting priority srcnat\n\
         ip saddr {ipv4} oifname {ways_out} masquerade\n\
         ip6 saddr {ipv6} oifname {ways_out} masquerade\n"
    );
    table(&untracked, &rules)
}

fn services(plan: &Plan, cloud: &Cloud) -> String {
    let mut rules = String::from("type nat hook prerouting priority dstnat\n");
    for pod in plan.others(cloud).flat_map(|other| &other.pods) {
        for (family, ipv6) in [("ip", false), ("ip6", true)] {
            let (service, address) = (pod.service(ipv6), pod.address(ipv6));
            let _ = writeln!(
                rules,
                "{family} daddr {service} tcp dport {LOAD_PORT} dnat {family} to {address}"
            );
        }
    }
    table(&[EGRESS.to_owned(), INGRESS.to_owned()], &rules)
}

fn table(untracked: &[String], rules: &str) -> String {
    format!(
        "table inet lab {{\n\
         chain untracked {{\ntype filter hook prerouting priority raw\niifname {} notrack\n}}\n\
         chain translated {{\n{rules}}}\n\
         }}\n",
        set(untracked)
    )
}

fn set(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{{ {} }}", quoted.join(", "))
}

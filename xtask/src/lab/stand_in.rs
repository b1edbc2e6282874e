//! The stand-in for a CNI whose TC programs take packets past the node's stack or end the chain that the agent's
//! programs are in.
//!
//! Delays inside a node are TUN devices that packets are routed through, and what is redirected is not routed. So the
//! redirect itself goes to such a device first, and what comes back out of it is redirected on.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{
        HashMap, MapData,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{
        LinkOrder, SchedClassifier, TcAttachType,
        links::FdLink,
        tc::{self, NlOptions, TcAttachOptions, TcError, TcHandle},
    },
};
use nix::net::if_::if_nametoindex;
use xcloud_common::stand_in::{AWAY, Hop};

use super::{
    cni::{Cni, Impostor, Order},
    plan::{Cloud, EGRESS, INGRESS, Plan, UPLINK},
    state,
};
use crate::{bpf, netns, wire::config::Prefix};

const HOST_ROUTING: &str = "host_routing";

/// Puts on every node the programs that are there before the agents come.
pub(super) fn put_up(plan: &Plan) -> Result<()> {
    match plan.impostor {
        _ if plan.cni == Cni::Ebpf => on_nodes(plan, HOST_ROUTING, LinkOrder::last),
        Some((impostor, Order::After)) => on_nodes(plan, program(impostor), LinkOrder::last),
        _ => Ok(()),
    }
}

/// Puts on every node the programs that push themselves before the agents'.
pub(super) fn push_in(plan: &Plan) -> Result<()> {
    match plan.impostor {
        Some((impostor, Order::Before)) => on_nodes(plan, program(impostor), LinkOrder::first),
        _ => Ok(()),
    }
}

fn program(impostor: Impostor) -> &'static str {
    match impostor {
        Impostor::Ok => "impostor_ok",
        Impostor::Pipe => "impostor_pipe",
        Impostor::Redirect => HOST_ROUTING,
        Impostor::Established => "host_routing_established",
    }
}

fn on_nodes(plan: &Plan, program: &str, order: fn() -> LinkOrder) -> Result<()> {
    let object = bpf::stand_in()?;
    let object = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
    for cloud in &plan.clouds {
        netns::within(&cloud.netns, || {
            let mut ebpf = Ebpf::load(&object).context("loading the stand-in for a CNI")?;
            if program.starts_with(HOST_ROUTING) {
                tell_ways(&mut ebpf, plan, cloud)?;
            }
            attach(&mut ebpf, program, places(cloud, program), order, plan, cloud)
        })
        .with_context(|| format!("putting {program} on {}", cloud.node))?;
    }
    Ok(())
}

/// Where a program goes. One that redirects also takes packets on from the detours; after it a pod interface's egress
/// is passed by none.
fn places(cloud: &Cloud, program: &str) -> Vec<(String, TcAttachType)> {
    let pods = || cloud.pods.iter().map(|pod| pod.interface.clone());
    let mut ingress: Vec<String> = pods().chain([UPLINK.into()]).collect();
    let mut egress = Vec::new();
    if program.starts_with(HOST_ROUTING) {
        ingress.extend(cloud.injected.detours().map(|(device, _)| device.into()));
    } else {
        egress.extend(pods());
    }
    let at = |names: Vec<String>, direction| names.into_iter().map(move |name| (name, direction));
    at(ingress, TcAttachType::Ingress).chain(at(egress, TcAttachType::Egress)).collect()
}

/// By the back end that the agents are told to use, else by TCX where the kernel has it.
fn attach(
    ebpf: &mut Ebpf,
    name: &str,
    places: Vec<(String, TcAttachType)>,
    order: fn() -> LinkOrder,
    plan: &Plan,
    cloud: &Cloud,
) -> Result<()> {
    let program: &mut SchedClassifier =
        ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().with_context(|| format!("the kernel refused {name}"))?;
    let clsact = plan.tc_backend.as_deref().map_or_else(
        || SchedClassifier::query_tcx(UPLINK, TcAttachType::Ingress).is_err(),
        |how| how == "clsact",
    );
    for (interface, direction) in places {
        if clsact {
            by_clsact(program, &interface, direction)
        } else {
            let pin = format!("{}-{interface}-{direction:?}", cloud.name).to_lowercase();
            let pin = state::bpffs(&plan.name).join(pin);
            by_tcx(program, &interface, direction, order(), &pin)
        }
        .with_context(|| format!("attaching {name} to {interface}, {direction:?}"))?;
    }
    Ok(())
}

/// The link is pinned, as Cilium does it, so that a lab that stays keeps it.
fn by_tcx(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
    order: LinkOrder,
    pin: &Path,
) -> Result<()> {
    let options = TcAttachOptions::TcxOrder(order);
    let id = program.attach_with_options(interface, direction, options).context("by TCX")?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin).with_context(|| format!("pinning its link as {}", pin.display()))?;
    Ok(())
}

/// At priority 1, as Cilium does it. Of filters that share a priority the last one added comes first, so when this is
/// called decides the order.
fn by_clsact(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
) -> Result<()> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other.context("adding a clsact qdisc")?,
    }
    let options = NlOptions { priority: 1, handle: TcHandle::from(1), ..NlOptions::default() };
    let options = TcAttachOptions::Netlink(options);
    let id = program.attach_with_options(interface, direction, options).context("by clsact")?;
    // The filter is to stay.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

fn tell_ways(ebpf: &mut Ebpf, plan: &Plan, cloud: &Cloud) -> Result<()> {
    let index = |name: &str| if_nametoindex(name).with_context(|| format!("no interface {name}"));
    let mut destinations: LpmTrie<&mut MapData, [u8; 16], u32> =
        ebpf.map_mut("DESTINATIONS").context("no map DESTINATIONS")?.try_into()?;
    for pod in &cloud.pods {
        for address in [pod.ipv4.into(), pod.ipv6.into()] {
            destinations.insert(&key(Prefix::host(address)), index(&pod.interface)?, 0)?;
        }
    }
    for other in plan.clouds.iter().filter(|other| other.number != cloud.number) {
        for prefix in other.prefixes() {
            destinations.insert(&key(prefix), AWAY, 0)?;
        }
    }
    let mut hops: HashMap<&mut MapData, u32, Hop> =
        ebpf.map_mut("HOPS").context("no map HOPS")?.try_into()?;
    for (interface, way) in ways(cloud) {
        let number = |name: Option<&str>| name.map_or(Ok(0), index);
        let (away, detour) = (number(way.away)?, number(way.detour)?);
        let hop = Hop { away, detour, bare: u32::from(way.bare) };
        hops.insert(index(interface)?, hop, 0)?;
    }
    Ok(())
}

/// What [`Hop`] says, by interface name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Way<'a> {
    away: Option<&'a str>,
    detour: Option<&'a str>,
    bare: bool,
}

/// The way on from every interface that packets come in by.
fn ways(cloud: &Cloud) -> Vec<(&str, Way<'static>)> {
    let injected = &cloud.injected;
    let out = if injected.egress.is_some() { EGRESS } else { UPLINK };
    let from_pod = Way { away: Some(out), ..Way::default() };
    let from_uplink = Way { detour: injected.ingress.map(|_| INGRESS), bare: true, away: None };
    let from_detour = Way { away: Some(UPLINK), bare: true, detour: None };
    let pods = cloud.pods.iter().map(|pod| (pod.interface.as_str(), from_pod));
    let detours = injected.detours().map(|(device, _)| (device, from_detour));
    pods.chain([(UPLINK, from_uplink)]).chain(detours).collect()
}

fn key(prefix: Prefix) -> Key<[u8; 16]> {
    match prefix.address {
        IpAddr::V4(v4) => Key::new(96 + u32::from(prefix.bits), v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => Key::new(prefix.bits.into(), v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::lab::args::LabArgs;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        lab: LabArgs,
    }

    #[test]
    fn a_delay_is_on_the_way_of_what_is_redirected() {
        let flags = ["lab", "--cni=ebpf", "--inject=aws:egress=1ms,aws:ingress=1ms"];
        let plan = Plan::new(&Flags::parse_from(flags).lab).unwrap();
        let [aws, gcp] = [0, 1].map(|cloud| ways(&plan.clouds[cloud]));
        let of = |ways: &[(&str, Way<'static>)], name: &str| {
            ways.iter().find(|(interface, _)| *interface == name).map(|(_, way)| *way)
        };
        assert_eq!(of(&aws, "vethpod1").unwrap().away, Some(EGRESS));
        assert_eq!(of(&aws, EGRESS).unwrap().away, Some(UPLINK));
        assert_eq!(of(&aws, UPLINK).unwrap().detour, Some(INGRESS));
        assert_eq!(of(&aws, INGRESS).unwrap().detour, None);
        assert_eq!(of(&gcp, "vethpod1").unwrap().away, Some(UPLINK));
        assert_eq!(of(&gcp, INGRESS), None);
    }
}

//! What a lab consists of: names and addresses, worked out from the flags. No I/O.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    args::{LabArgs, Place},
    cni::{Cni, Impostor, Order},
};
use crate::{
    load::LoadKind,
    wire::{
        config::{Prefix, StandingQueue},
        filler::QUEUE_RATE,
    },
};

/// Device of a node's way out.
pub(crate) const UPLINK: &str = "wan0";
/// All that a node may have.
const UPLINKS: [&str; 2] = [UPLINK, "wan1"];
/// The bridge that pods are on, where there is one.
pub(crate) const BRIDGE: &str = "cni0";
/// Device that delays packets on their way out of the node.
pub(crate) const EGRESS: &str = "egress0";
/// Device that delays packets on their way in.
pub(crate) const INGRESS: &str = "ingress0";
/// Where the aggregator listens in the management network.
pub(crate) const AGGREGATOR: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 77, 254)), 7171);
/// Port of the endpoints for metrics.
pub(crate) const METRICS_PORT: u16 = 9464;
/// Where the aggregator exports to by OTLP.
pub(crate) const OTLP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4317);
/// Port of the load's servers.
pub(crate) const LOAD_PORT: u16 = 8080;

const PODS: u8 = 2;
/// Real ones, so that reports know prices; all in Virginia, so that hardly any round trip one may ask for is shorter than
/// light takes between them, which a report would rightly call impossible.
const REGIONS: [(&str, &str); 3] = [("aws", "us-east-1"), ("gcp", "us-east4"), ("azure", "eastus")];

/// A whole lab.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// Its name.
    pub(crate) name: String,
    /// Namespace of the management network.
    pub(crate) mgmt: String,
    /// How packets get from pod to uplink and back.
    pub(crate) cni: Cni,
    /// Another program that ends the chain, and where.
    pub(crate) impostor: Option<(Impostor, Order)>,
    /// Whether clients ask services.
    pub(crate) service: bool,
    /// Whether agents may enter pods' network namespaces.
    pub(crate) pod_namespaces: bool,
    /// Whether agents may see what pods' sockets are given.
    pub(crate) pod_sockets: bool,
    /// Whether the aggregator makes load tests.
    #[serde(default)]
    pub(crate) load_tests: bool,
    /// Whether agents and aggregator tell metrics.
    #[serde(default)]
    pub(crate) metrics: bool,
    /// How agents attach classifiers, unless they choose.
    pub(crate) tc_backend: Option<String>,
    /// How agents see departures from uplinks, unless they choose.
    pub(crate) uplink_out: Option<String>,
    /// One node each.
    pub(crate) clouds: Vec<Cloud>,
}

/// One cloud's node.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cloud {
    /// Cloud provider.
    pub(crate) name: String,
    /// Its region.
    pub(crate) region: String,
    /// Name of its node.
    pub(crate) node: String,
    /// Namespace of its node.
    pub(crate) netns: String,
    /// 1 for the first.
    pub(crate) number: u8,
    /// Devices of its ways out.
    pub(crate) uplinks: Vec<String>,
    /// Pods on the node.
    pub(crate) pods: Vec<Pod>,
    /// Time added on the node.
    pub(crate) injected: Injected,
    /// How far the agent's clock is ahead.
    pub(crate) clock_offset: Duration,
    /// How fast the agent's clock runs.
    pub(crate) clock_ppm: f64,
}

/// Time added on a node.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Injected {
    /// Between pod interface and uplink.
    pub(crate) egress: Option<Duration>,
    /// Between uplink and pod interface.
    pub(crate) ingress: Option<Duration>,
    /// In the pods' application.
    pub(crate) pod: Option<Duration>,
    /// A queue that always lasts the same time.
    pub(crate) queue: Option<StandingQueue>,
    /// Rate of the uplink's qdisc.
    pub(crate) rate: Option<u64>,
}

impl Injected {
    /// Devices that delay packets inside the node, and by how much.
    pub(crate) fn detours(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let egress = self.egress.map(|delay| (EGRESS, delay));
        egress.into_iter().chain(self.ingress.map(|delay| (INGRESS, delay)))
    }
}

/// One pod.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Pod {
    /// Name, unique in the lab.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) netns: String,
    /// The node's end of its interface.
    pub(crate) interface: String,
    /// IPv4 address.
    pub(crate) ipv4: Ipv4Addr,
    /// IPv6 address.
    pub(crate) ipv6: Ipv6Addr,
}

impl Plan {
    /// Works out the lab that the flags ask for.
    pub(crate) fn new(args: &LabArgs) -> Result<Self> {
        let names: HashSet<_> = args.clouds.iter().collect();
        ensure!(names.len() == args.clouds.len(), "--clouds names one twice");
        ensure!(
            (1..=5).contains(&args.clouds.len()),
            "--clouds takes 1 to 5 names, not {}",
            args.clouds.len()
        );
        let clouds = args.clouds.iter().zip(1..);
        let mut plan = Self {
            name: args.name.clone(),
            mgmt: format!("xc-{}-mgmt", args.name),
            cni: args.cni,
            pod_namespaces: args.pod_namespaces,
            pod_sockets: args.pod_sockets,
            impostor: args.impostor.map(|impostor| (impostor, args.impostor_place)),
            service: args.service,
            load_tests: args.load_tests,
            metrics: args.metrics,
            tc_backend: args.tc_backend.clone(),
            uplink_out: args.uplink_out.clone(),
            clouds: clouds
                .map(|(cloud, number)| Cloud::new(args, cloud, number))
                .collect::<Result<_>>()?,
        };
        plan.apply(args)?;
        Ok(plan)
    }

    fn apply(&mut self, args: &LabArgs) -> Result<()> {
        self.check(args)?;
        for injection in &args.inject {
            let cloud = self.cloud_mut(&injection.cloud, "--inject")?;
            cloud.inject(injection.place)?;
        }
        if args.load == Some(LoadKind::Bulk) && self.clouds.iter().any(|c| c.injected.pod.is_some())
        {
            bail!(
                "--inject CLOUD:pod needs answers that can wait: use --load rr or http, not bulk"
            );
        }
        for (cloud, offset) in &args.clock_offset {
            self.cloud_mut(cloud, "--clock-offset")?.clock_offset = *offset;
        }
        for (cloud, ppm) in &args.clock_ppm {
            self.cloud_mut(cloud, "--clock-ppm")?.clock_ppm = *ppm;
        }
        for kill in args.kill.iter().filter(|k| k.who != "aggregator") {
            self.cloud_mut(&kill.who, "--kill")?;
        }
        Ok(())
    }

    /// Refuses what does not go together.
    fn check(&self, args: &LabArgs) -> Result<()> {
        ensure!(
            self.cni == Cni::Routed || self.impostor.is_none(),
            "--impostor stands in the way of packets that the stack routes: use it with --cni routed"
        );
        ensure!(
            !(args.verify && self.redirects()),
            "--verify captures at the node's end of pod interfaces, which redirected packets do not pass"
        );
        ensure!(
            !(args.verify && (args.uplinks > 1 || !matches!(self.cni, Cni::Routed | Cni::Bridge))),
            "--verify knows packets at one uplink and as the pods sent them: not with --uplinks or this --cni"
        );
        ensure!(
            !(self.service && matches!(self.cni, Cni::Masquerade | Cni::Ebpf | Cni::Netkit)),
            "--service translates in the node's stack, once: use it with another --cni"
        );
        ensure!(
            !(matches!(self.cni, Cni::Wireguard | Cni::Ipsec)
                && args
                    .inject
                    .iter()
                    .any(|i| matches!(i.place, Place::Egress(_) | Place::Ingress(_)))),
            "--inject CLOUD:egress and ingress lead packets through this program, which gives up the buffer that encrypted \
             packets are known by: not with this --cni"
        );
        ensure!(
            !(args.uplinks > 1 && self.redirects()),
            "--uplinks 2 leaves the choice to the node's stack, which redirected packets do not pass"
        );
        Ok(())
    }

    /// Whether packets are redirected past the node's stack.
    pub(crate) fn redirects(&self) -> bool {
        self.cni == Cni::Ebpf
            || matches!(self.impostor, Some((Impostor::Redirect | Impostor::Established, _)))
    }

    fn cloud_mut(&mut self, name: &str, flag: &str) -> Result<&mut Cloud> {
        let known: Vec<_> = self.clouds.iter().map(|c| c.name.clone()).collect();
        self.clouds.iter_mut().find(|c| c.name == name).with_context(|| {
            format!("{flag}: no cloud {name:?}; --clouds has {}", known.join(", "))
        })
    }

    /// Every namespace, in the order in which they are made.
    pub(crate) fn namespaces(&self) -> Vec<&str> {
        let nodes = self.clouds.iter().flat_map(|cloud| {
            let pods = cloud.pods.iter().map(|pod| pod.netns.as_str());
            std::iter::once(cloud.netns.as_str()).chain(pods)
        });
        std::iter::once(self.mgmt.as_str()).chain(nodes).collect()
    }

    /// Namespace of a node, a pod or the management network, by its name.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let clouds = self.clouds.iter();
        let pods = self.clouds.iter().flat_map(|c| &c.pods);
        clouds
            .filter(|c| c.name == name || c.node == name)
            .map(|c| c.netns.as_str())
            .chain(pods.filter(|p| p.name == name).map(|p| p.netns.as_str()))
            .chain((name == "mgmt").then_some(self.mgmt.as_str()))
            .next()
    }

    /// The other nodes.
    pub(crate) fn others(&self, cloud: &Cloud) -> impl Iterator<Item = &Cloud> {
        self.clouds.iter().filter(move |other| other.number != cloud.number)
    }

    /// Names that `find` knows.
    pub(crate) fn names(&self) -> Vec<&str> {
        let nodes = self.clouds.iter().flat_map(|cloud| {
            let pods = cloud.pods.iter().map(|pod| pod.name.as_str());
            std::iter::once(cloud.node.as_str()).chain(pods)
        });
        nodes.chain(["mgmt"]).collect()
    }
}

impl Cloud {
    fn new(args: &LabArgs, name: &str, number: u8) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        ensure!(
            (1..=8).contains(&name.len()) && name.chars().all(plain) && name != "mgmt",
            "--clouds: {name:?} is not a name of 1 to 8 lower-case letters and digits"
        );
        let region = REGIONS.iter().find(|(cloud, _)| *cloud == name);
        let netns = format!("xc-{}-{name}", args.name);
        Ok(Self {
            name: name.into(),
            region: region.map_or("region-1", |(_, region)| region).into(),
            node: format!("{name}-node"),
            number,
            uplinks: UPLINKS[..usize::from(args.uplinks)].iter().map(|&u| u.into()).collect(),
            pods: (1..=PODS).map(|pod| Pod::new(name, &netns, number, pod)).collect(),
            netns,
            injected: Injected::default(),
            clock_offset: Duration::ZERO,
            clock_ppm: 0.0,
        })
    }

    fn inject(&mut self, place: Place) -> Result<()> {
        let i = &mut self.injected;
        let twice = match place {
            Place::Egress(delay) => i.egress.replace(delay).is_some(),
            Place::Ingress(delay) => i.ingress.replace(delay).is_some(),
            Place::Pod(delay) => i.pod.replace(delay).is_some(),
            Place::Rate(rate) => i.rate.replace(rate).is_some() || i.queue.is_some(),
            Place::Queue(delay) => i.queue.replace(standing(delay)?).is_some() || i.rate.is_some(),
        };
        ensure!(!twice, "--inject: {} has this place twice", self.name);
        Ok(())
    }

    /// Address of the uplink.
    pub(crate) fn uplink_ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(100, 64, 0, self.number)
    }

    /// Address of the uplink.
    pub(crate) fn uplink_ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, self.number.into())
    }

    /// Source addresses of the uplinks beyond the first.
    pub(crate) fn further_ipv4(&self, uplink: usize) -> Ipv4Addr {
        Ipv4Addr::new(100, 64, u8::try_from(uplink).unwrap_or(u8::MAX), self.number)
    }

    /// Address in the management network.
    pub(crate) fn mgmt_ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77, self.number)
    }

    /// The bridge's address, which pods on it have for a gateway.
    pub(crate) fn gateway_ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 1)
    }

    /// The bridge's address, which pods on it have for a gateway.
    pub(crate) fn gateway_ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.number.into(), 0, 0, 0, 0, 0, 1)
    }

    /// Addresses of the pods.
    pub(crate) fn pod_prefixes(&self) -> [Prefix; 2] {
        let v4 = Ipv4Addr::new(10, self.number, 0, 0);
        let v6 = Ipv6Addr::new(0xfd00, self.number.into(), 0, 0, 0, 0, 0, 0);
        [(v4.into(), 16), (v6.into(), 64)].map(|(address, bits)| Prefix { address, bits })
    }

    /// Everything that is reached through the uplink.
    pub(crate) fn prefixes(&self) -> Vec<Prefix> {
        let further = (1..self.uplinks.len()).map(|uplink| self.further_ipv4(uplink).into());
        let own = [self.uplink_ipv4().into(), self.uplink_ipv6().into()].into_iter().chain(further);
        self.pod_prefixes().into_iter().chain(own.map(Prefix::host)).collect()
    }
}

/// A standing queue of `delay`.
fn standing(delay: Duration) -> Result<StandingQueue> {
    let range = Duration::from_micros(200)..=Duration::from_millis(100);
    ensure!(
        range.contains(&delay),
        "--inject CLOUD:queue takes 200us to 100ms, or a rate such as 20mbit"
    );
    Ok(StandingQueue { delay_ns: u64::try_from(delay.as_nanos())?, rate: QUEUE_RATE })
}

impl Pod {
    fn new(cloud: &str, node: &str, cloud_number: u8, number: u8) -> Self {
        let host = 10 + number;
        Self {
            name: format!("{cloud}-pod{number}"),
            netns: format!("{node}-pod{number}"),
            interface: format!("vethpod{number}"),
            ipv4: Ipv4Addr::new(10, cloud_number, 0, host),
            ipv6: Ipv6Addr::new(0xfd00, cloud_number.into(), 0, 0, 0, 0, 0, host.into()),
        }
    }

    /// Address of the service in front of it.
    pub(crate) fn service(&self, ipv6: bool) -> IpAddr {
        if ipv6 {
            let [_, cloud, .., host] = self.ipv6.segments();
            Ipv6Addr::new(0xfd00, 0x5e, cloud, 0, 0, 0, 0, host).into()
        } else {
            let [_, cloud, _, host] = self.ipv4.octets();
            Ipv4Addr::new(10, 96, cloud, host).into()
        }
    }

    /// Address of the family wanted.
    pub(crate) fn address(&self, ipv6: bool) -> IpAddr {
        if ipv6 { self.ipv6.into() } else { self.ipv4.into() }
    }
}

#[cfg(test)]
mod tests;

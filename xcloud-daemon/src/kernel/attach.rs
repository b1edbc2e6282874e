//! Puts the programs on interfaces and takes them off. Dropping [`Programs`] takes all of them off.

mod departure;

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result};
use aya::{
    Btf, Ebpf,
    maps::{Array, Map, MapData, PerCpuArray},
    programs::{
        BtfTracePoint, KProbe, ProgramError, RawTracePoint, SchedClassifier, TcAttachType,
        raw_trace_point::RawTracePointLink,
    },
};
use aya_log::EbpfLogger;
use xcloud_common::{config::Config, counter::Counters};

use self::departure::{Departure, HARD_XMIT, TCP_PROBE, XMIT};
use super::{
    cost,
    drain::Ring,
    egress::Egress,
    ifaces::{Interface, LinkLayer, Role},
    inside::Inside,
    object::{self, Extras},
    pin::{Owner, Pin, Predecessor},
    probe::{DepartureHook, Plan},
    stages,
    tc::{Hook, Place, Spot},
    unfinished::Tables,
};

/// Every program that is put on interfaces.
pub const CLASSIFIERS: [&str; 12] = [
    "pod_out",
    "pod_out_ip",
    "pod_out_inside",
    "pod_in",
    "pod_in_ip",
    "pod_in_inside",
    "uplink_in",
    "uplink_in_ip",
    "uplink_queue",
    "uplink_queue_ip",
    "uplink_out",
    "uplink_out_ip",
];

/// The loaded programs and where they are attached.
pub struct Programs {
    pub(super) ebpf: Ebpf,
    pub(super) plan: Plan,
    control: Array<MapData, Config>,
    counts: PerCpuArray<MapData, Counters>,
    attached: BTreeMap<u32, Attached>,
    /// Pods with hooks in their own namespace, and their interface's name on the node.
    pub(super) inside: BTreeMap<u32, (String, Inside)>,
    tables: Tables,
    departure: Option<Departure>,
    /// The tracepoint at pods' sockets, while a pod is seen there.
    sockets: Option<RawTracePointLink>,
    /// The stage profile's probes, where it was asked for.
    pub(super) stages: Option<stages::Probes>,
    pin: Option<Pin>,
    log: EbpfLogger<&'static dyn log::Log>,
}

#[derive(Debug)]
struct Attached {
    interface: Interface,
    hooks: Vec<Hook>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").field("attached", &self.attached).finish_non_exhaustive()
    }
}

impl Programs {
    /// Loads what the plan needs and hooks the uplinks' departure; interfaces come later.
    ///
    /// # Errors
    /// The kernel refuses a map, a program or the tracepoint.
    pub fn load(plan: &Plan, config: Config, owner: &Owner) -> Result<Self> {
        let mut ebpf = object::load_for(Extras { stages: plan.stages, account: plan.account })?;
        let control =
            Array::try_from(ebpf.take_map(".data.config").context("no map .data.config")?)?;
        let counts = ebpf.take_map("COUNTS").context("no map COUNTS")?;
        let pin = match &counts {
            Map::PerCpuArray(data) => Pin::new(owner, data)
                .inspect_err(|error| {
                    tracing::warn!("a kill of this agent will lose its last figures: {error:#}");
                })
                .ok(),
            _ => None,
        };
        let counts = PerCpuArray::try_from(counts)?;
        let log = EbpfLogger::init(&mut ebpf).context("reading the kernel programs' log")?;
        let mut programs = Self {
            tables: Tables::of(&ebpf)?,
            ebpf,
            plan: plan.clone(),
            control,
            counts,
            attached: BTreeMap::new(),
            inside: BTreeMap::new(),
            departure: None,
            sockets: None,
            stages: None,
            pin,
            log,
        };
        programs.set_config(config)?;
        programs.load_all()?;
        programs.attach_departure()?;
        Ok(programs)
    }

    fn load_all(&mut self) -> Result<()> {
        match self.plan.uplink_out {
            DepartureHook::TpBtf => {
                let program: &mut BtfTracePoint = program(&mut self.ebpf, "uplink_xmit")?;
                program.load(XMIT, &Btf::from_sys_fs()?).with_context(|| refused("uplink_xmit"))?;
            }
            DepartureHook::RawTp => {
                let program: &mut RawTracePoint = program(&mut self.ebpf, "uplink_xmit_raw")?;
                program.load().with_context(|| refused("uplink_xmit_raw"))?;
            }
            DepartureHook::Kprobe => {
                let program: &mut KProbe = program(&mut self.ebpf, "uplink_xmit_kprobe")?;
                program.load().with_context(|| refused("uplink_xmit_kprobe"))?;
            }
            DepartureHook::TcEgress | DepartureHook::None => {}
        }
        for role in [Role::Pod, Role::Uplink] {
            for (name, _) in wanted(&self.plan, role, LinkLayer::Ethernet) {
                self.classifier(name)?;
            }
        }
        Ok(())
    }

    /// A classifier, loaded. Those for bare IP wait for the first such interface: verifying them takes as long as all
    /// else at the start.
    fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        let program: &mut SchedClassifier = program(&mut self.ebpf, name)?;
        if program.fd().is_err() {
            program.load().with_context(|| refused(name))?;
        }
        Ok(program)
    }

    /// Puts the hooks of its role on an interface and says which; what was there of ours is replaced.
    ///
    /// # Errors
    /// The interface is gone or the kernel refuses; then nothing is left on it.
    pub fn attach(&mut self, interface: &Interface) -> Result<Vec<String>> {
        self.detach(interface.index);
        let mut hooks = Vec::new();
        for (name, direction) in wanted(&self.plan, interface.role, interface.link_layer) {
            hooks.push(self.attach_one(interface, name, direction)?);
        }
        let names = hooks.iter().map(|hook| hook.program.to_owned()).collect();
        let attached = Attached { interface: interface.clone(), hooks };
        self.attached.insert(interface.index, attached);
        Ok(names)
    }

    fn attach_one(
        &mut self,
        Interface { index, name: interface, role, .. }: &Interface,
        name: &'static str,
        direction: TcAttachType,
    ) -> Result<Hook> {
        let backend = match role {
            Role::Pod => self.plan.pod_hook,
            Role::Uplink => self.plan.uplink_in,
        };
        let program = self.classifier(name)?;
        let spot = Spot { ifindex: *index, interface, direction };
        Hook::attach(program, name, spot, backend)
            .with_context(|| format!("attaching {name} to {interface}"))
    }

    /// Takes the hooks off an interface; none there is no error, and with an interface its hooks go too.
    pub fn detach(&mut self, ifindex: u32) {
        self.inside.remove(&ifindex);
        self.attached.remove(&ifindex);
    }

    /// Says which hooks of an interface other agents displaced, and from where they run now; none when all is well.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn displaced(&mut self, ifindex: u32) -> Result<Vec<(&'static str, Place)>> {
        if let Some((name, inside)) = self.inside.get_mut(&ifindex) {
            return inside.displaced().with_context(|| format!("looking into the pod of {name}"));
        }
        let mut displaced = vec![];
        for hook in self.attached.get(&ifindex).into_iter().flat_map(|attached| &attached.hooks) {
            let place = hook.place().with_context(|| {
                format!("asking where {} is on interface {ifindex}", hook.program)
            })?;
            if place != Place::First {
                displaced.push((hook.program, place));
            }
        }
        Ok(displaced)
    }

    /// Puts the named hooks of an interface first again; the others stay as they are.
    ///
    /// # Errors
    /// The interface is gone or the kernel refuses; then nothing is left on it.
    pub fn put_first(&mut self, ifindex: u32, names: &[&str]) -> Result<()> {
        let Some(Attached { interface, mut hooks }) = self.attached.remove(&ifindex) else {
            return self.put_first_inside(ifindex);
        };
        for at in 0..hooks.len() {
            if names.contains(&hooks[at].program) {
                // The kernel takes a program once at a place, so it must go before it can come.
                let (program, direction) = hooks.remove(at).take_off();
                hooks.insert(at, self.attach_one(&interface, program, direction)?);
            }
        }
        self.attached.insert(ifindex, Attached { interface, hooks });
        Ok(())
    }

    /// Replaces what the programs are told.
    ///
    /// # Errors
    /// The kernel refuses the map update.
    pub fn set_config(&mut self, config: Config) -> Result<()> {
        self.control.set(0, config, 0).context("configuring the kernel programs")
    }

    /// Boot id and final counters of an earlier life that was killed.
    #[must_use]
    pub fn predecessor(&self) -> Option<Predecessor> {
        self.pin.as_ref().and_then(|pin| pin.predecessor)
    }

    /// An aggregator took the predecessor's figures.
    pub fn predecessor_was_told(&mut self) {
        if let Some(pin) = &mut self.pin {
            pin.told();
        }
    }

    /// Counters since load, in the order of [`xcloud_common::counter::Counter`], summed over CPUs.
    ///
    /// # Errors
    /// The kernel refuses the map lookup.
    pub fn counters(&self) -> Result<Counters> {
        sum_counters(&self.counts)
    }

    /// The ring of samples; can be taken once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn take_ring(&mut self) -> Result<Ring> {
        Ring::take(&mut self.ebpf)
    }

    /// The account of what leaves by the uplinks, which the plan must have asked for; can be taken once.
    ///
    /// # Errors
    /// It was taken before, or the kernel does not show it.
    pub fn take_egress(&mut self) -> Result<Egress> {
        Egress::take(&mut self.ebpf)
    }

    /// Where exchanges wait.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What the kernel counted of each program.
    ///
    /// # Errors
    /// It does not tell.
    pub fn run_times(&self) -> Result<Vec<cost::Runs>> {
        cost::run_times(&self.ebpf)
    }

    /// Hooks that an interface should have, by what they are for.
    pub fn hooks_for(&self, interface: &Interface) -> impl Iterator<Item = &'static str> {
        let wanted = wanted(&self.plan, interface.role, interface.link_layer).into_iter();
        wanted.map(|(name, _)| name.trim_end_matches("_ip"))
    }

    /// Whether the tracepoint at the uplinks' departure is hooked; none where the plan has no such hook.
    #[must_use]
    pub fn departs(&self) -> Option<bool> {
        use DepartureHook::{Kprobe, RawTp, TpBtf};
        matches!(self.plan.uplink_out, TpBtf | RawTp | Kprobe).then_some(self.departure.is_some())
    }

    /// Passes on what the kernel programs logged: rare events, at level debug.
    pub fn pass_log_on(&mut self) {
        self.log.flush();
    }

    /// What is hooked where, for status.
    #[must_use]
    pub fn hooks(&self) -> Vec<String> {
        let departure = self.departure.as_ref().map(|departure| match departure {
            Departure::TpBtf(_) => format!("uplink_out=tp_btf/{XMIT}"),
            Departure::RawTp(_) => format!("uplink_out=raw_tp/{XMIT}"),
            Departure::Kprobe(_) => format!("uplink_out=kprobe/{HARD_XMIT}"),
        });
        let interfaces = self.attached.values().flat_map(|Attached { interface, hooks }| {
            hooks.iter().map(|hook| format!("{}@{}", hook.program, interface.name))
        });
        let inside = self.inside.values().flat_map(|(name, _)| {
            ["pod_out", "pod_in"].map(|hook| format!("{hook}@{name}, inside the pod"))
        });
        let sockets = self.sockets.iter().map(|_| format!("pod_in=raw_tp/{TCP_PROBE}"));
        departure.into_iter().chain(sockets).chain(interfaces).chain(inside).collect()
    }
}

/// Sums a per-CPU counter map.
pub(super) fn sum_counters(counts: &PerCpuArray<MapData, Counters>) -> Result<Counters> {
    let mut totals = Counters::default();
    for cpu in counts.get(&0, 0).context("reading the kernel counters")?.iter() {
        for (total, count) in totals.iter_mut().zip(cpu) {
            *total += count;
        }
    }
    Ok(totals)
}

/// Programs for an interface, with their direction as the node's side of the interface sees it: what leaves a pod
/// comes in.
fn wanted(plan: &Plan, role: Role, layer: LinkLayer) -> Vec<(&'static str, TcAttachType)> {
    use TcAttachType::{Egress, Ingress};
    let ethernet = layer == LinkLayer::Ethernet;
    let pick = |framed, bare| if ethernet { framed } else { bare };
    match role {
        Role::Pod => {
            vec![(pick("pod_out", "pod_out_ip"), Ingress), (pick("pod_in", "pod_in_ip"), Egress)]
        }
        Role::Uplink => {
            let mut programs = vec![(pick("uplink_in", "uplink_in_ip"), Ingress)];
            if plan.uplink_out == DepartureHook::TcEgress {
                programs.push((pick("uplink_out", "uplink_out_ip"), Egress));
            } else if plan.queue_hook {
                programs.push((pick("uplink_queue", "uplink_queue_ip"), Egress));
            }
            programs
        }
    }
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

pub(super) fn refused(name: &str) -> String {
    format!("the kernel refused program {name}")
}

//! Puts the programs on interfaces and takes them off. Dropping [`Programs`] takes all of them off.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf,
    maps::{Array, Map, MapData, PerCpuArray},
    programs::{
        BtfTracePoint, KProbe, LinkOrder, ProgramError, RawTracePoint, SchedClassifier,
        TcAttachType,
        tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle},
    },
};
use aya_log::EbpfLogger;
use xcloud_common::{config::Config, counter::Counters};

use super::{
    drain::Ring,
    ifaces::{Interface, LinkLayer, Role},
    object,
    pin::{Owner, Pin, Predecessor},
    probe::{DepartureHook, Plan, TcHook},
    stages,
};

const XMIT: &str = "net_dev_start_xmit";
const HARD_XMIT: &str = "dev_hard_start_xmit";

/// The filter handle used where TCX cannot be had: never 1, which automatic numbering takes, so that no CNI's own
/// filter is mistaken for ours or ours for its.
const CLSACT_HANDLE: u32 = 0xc0fe;

/// The loaded programs and where they are attached.
pub struct Programs {
    ebpf: Ebpf,
    plan: Plan,
    control: Array<MapData, Config>,
    counts: PerCpuArray<MapData, Counters>,
    attached: BTreeMap<u32, Attached>,
    stages: Vec<stages::Told>,
    pin: Option<Pin>,
    log: EbpfLogger<&'static dyn log::Log>,
}

#[derive(Debug)]
struct Attached {
    interface: Interface,
    links: Vec<(&'static str, SchedClassifierLinkId)>,
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
        let mut ebpf = object::load_for(plan.stages)?;
        let control = Array::try_from(ebpf.take_map("CONFIG").context("no map CONFIG")?)?;
        let counts = ebpf.take_map("COUNTS").context("no map COUNTS")?;
        let pin = match &counts {
            Map::PerCpuArray(data) => Pin::new(owner, data)
                .inspect_err(|error| {
                    log::warn!("a kill of this agent will lose its last figures: {error:#}");
                })
                .ok(),
            _ => None,
        };
        let counts = PerCpuArray::try_from(counts)?;
        let log = EbpfLogger::init(&mut ebpf).context("reading the kernel programs' log")?;
        let attached = BTreeMap::new();
        let stages = Vec::new();
        let mut programs =
            Self { ebpf, plan: plan.clone(), control, counts, attached, stages, pin, log };
        programs.set_config(config)?;
        programs.load_classifiers()?;
        programs.hook_departure()?;
        Ok(programs)
    }

    fn load_classifiers(&mut self) -> Result<()> {
        for role in [Role::Pod, Role::Uplink] {
            for layer in [LinkLayer::Ethernet, LinkLayer::L3] {
                for (name, _) in wanted(&self.plan, role, layer) {
                    let program: &mut SchedClassifier = program(&mut self.ebpf, name)?;
                    program.load().with_context(|| refused(name))?;
                }
            }
        }
        Ok(())
    }

    fn hook_departure(&mut self) -> Result<()> {
        match self.plan.uplink_out {
            DepartureHook::TpBtf => {
                let program: &mut BtfTracePoint = program(&mut self.ebpf, "uplink_xmit")?;
                program.load(XMIT, &Btf::from_sys_fs()?).with_context(|| refused("uplink_xmit"))?;
                program.attach().with_context(|| format!("attaching to tracepoint {XMIT}"))?;
            }
            DepartureHook::RawTp => {
                let program: &mut RawTracePoint = program(&mut self.ebpf, "uplink_xmit_raw")?;
                program.load().with_context(|| refused("uplink_xmit_raw"))?;
                program.attach(XMIT).with_context(|| format!("attaching to tracepoint {XMIT}"))?;
            }
            DepartureHook::Kprobe => {
                let program: &mut KProbe = program(&mut self.ebpf, "uplink_xmit_kprobe")?;
                program.load().with_context(|| refused("uplink_xmit_kprobe"))?;
                program
                    .attach(HARD_XMIT, 0)
                    .with_context(|| format!("attaching to function {HARD_XMIT}"))?;
            }
            DepartureHook::TcEgress | DepartureHook::None => {}
        }
        Ok(())
    }

    /// Puts the hooks of its role on an interface and says which; what was there of ours is replaced.
    ///
    /// # Errors
    /// The interface is gone or the kernel refuses; then nothing is left on it.
    pub fn attach(&mut self, interface: &Interface) -> Result<Vec<String>> {
        self.detach(interface.index);
        let mut attached = Attached { interface: interface.clone(), links: Vec::new() };
        let result = self.attach_all(&mut attached);
        let names = attached.links.iter().map(|(program, _)| (*program).to_owned()).collect();
        self.attached.insert(interface.index, attached);
        if let Err(error) = result {
            self.detach(interface.index);
            return Err(error);
        }
        Ok(names)
    }

    fn attach_all(&mut self, attached: &mut Attached) -> Result<()> {
        let Interface { name, role, link_layer, .. } = &attached.interface;
        for (program_name, direction) in wanted(&self.plan, *role, *link_layer) {
            let backend = match role {
                Role::Pod => self.plan.pod_hook,
                Role::Uplink => self.plan.uplink_in,
            };
            let program: &mut SchedClassifier = program(&mut self.ebpf, program_name)?;
            let link = attach_one(program, name, direction, backend)
                .with_context(|| format!("attaching {program_name} to {name}"))?;
            attached.links.push((program_name, link));
        }
        Ok(())
    }

    /// Takes the hooks off an interface; none there is no error, and with an interface its hooks go too.
    pub fn detach(&mut self, ifindex: u32) {
        let Some(attached) = self.attached.remove(&ifindex) else { return };
        for (name, link) in attached.links {
            let result = program::<SchedClassifier>(&mut self.ebpf, name)
                .and_then(|program| Ok(program.detach(link)?));
            if let Err(error) = result {
                log::debug!("detaching {name} from {}: {error:#}", attached.interface.name);
            }
        }
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

    /// Loads and attaches the stage profile's probes, which the plan must have asked for; returns what they find out.
    ///
    /// # Errors
    /// The kernel has no kprobes, or refuses a program.
    pub fn start_stages(&mut self) -> Result<stages::StageCells> {
        self.stages = stages::attach(&mut self.ebpf)?;
        stages::StageCells::take(&mut self.ebpf)
    }

    /// Tries the stage profile's functions again that were not there; says what is probed and what is not.
    pub fn retry_stages(&mut self) {
        stages::retry(&mut self.ebpf, &mut self.stages);
    }

    /// Which functions the stage profile probes.
    #[must_use]
    pub fn stages(&self) -> &[stages::Told] {
        &self.stages
    }

    /// Runs and nanoseconds of the stage profile's programs.
    ///
    /// # Errors
    /// They are not loaded.
    pub fn stage_run_times(&mut self) -> Result<Vec<stages::RunTime>> {
        stages::run_times(&mut self.ebpf)
    }

    /// Passes on what the kernel programs logged: rare events, at level debug.
    pub fn pass_log_on(&mut self) {
        self.log.flush();
    }

    /// What is hooked where, for status.
    #[must_use]
    pub fn hooks(&self) -> Vec<String> {
        let departure = match self.plan.uplink_out {
            DepartureHook::TpBtf => vec![format!("uplink_out=tp_btf/{XMIT}")],
            DepartureHook::RawTp => vec![format!("uplink_out=raw_tp/{XMIT}")],
            DepartureHook::Kprobe => vec![format!("uplink_out=kprobe/{HARD_XMIT}")],
            DepartureHook::TcEgress | DepartureHook::None => Vec::new(),
        };
        let interfaces = self.attached.values().flat_map(|attached| {
            attached
                .links
                .iter()
                .map(|(program, _)| format!("{program}@{}", attached.interface.name))
        });
        departure.into_iter().chain(interfaces).collect()
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

fn attach_one(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
    backend: TcHook,
) -> Result<SchedClassifierLinkId> {
    let options = match backend {
        TcHook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
        TcHook::Clsact => {
            match tc::qdisc_add_clsact(interface) {
                Ok(()) | Err(TcError::AlreadyAttached) => {}
                Err(error) => return Err(error).context("adding a clsact qdisc"),
            }
            TcAttachOptions::Netlink(NlOptions {
                priority: 1,
                handle: TcHandle::from(CLSACT_HANDLE),
                ..NlOptions::default()
            })
        }
        TcHook::None => bail!("this kernel offers neither TCX nor clsact"),
    };
    Ok(program.attach_with_options(interface, direction, options)?)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn refused(name: &str) -> String {
    format!("the kernel refused program {name}")
}

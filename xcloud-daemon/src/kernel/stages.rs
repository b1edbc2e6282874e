//! The opt-in stage profile's probes, and what they found out about each exchange.

mod probes;

use std::{
    fmt, fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::{self, NonNull},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::Map,
    programs::{KProbe, ProgramError},
};
use xcloud_common::{
    identity,
    sample::{Sample, flag},
    slot::{self, SLOTS},
    stage::{CELL_STAGES, Cell, Stage},
};

pub use probes::Probes;

/// A function of the kernel and the programs put on it.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The function.
    pub function: &'static str,
    /// What it belongs to.
    pub stage: Stage,
    /// Where it is found when it is not there.
    pub module: Option<&'static str>,
    entry: &'static str,
    exit: Option<&'static str>,
}

const fn probe(
    stage: Stage,
    function: &'static str,
    module: Option<&'static str>,
    entry: &'static str,
    exit: Option<&'static str>,
) -> Probe {
    Probe { function, stage, module, entry, exit }
}

impl Probe {
    /// Whether this is the one without which no stage can be told.
    #[must_use]
    pub fn ends_every_stage(&self) -> bool {
        self.function == HAND_OVER.function
    }
}

/// Where packets are handed to the next device: ends every stage. Without it the others would count what devices do.
static HAND_OVER: Probe = probe(Stage::Routing, "__dev_queue_xmit", None, "stage_hand_over", None);

/// All of them. The functions are there in every kernel from 5.10 on, though some only with their module.
pub static PROBES: [Probe; 11] = {
    const ROUTING: (&str, Option<&str>) = ("stage_routing", Some("stage_routing_end"));
    const OUTER: (&str, Option<&str>) = ("stage_encapsulation", Some("stage_encapsulation_end"));
    use Stage::{Conntrack, Encapsulation, Encryption, Netfilter, Routing};
    [
        probe(Routing, "ip_route_input_noref", None, ROUTING.0, ROUTING.1),
        probe(Routing, "ip6_route_input", None, ROUTING.0, ROUTING.1),
        probe(Netfilter, "nf_hook_slow", None, "stage_netfilter", Some("stage_netfilter_end")),
        probe(
            Conntrack,
            "nf_conntrack_in",
            Some("nf_conntrack"),
            "stage_conntrack",
            Some("stage_conntrack_end"),
        ),
        probe(Encapsulation, "vxlan_xmit", Some("vxlan"), OUTER.0, OUTER.1),
        probe(Encapsulation, "geneve_xmit", Some("geneve"), OUTER.0, OUTER.1),
        // IPIP and GRE, and then those that carry IPv6 in IPv4.
        probe(Encapsulation, "ip_tunnel_xmit", Some("ip_tunnel"), OUTER.0, OUTER.1),
        probe(Encapsulation, "sit_tunnel_xmit", Some("sit"), OUTER.0, OUTER.1),
        probe(Encapsulation, "ip6_tnl_xmit", Some("ip6_tunnel"), OUTER.0, OUTER.1),
        probe(Encryption, "wg_xmit", Some("wireguard"), "stage_seal", None),
        // The outer header is put on in here.
        probe(Encryption, "wg_socket_send_skb_to_peer", Some("wireguard"), "stage_sealed", OUTER.1),
    ]
};

/// Every function that is probed.
pub fn all() -> impl Iterator<Item = &'static Probe> {
    [&HAND_OVER].into_iter().chain(&PROBES)
}

/// Whether a function is probed.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which.
    pub probe: Probe,
    /// Why not, if it is not. Those missing are tried again, except while the kill switch is there.
    pub missing: Option<String>,
}

/// Loads every program of the profile.
fn load(ebpf: &mut Ebpf) -> Result<()> {
    for probe in all() {
        for name in [Some(probe.entry), probe.exit].into_iter().flatten() {
            match program(ebpf, name)?.load() {
                Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("the kernel refused program {name}"));
                }
            }
        }
    }
    Ok(())
}

/// What the absence of a function means.
#[must_use]
pub fn why(probe: &Probe, error: &anyhow::Error) -> String {
    let absent = error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
    });
    match (absent, probe.module) {
        (true, Some(module)) => format!("{}: module {module} is not loaded", probe.function),
        (true, None) => format!("{}: this kernel has no such function", probe.function),
        _ => format!("{}: {error:#}", probe.function),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut KProbe> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// What the kernel counted of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// Its name.
    pub program: &'static str,
    /// Runs.
    pub runs: u64,
    /// Nanoseconds in all of them.
    pub ns: u64,
}

/// Runs and nanoseconds of each program so far, as far as the kernel kept count.
///
/// # Errors
/// A program is not loaded or /proc cannot be read.
pub fn run_times(ebpf: &mut Ebpf) -> Result<Vec<RunTime>> {
    let mut names: Vec<_> =
        all().flat_map(|probe| [Some(probe.entry), probe.exit]).flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let fd = program(ebpf, name)?.fd()?.as_fd().as_raw_fd();
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
            let figure = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
            };
            Ok(RunTime { program: name, runs: figure("run_cnt:"), ns: figure("run_time_ns:") })
        })
        .collect()
}

/// What the probes found out, slot by slot, in memory that the kernel shares.
#[derive(Debug)]
pub struct StageCells {
    near: Mapped,
    far: Mapped,
}

impl StageCells {
    /// Takes the maps out of an object loaded with room for the profile.
    ///
    /// # Errors
    /// They are not there, or the kernel does not share them.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            near: Mapped::take(ebpf, "STAGES_NEAR")?,
            far: Mapped::take(ebpf, "STAGES_FAR")?,
        })
    }

    /// Nanoseconds by [`Stage`] of a sample's data; nothing when no probe saw it, or another exchange has its cell.
    #[must_use]
    pub fn of(&self, sample: &Sample) -> Option<[u32; CELL_STAGES]> {
        let cells = if sample.flags & flag::FAR == 0 { &self.near } else { &self.far };
        let cell = cells.at(identity::hash(sample.end_seq) & (SLOTS - 1));
        (cell.key == slot::key(sample.end_seq, sample.tsval)).then_some(cell.ns)
    }
}

/// An array of cells, mapped into this process.
struct Mapped {
    cells: NonNull<Cell>,
}

// SAFETY: the mapping is the process's, not a thread's, and only read.
unsafe impl Send for Mapped {}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").finish_non_exhaustive()
    }
}

const BYTES: usize = size_of::<Cell>() * SLOTS as usize;

impl Mapped {
    fn take(ebpf: &mut Ebpf, name: &str) -> Result<Self> {
        let Some(Map::Array(map)) = ebpf.take_map(name) else {
            bail!("the kernel object has no array {name} left");
        };
        if map.info()?.max_entries() != SLOTS {
            bail!("map {name} was made without room for the stage profile");
        }
        let fd = map.fd().as_fd().as_raw_fd();
        // SAFETY: a new mapping at an address of the kernel's choice, of the map's length.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), BYTES, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).with_context(|| format!("mapping {name}"));
        }
        let cells = NonNull::new(address.cast()).context("mapped at no address")?;
        Ok(Self { cells })
    }

    fn at(&self, index: u32) -> Cell {
        // SAFETY: the index is below SLOTS, which the mapping holds; the kernel may write meanwhile, and the key says whose
        // figures these are.
        unsafe { self.cells.as_ptr().add(index as usize).read_volatile() }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped once by take, and nothing refers to it any more.
        unsafe { libc::munmap(self.cells.as_ptr().cast(), BYTES) };
    }
}

//! Loads the kernel object: checks that it is there, tells it where the kernel's fields lie.

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::{btf::Btf, egress};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/xcloud-ebpf"));

/// Globals of the programs and the fields whose offsets they hold.
const OFFSETS: [(&str, &str, &str); 17] = [
    ("SKB_HEAD", "sk_buff", "head"),
    ("SKB_DEV", "sk_buff", "dev"),
    ("SKB_NETWORK_HEADER", "sk_buff", "network_header"),
    ("SKB_TRANSPORT_HEADER", "sk_buff", "transport_header"),
    ("SKB_TAIL", "sk_buff", "tail"),
    ("SKB_LEN", "sk_buff", "len"),
    ("SKB_HASH", "sk_buff", "hash"),
    ("SKB_NEXT", "sk_buff", "next"),
    ("SKB_DATA", "sk_buff", "data"),
    ("SKB_END", "sk_buff", "end"),
    ("SKB_INNER_TRANSPORT_HEADER", "sk_buff", "inner_transport_header"),
    ("SHARED_GSO_SEGMENTS", "skb_shared_info", "gso_segs"),
    ("SHARED_GSO_TYPE", "skb_shared_info", "gso_type"),
    ("DEV_IFINDEX", "net_device", "ifindex"),
    ("DEV_NET", "net_device", "nd_net.net"),
    ("NET_INUM", "net", "ns.inum"),
    ("SOCK_NET", "sock", "__sk_common.skc_net.net"),
];

/// Whether this binary was built without the kernel programs.
#[must_use]
pub fn is_stub() -> bool {
    OBJECT.is_empty()
}

/// Maps that only the stage profile uses, and what their size is without it; 0 entries cannot be had.
const STAGE_MAPS: [(&str, u32); 3] =
    [("STAGES_NEAR", 1), ("STAGES_FAR", 1), ("STAGES_SEALING", 64)];

/// Creates maps and makes the programs ready; none is loaded yet.
///
/// # Errors
/// The binary holds no kernel object, the kernel has no BTF, or it refuses a map.
pub fn load() -> Result<Ebpf> {
    load_for(Extras::default())
}

/// What is there only if it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The stage profile.
    pub stages: bool,
    /// The account of what leaves by the uplinks.
    pub account: bool,
}

/// The same, with room for what is wanted besides.
///
/// # Errors
/// Likewise.
pub fn load_for(extras: Extras) -> Result<Ebpf> {
    if is_stub() {
        bail!(
            "this binary was built without its kernel programs: build it with `cargo xtask build`, or start it with \
             `cargo xtask run`"
        );
    }
    lift_memlock();
    let btf = Btf::running()?;
    let offsets = OFFSETS
        .iter()
        .map(|(_, structure, field)| btf.offset(structure, field))
        .collect::<Result<Vec<u32>>>()
        .context("finding the kernel's fields")?;
    let mut loader = EbpfLoader::new();
    // Why a program was refused, without the megabytes of how the verifier came to that.
    loader.verifier_log_level(VerifierLogLevel::STATS);
    // What is not logged is not there for the kernel: the verifier drops what a constant rules out.
    let level = log::max_level() as u8;
    loader.override_global(aya_log::LEVEL, &level, true);
    for ((global, ..), offset) in OFFSETS.iter().zip(&offsets) {
        loader.override_global(global, offset, true);
    }
    let account = u32::from(extras.account);
    loader.override_global("ACCOUNT", &account, true);
    if extras.account {
        loader.map_max_entries("EGRESS", egress::banks()?);
    }
    if !extras.stages {
        for (map, entries) in STAGE_MAPS {
            loader.map_max_entries(map, entries);
        }
    }
    loader.load(OBJECT).context(
        "creating the maps of the kernel programs (this needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or root)",
    )
}

/// Kernels before 5.11 count maps and programs as this process's locked memory, of which it may have 64 KiB. Where it
/// may not have more, the probe or the load that follows says so.
pub(super) fn lift_memlock() {
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!("the limit on locked memory stays: {error}");
    }
}

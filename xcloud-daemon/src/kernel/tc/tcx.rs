//! Which programs TCX runs on an interface, in order.
//!
//! Aya's query opens every program it lists, which takes CAP_SYS_ADMIN; the order alone takes CAP_NET_ADMIN, which an
//! agent has anyway. Changes of TCX send no message, so the order is asked for every few seconds: one system call a
//! hook, less than a microsecond.

use std::{collections::BTreeMap, io};

use aya::programs::{ProgramInfo, TcAttachType, loaded_programs};

use super::Place;

const BPF_PROG_QUERY: libc::c_long = 16;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const NETKIT_PRIMARY: u32 = 54;
const NETKIT_PEER: u32 = 55;
/// The most programs TCX runs at one place (`BPF_MPROG_MAX`).
const MOST: usize = 64;

#[repr(C)]
#[derive(Default)]
struct Query {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    pad: u32,
    rest: [u64; 4],
}

/// Numbers of the programs at one place, in the order they run in.
pub(super) fn query(ifindex: u32, direction: TcAttachType) -> io::Result<Vec<u32>> {
    query_at(
        ifindex,
        match direction {
            TcAttachType::Egress => TCX_EGRESS,
            TcAttachType::Ingress | TcAttachType::Custom(_) => TCX_INGRESS,
        },
    )
}

fn query_at(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; MOST];
    let mut attr = Query {
        ifindex,
        attach_type,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(MOST).map_err(io::Error::other)?,
        ..Query::default()
    };
    // SAFETY: the kernel writes at most `count` numbers to `ids`, and what it found to the attribute; both live on.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size_of::<Query>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // An unused place is 0, which no program has.
    ids.retain(|id| *id != 0);
    Ok(ids)
}

/// Where the program is among them.
pub(super) fn place(ids: &[u32], ours: u32) -> Place {
    match ids.first() {
        Some(first) if *first == ours => Place::First,
        Some(first) if ids.contains(&ours) => Place::Behind(name(*first)),
        _ => Place::Gone,
    }
}

/// A program's name where this process may ask for it, else its number.
fn name(id: u32) -> String {
    match Programs::loaded().0.get(&id) {
        Some(name) => format!("{name} (program {id})"),
        None => format!("program {id}"),
    }
}

/// Names of the programs loaded now, by number; empty where this process may not ask.
#[derive(Debug)]
pub struct Programs(BTreeMap<u32, String>);

impl Programs {
    /// Asks for them.
    #[must_use]
    pub fn loaded() -> Self {
        let named = |program: ProgramInfo| Some((program.id(), program.name_as_str()?.to_owned()));
        Self(loaded_programs().filter_map(Result::ok).filter_map(named).collect())
    }

    /// Those that TCX or netkit runs on an interface.
    pub(super) fn on(&self, ifindex: u32) -> Vec<String> {
        let places = [TCX_INGRESS, TCX_EGRESS, NETKIT_PRIMARY, NETKIT_PEER];
        let ids = places.into_iter().flat_map(|at| query_at(ifindex, at).unwrap_or_default());
        ids.filter_map(|id| self.0.get(&id).cloned()).collect()
    }
}

//! Filters at the clsact qdisc, for kernels without TCX: priority 1 and a handle of our own.
//!
//! Within a priority the filter added last runs first, so another agent's priority-1 filter added after ours runs
//! before it, until ours is added again. Automatic numbering takes handle 1, as Cilium and AWS do by choice; so ours is
//! another, and is never mistaken for theirs. A filter is ours only if handle, priority and name all say so; no other is
//! ever removed, nor the qdisc, even if we made it.

use std::io;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{self, NlOptions, TcAttachOptions, TcError, TcHandle},
};
use rtnetlink::{
    packet_core::{NlasIterator, Parseable as _, parse_string, parse_u32},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
        tc::{TcHandle as Handle, TcHeader, TcMessage},
    },
};

use super::{Place, Spot};
use crate::kernel::rtnl;

const HANDLE: u32 = 0xc0fe;
const PRIORITY: u16 = 1;
/// `ETH_P_ALL` as the kernel wants it: in network byte order.
const ALL_PROTOCOLS: u16 = 3u16.to_be();
/// Bytes of `struct tcmsg`.
const HEADER: usize = 20;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;

/// A filter, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    priority: u16,
    handle: u32,
    kind: String,
    chain: u32,
    pub(super) name: String,
    /// The kernel's number of its program.
    id: u32,
}

impl Filter {
    fn is_ours(&self, program: &str) -> bool {
        (self.priority, self.handle, self.kind.as_str(), self.name.as_str())
            == (PRIORITY, HANDLE, "bpf", program)
    }
}

pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    Spot { ifindex, interface, direction }: Spot<'_>,
) -> Result<()> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            fits(&qdisc(ifindex).context("asking which qdisc is there")?, direction)?;
        }
        other => other.context("adding a clsact qdisc")?,
    }
    remove(ifindex, direction, name)?;
    let options =
        NlOptions { priority: PRIORITY, handle: TcHandle::from(HANDLE), ..NlOptions::default() };
    let id =
        program.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))?;
    // Aya would remove whatever then has our place; `remove` looks first.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// An `ingress` qdisc has the place of a clsact and no egress: it takes filters for egress and runs them at ingress.
fn fits(qdisc: &str, direction: TcAttachType) -> Result<()> {
    ensure!(
        qdisc != "ingress" || direction != TcAttachType::Egress,
        "another program, such as a CNI's bandwidth plugin, has put an ingress qdisc there, which leaves no place for \
         filters at egress: let it use clsact instead, or run Linux 6.6 or newer, where no qdisc is needed"
    );
    Ok(())
}

/// Kind of the qdisc in the place that clsact and `ingress` share; empty if there is none.
fn qdisc(ifindex: u32) -> io::Result<String> {
    let wanted = i32::try_from(ifindex).map_err(io::Error::other)?;
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(wanted));
    let answers = rtnl::list(request)?;
    let kind = |answer: &Vec<u8>| {
        let header = TcHeader::parse(answer).ok()?;
        let there = header.index == wanted && header.parent == Handle::CLSACT;
        there.then(|| parse(answer)).flatten().map(|filter| filter.kind)
    };
    Ok(answers.iter().find_map(kind).unwrap_or_default())
}

/// Removes our filter, if it is there.
pub(super) fn remove(ifindex: u32, direction: TcAttachType, program: &str) -> io::Result<()> {
    if !filters(ifindex, direction)?.iter().any(|filter| filter.is_ours(program)) {
        return Ok(());
    }
    let mut message = at(ifindex, direction)?;
    message.header.handle = Handle::from(HANDLE);
    message.header.info = u32::from(PRIORITY) << 16 | u32::from(ALL_PROTOCOLS);
    rtnl::ask(RouteNetlinkMessage::DelTrafficFilter(message)).map(drop)
}

/// Removes what a killed agent left, on any interface of this namespace; returns what and where. Only for the one agent
/// that uses these programs in it.
///
/// # Errors
/// The kernel refuses to list or to remove.
pub fn remove_leftovers(programs: &[&str]) -> Result<Vec<String>> {
    let mut removed = vec![];
    for (ifindex, interface) in interfaces().context("listing interfaces")? {
        for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
            let there = filters(ifindex, direction)
                .with_context(|| format!("listing the filters of {interface}"))?;
            let ours = |program: &&&str| there.iter().any(|filter| filter.is_ours(program));
            for program in programs.iter().filter(ours) {
                remove(ifindex, direction, program)
                    .with_context(|| format!("removing {program} from {interface}"))?;
                removed.push(format!("{program}@{interface}"));
            }
        }
    }
    Ok(removed)
}

fn interfaces() -> io::Result<Vec<(u32, String)>> {
    let answers = rtnl::list(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let named = answers.iter().filter_map(|answer| {
        let link = LinkMessage::parse(answer).ok()?;
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some((link.header.index, name)),
            _ => None,
        })
    });
    Ok(named.collect())
}

/// Where our program is among them.
pub(super) fn place(filters: &[Filter], program: &str, id: u32) -> Place {
    let ours = |filter: &Filter| filter.is_ours(program) && filter.id == id;
    match filters.first() {
        Some(first) if ours(first) => Place::First,
        Some(first) if filters.iter().any(ours) => {
            let Filter { kind, name, handle, .. } = first;
            Place::Behind(format!("the {kind} filter {name} (handle {handle:#x})"))
        }
        _ => Place::Gone,
    }
}

/// The filters at one place, in the order they run in: by priority, then the latest first.
pub(super) fn filters(ifindex: u32, direction: TcAttachType) -> io::Result<Vec<Filter>> {
    let request = RouteNetlinkMessage::GetTrafficFilter(at(ifindex, direction)?);
    let answers = rtnl::list(request)?;
    let mut filters: Vec<Filter> = answers.iter().filter_map(|answer| parse(answer)).collect();
    // Each priority also lists itself, without a handle; other chains run only when a filter of this one says so.
    filters.retain(|filter| filter.handle != 0 && filter.chain == 0);
    Ok(filters)
}

fn at(ifindex: u32, direction: TcAttachType) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(i32::try_from(ifindex).map_err(io::Error::other)?);
    let minor = match direction {
        TcAttachType::Egress => Handle::MIN_EGRESS,
        TcAttachType::Ingress | TcAttachType::Custom(_) => Handle::MIN_INGRESS,
    };
    message.header.parent = Handle { major: Handle::CLSACT.major, minor };
    Ok(message)
}

/// Reads only what is needed, so that another agent's filter of a kind unknown here is no obstacle.
fn parse(payload: &[u8]) -> Option<Filter> {
    let header = TcHeader::parse(payload).ok()?;
    let mut filter = Filter {
        priority: u16::try_from(header.info >> 16).ok()?,
        handle: header.handle.into(),
        ..Filter::default()
    };
    for attribute in NlasIterator::new(payload.get(HEADER..)?) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            TCA_KIND => filter.kind = parse_string(attribute.value()).ok()?,
            TCA_CHAIN => filter.chain = parse_u32(attribute.value()).ok()?,
            TCA_OPTIONS if filter.kind == "bpf" => options(attribute.value(), &mut filter)?,
            _ => {}
        }
    }
    Some(filter)
}

fn options(bytes: &[u8], filter: &mut Filter) -> Option<()> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            TCA_BPF_NAME => filter.name = parse_string(attribute.value()).ok()?,
            TCA_BPF_ID => filter.id = parse_u32(attribute.value()).ok()?,
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(priority: u16, handle: u32, name: &str, id: u32) -> Filter {
        Filter { priority, handle, kind: "bpf".into(), chain: 0, name: name.into(), id }
    }

    #[test]
    fn handle_priority_and_name_together_make_a_filter_ours() {
        assert!(filter(1, 0xc0fe, "pod_in", 7).is_ours("pod_in"));
        for other in [
            filter(2, 0xc0fe, "pod_in", 7),
            filter(1, 1, "pod_in", 7),
            filter(1, 0xc0fe, "cil_to_container", 7),
        ] {
            assert!(!other.is_ours("pod_in"), "{other:?}");
        }
    }

    #[test]
    fn the_first_of_the_list_decides() {
        let ours = filter(1, 0xc0fe, "pod_in", 7);
        let theirs = filter(1, 1, "cil_to_container", 3);
        let both = |first: &Filter, second: &Filter| [first.clone(), second.clone()];
        assert_eq!(place(&both(&ours, &theirs), "pod_in", 7), Place::First);
        let behind = place(&both(&theirs, &ours), "pod_in", 7);
        assert_eq!(behind, Place::Behind("the bpf filter cil_to_container (handle 0x1)".into()));
        assert_eq!(place(&[theirs], "pod_in", 7), Place::Gone);
        assert_eq!(place(&[ours], "pod_in", 8), Place::Gone, "of a killed agent");
    }
}

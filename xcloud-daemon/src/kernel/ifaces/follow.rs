//! Follows interfaces as they come and go.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures_util::{Stream, StreamExt as _};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
    sys::SocketAddr,
};
use tokio::{
    sync::{mpsc::Sender, watch},
    time::{Instant, timeout_at},
};
use tracing::warn;

use xcloud_common::config::Tunnels;

use super::{Decision, Facts, Interface, check_names, decide, netlink};
use crate::cli::{AgentArgs, InterfaceArgs};

/// What became of the interfaces to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This one is to be watched from now on.
    Added(Interface),
    /// The one with this index is gone, or to be watched no more.
    Removed(u32),
    /// Tunnels end here at these ports from now on.
    Tunnels(Tunnels),
    /// Something changed, and all additions and removals that follow from it have been told.
    Changed,
}

/// How long messages are collected before the namespace is read again: they come in dozens.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// A read may take at most one part in this of the time: with a full routing table that changes all the time, reads
/// must not follow one another.
const READ_SHARE: u32 = 10;
/// How long at most between two reads, in case a message was lost without a sign.
const REFRESH: Duration = Duration::from_secs(60);

/// Tells `events` the interfaces there are, then every change of them or of those wanted. Ends when nobody listens any
/// more.
///
/// Every message only prompts a new read of the whole, so messages lost to an overrun cost nothing but that read.
pub async fn follow(
    mut settings: watch::Receiver<Arc<AgentArgs>>,
    events: Sender<Event>,
) -> Result<()> {
    let (connection, _handle, mut messages) = rtnetlink::new_multicast_connection(&[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ])
    .context("subscribing to netlink link, address and route changes")?;
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let facts = netlink::read().await?;
    let mut wanted = settings.borrow_and_update().interfaces.clone();
    check_names(&facts, &wanted)?;
    let mut known = watched(&facts, &wanted);
    let mut tunnels = facts.tunnels();
    let mut changes = difference(&BTreeMap::new(), &known, &HashSet::new());
    changes.insert(0, Event::Tunnels(tunnels));
    let mut read_took = Duration::ZERO;
    loop {
        for event in changes.drain(..) {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        let debounce = DEBOUNCE.max(read_took * READ_SHARE);
        let deleted = collect(&mut messages, &mut settings, debounce).await?;
        let started = Instant::now();
        match netlink::read().await {
            Ok(facts) => {
                let asked = settings.borrow_and_update().interfaces.clone();
                // Names that were wanted before may go and come.
                if std::mem::replace(&mut wanted, asked).uplinks != wanted.uplinks
                    && let Err(error) = check_names(&facts, &wanted)
                {
                    warn!("{error:#}; it is watched once it is there");
                }
                let found = watched(&facts, &wanted);
                changes = difference(&known, &found, &deleted);
                known = found;
                if std::mem::replace(&mut tunnels, facts.tunnels()) != tunnels {
                    changes.insert(0, Event::Tunnels(tunnels));
                }
            }
            Err(error) => warn!("interfaces stay as they were known: {error:#}"),
        }
        read_took = started.elapsed();
    }
}

/// Waits for a message, other settings or the refresh, then takes in what comes until `debounce` after the first message; returns the
/// indexes that were given up.
async fn collect(
    messages: &mut (impl Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin),
    settings: &mut watch::Receiver<Arc<AgentArgs>>,
    debounce: Duration,
) -> Result<HashSet<u32>> {
    let mut deleted = HashSet::new();
    let mut until = Instant::now() + REFRESH;
    let mut prompted = false;
    loop {
        tokio::select! {
            message = timeout_at(until, messages.next()) => match message {
                Err(_) => break,
                Ok(None) => bail!("the netlink socket that tells interface changes was closed"),
                Ok(Some((message, _))) => deleted.extend(deleted_link(&message)),
            },
            Ok(()) = settings.changed() => {}
        }
        if !std::mem::replace(&mut prompted, true) {
            until = Instant::now() + debounce;
        }
    }
    Ok(deleted)
}

fn watched(facts: &Facts, wanted: &InterfaceArgs) -> BTreeMap<u32, Interface> {
    decide(facts, wanted)
        .iter()
        .filter_map(Decision::interface)
        .map(|interface| (interface.index, interface))
        .collect()
}

fn deleted_link(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<u32> {
    match &message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => Some(link.header.index),
        _ => None,
    }
}

/// What turns `known` into `found`. An index in `deleted` was given up in between, so even an equal interface is new.
fn difference(
    known: &BTreeMap<u32, Interface>,
    found: &BTreeMap<u32, Interface>,
    deleted: &HashSet<u32>,
) -> Vec<Event> {
    let same = |index: &u32| found.get(index) == known.get(index) && !deleted.contains(index);
    let gone = known.keys().filter(|index| !same(index)).map(|index| Event::Removed(*index));
    let new = found
        .iter()
        .filter(|(index, _)| !same(index))
        .map(|(_, interface)| Event::Added(interface.clone()));
    gone.chain(new).chain([Event::Changed]).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{LinkLayer, Role},
        *,
    };

    fn interface(index: u32, name: &str) -> (u32, Interface) {
        let interface = Interface {
            index,
            name: name.into(),
            role: Role::Pod,
            link_layer: LinkLayer::Ethernet,
            kind: "veth".into(),
            leaves_by: vec![index],
        };
        (index, interface)
    }

    #[test]
    fn existing_interfaces_are_replayed_as_added() {
        let found = BTreeMap::from([interface(3, "a"), interface(4, "b")]);
        let events = difference(&BTreeMap::new(), &found, &HashSet::new());
        assert_eq!(
            events,
            [Event::Added(found[&3].clone()), Event::Added(found[&4].clone()), Event::Changed]
        );
        assert_eq!(difference(&found, &found, &HashSet::new()), [Event::Changed]);
    }

    #[test]
    fn a_reused_index_is_removed_and_added() {
        let known = BTreeMap::from([interface(3, "a"), interface(4, "b")]);
        let found = BTreeMap::from([interface(3, "c"), interface(4, "b")]);
        let events = difference(&known, &found, &HashSet::from([4]));
        assert_eq!(
            events,
            [
                Event::Removed(3),
                Event::Removed(4),
                Event::Added(found[&3].clone()),
                Event::Added(found[&4].clone()),
                Event::Changed
            ]
        );
    }
}

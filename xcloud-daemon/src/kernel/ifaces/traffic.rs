//! What a pod's interface has carried and dropped, as its two ends count it.

use std::io;

use rtnetlink::{
    packet_core::Parseable as _,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage, Stats64},
    },
};

use serde::Deserialize;

use crate::kernel::rtnl;

/// What an interface has carried and dropped since it was made.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// Packets in both directions.
    pub packets: u64,
    /// On the way to the pod, counted by the node's end.
    pub to_pod: u64,
    /// On the way to the pod, counted by the pod's end.
    pub to_pod_peer: u64,
    /// On the way from the pod, counted by the node's end.
    pub from_pod: u64,
    /// On the way from the pod, counted by the pod's end.
    pub from_pod_peer: u64,
}

/// Reads the counters of an interface and, where this node may ask for it, of its peer in the pod.
///
/// # Errors
/// The interface is gone, or the kernel does not tell.
pub fn traffic(ifindex: u32) -> io::Result<Traffic> {
    let link = get(ifindex, None)?;
    let here = stats(&link).ok_or_else(|| io::Error::other("the kernel tells no counters"))?;
    let there = peer(&link).and_then(|(index, namespace)| get(index, Some(namespace)).ok());
    let there = there.as_ref().and_then(stats).unwrap_or_default();
    Ok(Traffic {
        packets: here.rx_packets + here.tx_packets,
        to_pod: here.tx_dropped,
        to_pod_peer: there.rx_dropped,
        from_pod: here.rx_dropped,
        from_pod_peer: there.tx_dropped,
    })
}

/// Index of a pair's other end, in whatever namespace that is.
///
/// # Errors
/// The interface is gone, or the kernel does not tell.
pub fn other_end(ifindex: u32) -> io::Result<Option<u32>> {
    let attributes = get(ifindex, None)?.attributes;
    Ok(attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => Some(index),
        _ => None,
    }))
}

/// `namespace` is the number this namespace knows another one by.
fn get(ifindex: u32, namespace: Option<i32>) -> io::Result<LinkMessage> {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message.attributes.extend(namespace.map(LinkAttribute::IfNetnsId));
    let answers = rtnl::ask(RouteNetlinkMessage::GetLink(message))?;
    let answer = answers.first().ok_or_else(|| io::Error::other("the kernel gave no answer"))?;
    LinkMessage::parse(answer).map_err(io::Error::other)
}

/// Index and namespace of a pair's other end.
fn peer(link: &LinkMessage) -> Option<(u32, i32)> {
    let (mut index, mut namespace) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Link(number) => index = Some(*number),
            LinkAttribute::LinkNetNsId(number) => namespace = Some(*number),
            _ => {}
        }
    }
    index.zip(namespace)
}

fn stats(link: &LinkMessage) -> Option<Stats64> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(*stats),
        _ => None,
    })
}

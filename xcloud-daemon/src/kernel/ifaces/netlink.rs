//! Reads links, routes and addresses of this network namespace from netlink.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{InfoData, InfoGeneve, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};

use super::{Address, Facts, Link, Route};

/// Reads the facts about the namespace of the calling thread, on a connection of its own.
pub async fn read() -> Result<Facts> {
    let (connection, handle, _) =
        rtnetlink::new_connection().context("opening a netlink route socket")?;
    let connection = tokio::spawn(connection);
    let facts = dump(&handle).await;
    connection.abort();
    facts
}

async fn dump(handle: &Handle) -> Result<Facts> {
    let mut facts = Facts::default();
    let mut links = handle.link().get().execute();
    while let Some(message) = links.try_next().await.context("listing interfaces")? {
        facts.links.push(link(message));
    }
    let families = [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ];
    for family in families {
        let mut routes = handle.route().get(family).execute();
        while let Some(message) = routes.try_next().await.context("listing routes")? {
            facts.routes.extend(route(message));
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.context("listing addresses")? {
        facts.addresses.extend(address(message));
    }
    Ok(facts)
}

fn link(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        hardware: message.header.link_layer_type.into(),
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) => link.parent = Some(index),
            LinkAttribute::LinkNetNsId(_) => link.parent_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                        LinkInfo::Data(data) => link.tunnel_port = tunnel_port(&data),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn tunnel_port(data: &InfoData) -> Option<u16> {
    match data {
        InfoData::Vxlan(attributes) => attributes.iter().find_map(|attribute| match attribute {
            InfoVxlan::Port(port) => Some(*port),
            _ => None,
        }),
        InfoData::Geneve(attributes) => attributes.iter().find_map(|attribute| match attribute {
            InfoGeneve::Port(port) => Some(*port),
            _ => None,
        }),
        _ => None,
    }
}

fn route(message: RouteMessage) -> Option<Route> {
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut route = Route {
        destination: unspecified,
        prefix_len: message.header.destination_prefix_length,
        table: message.header.table.into(),
        devices: vec![],
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(to)) => route.destination = to.into(),
            RouteAttribute::Destination(RouteAddress::Inet6(to)) => route.destination = to.into(),
            RouteAttribute::Table(table) => route.table = table,
            RouteAttribute::Oif(index) => route.devices.push(index),
            RouteAttribute::MultiPath(hops) => {
                route.devices.extend(hops.iter().map(|h| h.interface_index));
            }
            _ => {}
        }
    }
    Some(route)
}

fn address(message: AddressMessage) -> Option<Address> {
    let AddressMessage { header, attributes, .. } = message;
    // On point-to-point interfaces IFA_ADDRESS is the peer and IFA_LOCAL this node.
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    Some(Address { index: header.index, address, prefix_len: header.prefix_len })
}

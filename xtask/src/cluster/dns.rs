//! Names of services, which CoreDNS would answer for: no distribution packages it. Answers with the address of
//! `SERVICE.NAMESPACE.svc`, with or without the cluster's domain, and knows nothing else.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    parts::Parts,
    plan::{DOMAIN, PLANE, PLANE_IPV4},
};
use crate::{command, netns};

/// How long an answer of the API server is used.
const FRESH: Duration = Duration::from_secs(5);
const PORT: u16 = 53;
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
const CLASS_IN: [u8; 2] = [0, 1];
/// An answer, recursion wanted and had, no error; with 3 added: there is no such name.
const FLAGS: [u8; 2] = [0x81, 0x80];
/// The answer's name is the question's.
const NAME_IS_AT_HEADER: [u8; 2] = [0xc0, 12];
const SECONDS_KEPT: [u8; 4] = [0, 0, 0, 1];

/// Starts answering in the management network.
pub(super) fn start() -> Result<()> {
    let at = SocketAddr::new(PLANE_IPV4.into(), PORT);
    let socket = netns::within(PLANE, || {
        UdpSocket::bind(at).with_context(|| format!("listening for names on {at}"))
    })?;
    thread::spawn(move || {
        let mut known = HashMap::new();
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], |name| address(name, &mut known)) {
                // A resolver that is gone asks no more.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

type Known = HashMap<String, (Instant, Option<Ipv4Addr>)>;

fn address(name: &str, known: &mut Known) -> Option<Ipv4Addr> {
    let (service, namespace) = service(name)?;
    if let Some((at, found)) = known.get(name)
        && at.elapsed() < FRESH
    {
        return *found;
    }
    let mut asked = Parts::there().kubectl();
    asked.args(["get", "service", service, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"]);
    let said = netns::enter(&mut asked, PLANE).and_then(|()| command::output(&mut asked));
    let found = said.ok().and_then(|text| text.trim().parse().ok());
    if found.is_some() {
        known.insert(name.into(), (Instant::now(), found));
    }
    found
}

/// The service and the namespace that a name is made of.
fn service(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_suffix(DOMAIN).map_or(name, |rest| rest.trim_end_matches('.'));
    let (service, namespace) = name.strip_suffix(".svc")?.split_once('.')?;
    (!namespace.contains('.')).then_some((service, namespace))
}

/// What to send back to a question; nothing for what is none.
fn answer(question: &[u8], find: impl FnOnce(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let id = question.get(..2)?;
    let (name, rest) = name(question.get(HEADER..)?)?;
    let kind = rest.get(..4)?;
    let asked = &question[HEADER..question.len() - rest.len() + 4];
    let found = find(&name);
    let given = found.filter(|_| kind == [TYPE_A, CLASS_IN].concat());
    let flags = [FLAGS[0], FLAGS[1] + if found.is_some() { 0 } else { 3 }];
    let counts = [0, 1, 0, u8::from(given.is_some()), 0, 0, 0, 0];
    let mut said = [id, &flags, &counts, asked].concat();
    if let Some(address) = given {
        said.extend([&NAME_IS_AT_HEADER[..], &TYPE_A, &CLASS_IN, &SECONDS_KEPT, &[0, 4]].concat());
        said.extend(address.octets());
    }
    Some(said)
}

/// A name, and what follows it.
fn name(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut labels = Vec::new();
    loop {
        let (&length, rest) = bytes.split_first()?;
        if length == 0 {
            return Some((labels.join("."), rest));
        }
        // A longer one is a pointer, which questions do not have.
        let label = (length < 64).then(|| rest.get(..usize::from(length)))??;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        bytes = &rest[usize::from(length)..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut bytes = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.extend([0, 0, kind, 0, 1]);
        bytes
    }

    #[test]
    fn a_service_has_its_address_and_only_that() {
        let find = |name: &str| {
            service(name).filter(|(name, _)| *name == "web").map(|_| Ipv4Addr::new(10, 96, 3, 4))
        };
        let said = answer(&question("web.shop.svc.cluster.local", 1), find).unwrap();
        assert_eq!(said[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(said[said.len() - 4..], [10, 96, 3, 4]);
        let none = answer(&question("web.shop.svc", 28), find).unwrap();
        assert_eq!(none[3..8], [0x80, 0, 1, 0, 0], "it has no IPv6 address, but it is there");
        let unknown = answer(&question("www.example.com", 1), find).unwrap();
        assert_eq!(unknown[3], 0x83);
    }

    #[test]
    fn names_of_services_are_taken_apart() {
        assert_eq!(service("web.shop.svc.cluster.local"), Some(("web", "shop")));
        assert_eq!(service("web.shop.svc"), Some(("web", "shop")));
        assert_eq!(service("web.shop.svc.shop.svc.cluster.local"), None);
        assert_eq!(service("web.shop"), None);
    }

    proptest! {
        #[test]
        fn anything_is_answered_or_not(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = answer(&bytes, |_| Some(Ipv4Addr::LOCALHOST));
        }
    }
}

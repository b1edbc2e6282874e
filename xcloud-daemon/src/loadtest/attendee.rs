//! Who takes part in tests: what an endpoint says of itself, once it was checked.

use std::net::IpAddr;

use xcloud_proto::{
    common::v1::Site as WireSite,
    loadtest::v1::{LoadEndpoint, Network},
};

use super::spec::MAX_ENDPOINT_NAME;
use crate::{
    agent::identity::{MAX_LABEL, MAX_NODE, label_fits},
    measure::Site,
    wire::answer,
};

/// Longest version, in bytes.
const MAX_VERSION: usize = 64;

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendee {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub site: Site,
    /// The network it is in.
    pub network: Network,
    /// Where others reach it.
    pub address: IpAddr,
    /// Its version.
    pub version: String,
}

impl Attendee {
    /// Reads what an endpoint says of itself.
    ///
    /// # Errors
    /// Says what makes no sense.
    pub fn read(wire: LoadEndpoint) -> Result<Self, String> {
        let LoadEndpoint { name, site, network, address, version } = wire;
        let site = site.ok_or("the endpoint's site is missing")?;
        if name.is_empty() || site.cloud.is_empty() {
            return Err("an endpoint needs a name and a cloud".into());
        }
        for (what, label, longest) in [
            ("name", &name, MAX_ENDPOINT_NAME),
            ("cloud", &site.cloud, MAX_LABEL),
            ("region", &site.region, MAX_LABEL),
            ("zone", &site.zone, MAX_LABEL),
            ("node", &site.node, MAX_NODE),
            ("cluster", &site.cluster, MAX_LABEL),
            ("version", &version, MAX_VERSION),
        ] {
            label_fits(what, label, longest).map_err(|error| error.to_string())?;
        }
        let network = Network::try_from(network)
            .ok()
            .filter(|network| *network != Network::Unspecified)
            .ok_or("the endpoint's network is neither pod nor host")?;
        let address = answer::address(&address)
            .filter(|address| !address.is_unspecified() && !address.is_multicast())
            .ok_or("the endpoint's address is none that others can reach")?;
        let WireSite { cloud, region, zone, node, cluster } = site;
        let site = Site { cloud, region, zone, node, cluster };
        Ok(Self { name, site, network, address, version })
    }

    /// As it is told to others.
    #[must_use]
    pub fn wire(&self) -> LoadEndpoint {
        LoadEndpoint {
            name: self.name.clone(),
            site: Some(answer::site(&self.site)),
            network: self.network.into(),
            address: octets(self.address),
            version: self.version.clone(),
        }
    }

    /// Its site as places are written: `cloud/region/zone/node`.
    #[must_use]
    pub fn place(&self) -> String {
        let Site { cloud, region, zone, node, .. } = &self.site;
        format!("{cloud}/{region}/{zone}/{node}").trim_end_matches('/').to_owned()
    }

    /// The name of its network.
    #[must_use]
    pub const fn network_name(&self) -> &'static str {
        match self.network {
            Network::Pod => "pod",
            Network::Host => "host",
            Network::Unspecified => "unknown",
        }
    }
}

/// An address in network byte order.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An endpoint of a cloud, on a node of its own.
    pub(crate) fn hello(name: &str, cloud: &str) -> LoadEndpoint {
        LoadEndpoint {
            name: name.into(),
            site: Some(WireSite {
                cloud: cloud.into(),
                region: "r1".into(),
                zone: String::new(),
                node: format!("node-{name}"),
                cluster: String::new(),
            }),
            network: Network::Pod.into(),
            address: vec![127, 0, 0, 1],
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn an_endpoint_is_read_and_told_alike() {
        let attendee = Attendee::read(hello("a", "aws")).expect("sound");
        assert_eq!(attendee.wire(), hello("a", "aws"));
        assert_eq!(attendee.place(), "aws/r1//node-a");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let fine = || hello("a", "aws");
        let site = |cloud: &str| Some(WireSite { cloud: cloud.into(), ..WireSite::default() });
        for (wrong, says) in [
            (LoadEndpoint { name: String::new(), ..fine() }, "name"),
            (LoadEndpoint { name: "a\u{1b}[31m".into(), ..fine() }, "name"),
            (LoadEndpoint { name: "x".repeat(254), ..fine() }, "name"),
            (LoadEndpoint { site: None, ..fine() }, "site"),
            (LoadEndpoint { site: site(""), ..fine() }, "cloud"),
            (LoadEndpoint { site: site("a b"), ..fine() }, "cloud"),
            (LoadEndpoint { network: 7, ..fine() }, "network"),
            (LoadEndpoint { network: 0, ..fine() }, "network"),
            (LoadEndpoint { address: vec![1, 2, 3], ..fine() }, "address"),
            (LoadEndpoint { address: vec![0; 16], ..fine() }, "address"),
            (LoadEndpoint { address: vec![224, 0, 0, 1], ..fine() }, "address"),
            (LoadEndpoint { version: "v".repeat(65), ..fine() }, "version"),
        ] {
            let error = Attendee::read(wrong).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(wire) = <LoadEndpoint as prost::Message>::decode(&*bytes) {
                let _ = Attendee::read(wire);
            }
        }
    }
}

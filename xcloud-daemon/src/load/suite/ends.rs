//! Which endpoint stands for a site. Pure.

use std::collections::{BTreeMap, BTreeSet};

use xcloud_proto::{common::v1::Site, loadtest::v1 as wire};

use super::file::Network;

/// All endpoints that an aggregator has.
#[derive(Clone, Debug)]
pub struct Ends(Vec<wire::LoadEndpoint>);

impl Ends {
    /// The endpoints, in any order.
    #[must_use]
    pub fn new(mut endpoints: Vec<wire::LoadEndpoint>) -> Self {
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        Self(endpoints)
    }

    /// Every site, as cloud/region.
    #[must_use]
    pub fn sites(&self) -> BTreeSet<String> {
        self.0.iter().map(site).collect()
    }

    /// Whether there is an endpoint of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|end| end.name == name)
    }

    /// The name of the endpoint that stands for a place in a network. All of a place's are on one node where one node has
    /// all networks, so that a baseline differs from the rest by the network alone.
    #[must_use]
    pub fn at(&self, place: &str, network: Network) -> Option<&str> {
        let mut nodes: BTreeMap<[&str; 4], BTreeSet<Network>> = BTreeMap::new();
        let there: Vec<_> = self.0.iter().filter(|end| within(&labels(end), place)).collect();
        for end in &there {
            nodes.entry(labels(end)).or_default().insert(network_of(end));
        }
        // Of those with most networks the first.
        let node = nodes.iter().rev().max_by_key(|(_, networks)| networks.len())?.0;
        let mut fit: Vec<_> = there.into_iter().filter(|end| network_of(end) == network).collect();
        fit.sort_by_key(|end| labels(end) != *node);
        fit.first().map(|end| end.name.as_str())
    }
}

/// Whether a place lies in one of those, or none is named.
#[must_use]
pub fn takes_part(place: &str, among: &[String]) -> bool {
    let parts: Vec<&str> = place.split('/').collect();
    among.is_empty() || among.iter().any(|one| within(&parts, one))
}

/// Whether a place is the wider one or lies in it; an empty label of the wider one stands for any.
fn within(place: &[&str], wider: &str) -> bool {
    let mut labels = place.iter();
    wider.split('/').all(|wanted| {
        let label = labels.next();
        wanted.is_empty() || label == Some(&wanted)
    })
}

fn labels(end: &wire::LoadEndpoint) -> [&str; 4] {
    end.site.as_ref().map_or([""; 4], |Site { cloud, region, zone, node, .. }| {
        [cloud.as_str(), region.as_str(), zone.as_str(), node.as_str()]
    })
}

fn site(end: &wire::LoadEndpoint) -> String {
    let [cloud, region, ..] = labels(end);
    if region.is_empty() { cloud.into() } else { format!("{cloud}/{region}") }
}

/// One that does not say is a pod's: only who says so is a baseline.
fn network_of(end: &wire::LoadEndpoint) -> Network {
    match end.network() {
        wire::Network::Host => Network::Host,
        wire::Network::Pod | wire::Network::Unspecified => Network::Pod,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An endpoint `name`, at cloud/region/zone/node.
    pub(in crate::load::suite) fn end(
        name: &str,
        place: &str,
        network: wire::Network,
    ) -> wire::LoadEndpoint {
        let mut labels = place.split('/').map(str::to_owned);
        let mut next = || labels.next().unwrap_or_default();
        let site = Site {
            cloud: next(),
            region: next(),
            zone: next(),
            node: next(),
            cluster: String::new(),
        };
        wire::LoadEndpoint {
            name: name.into(),
            site: Some(site),
            network: network.into(),
            ..wire::LoadEndpoint::default()
        }
    }

    #[test]
    fn pod_and_baseline_are_on_one_node() {
        let ends = Ends::new(vec![
            end("a", "aws/us-east-1/b/n1", wire::Network::Pod),
            end("c", "aws/us-east-1/b/n2", wire::Network::Pod),
            end("b", "aws/us-east-1/b/n2", wire::Network::Host),
        ]);
        assert_eq!(ends.at("aws", Network::Pod), Some("c"));
        assert_eq!(ends.at("aws/us-east-1", Network::Host), Some("b"));
        assert_eq!(ends.at("aws/us-east-1//n1", Network::Pod), Some("a"));
        assert_eq!(ends.at("aws/us-east-1//n1", Network::Host), None);
        assert_eq!(ends.at("gcp", Network::Pod), None);
        assert_eq!(ends.sites(), BTreeSet::from(["aws/us-east-1".to_owned()]));
    }

    #[test]
    fn where_no_node_has_both_the_site_has() {
        let ends = Ends::new(vec![
            end("a", "aws/us-east-1//n1", wire::Network::Unspecified),
            end("b", "aws/us-east-1//n2", wire::Network::Host),
        ]);
        assert_eq!(ends.at("aws", Network::Pod), Some("a"));
        assert_eq!(ends.at("aws", Network::Host), Some("b"));
    }

    #[test]
    fn a_place_lies_in_its_cloud_and_in_no_other() {
        for (place, wider, is) in [
            ("aws/us-east-1", "aws", true),
            ("aws/us-east-1", "aws/us-east-1", true),
            ("aws/us-east-1", "aws/us-east-1/a", false),
            ("aws2/us-east-1", "aws", false),
            ("aws", "", true),
        ] {
            assert_eq!(takes_part(place, &[wider.into()]), is, "{place} in {wider}");
        }
        assert!(takes_part("aws", &[]));
    }
}

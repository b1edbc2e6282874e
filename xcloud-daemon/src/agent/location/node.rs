//! What Kubernetes' API says of where a node is: its labels and its provider's own name for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use kube::{
    Api, Client,
    api::{ApiResource, Object},
};
use serde::{Deserialize, Serialize};

use super::Location;
use crate::agent::names::kubernetes;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

type Node = Object<Spec, Empty>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Empty {}

/// Asks for a node by its name.
pub(super) async fn ask(client: Client, name: &str) -> Result<Location> {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "Node".into(),
        plural: "nodes".into(),
    };
    let nodes: Api<Node> = Api::all_with(client, &resource);
    let node = nodes.get(name).await.map_err(|error| anyhow!("{}", kubernetes::causes(&error)));
    let node = node.with_context(|| {
        format!("asking Kubernetes' API for node {name:?}; --node has to be the node's name there")
    })?;
    Ok(read(&node.metadata.labels.unwrap_or_default(), &node.spec.provider_id))
}

fn read(labels: &BTreeMap<String, String>, provider_id: &str) -> Location {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let by_id = by_provider_id(provider_id);
    let or = |label: String, other: String| if label.is_empty() { other } else { label };
    let mut zone = or(label(ZONE), by_id.zone);
    let region = or(label(REGION), by_id.region);
    // AKS: `eastus-1`, and just `0` where there are no zones.
    if by_id.cloud == "azure" && zone == "0" {
        zone.clear();
    }
    Location { cloud: by_id.cloud, region, zone }
}

/// From a node's providerID: `aws:///us-east-1a/i-…`, `gce://project/us-central1-a/name`, `azure:///subscriptions/…`.
fn by_provider_id(id: &str) -> Location {
    let Some((scheme, rest)) = id.split_once("://") else { return Location::default() };
    let mut parts = rest.split('/');
    let zone = parts.nth(1).unwrap_or_default();
    match scheme {
        "aws" => {
            Location { cloud: "aws".into(), region: aws_region(zone).into(), zone: zone.into() }
        }
        "gce" => Location {
            cloud: "gcp".into(),
            region: zone.rsplit_once('-').map_or("", |(region, _)| region).into(),
            zone: zone.into(),
        },
        "azure" => Location { cloud: "azure".into(), ..Location::default() },
        _ => Location::default(),
    }
}

/// The region of an ordinary zone: its name and one letter. Local zones have other names, which tell less.
fn aws_region(zone: &str) -> &str {
    match zone.strip_suffix(|c: char| c.is_ascii_lowercase()) {
        Some(region)
            if region.ends_with(|c: char| c.is_ascii_digit())
                && region.matches('-').count() == 2 =>
        {
            region
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)], id: &str) -> [String; 3] {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let Location { cloud, region, zone } = read(&labels.collect(), id);
        [cloud, region, zone]
    }

    #[test]
    fn labels_count_and_the_provider_names_the_cloud() {
        let labels = [(REGION, "us-east-1"), (ZONE, "us-east-1b")];
        assert_eq!(of(&labels, "aws:///us-east-1b/i-1"), ["aws", "us-east-1", "us-east-1b"]);
        let labels = [(REGION, "eastus"), (ZONE, "0")];
        assert_eq!(of(&labels, "azure:///subscriptions/x"), ["azure", "eastus", ""]);
        let labels = [(REGION, "eastus"), (ZONE, "eastus-1")];
        assert_eq!(of(&labels, "azure:///subscriptions/x"), ["azure", "eastus", "eastus-1"]);
        assert_eq!(of(&[(REGION, "dc-1")], "k3s://node"), ["", "dc-1", ""]);
    }

    #[test]
    fn without_labels_the_providers_name_tells_the_zone() {
        assert_eq!(of(&[], "aws:///eu-west-3c/i-1"), ["aws", "eu-west-3", "eu-west-3c"]);
        assert_eq!(of(&[], "gce://p/us-central1-a/n"), ["gcp", "us-central1", "us-central1-a"]);
        assert_eq!(of(&[], "aws:///us-east-1-bos-1a/i-1"), ["aws", "", "us-east-1-bos-1a"]);
    }

    #[test]
    fn what_says_nothing_tells_nothing() {
        for odd in ["", "aws", "aws://", "aws:///", "gce://", "://", "kind://docker/a/b"] {
            let [_, region, zone] = of(&[], odd);
            assert_eq!((&region[..], &zone[..]), ("", ""), "{odd}");
        }
    }
}

//! Which region an address is in, as cloud providers publish it: AWS' `ip-ranges.json`, GCP's `cloud.json`, Azure's
//! service tags. What they are is told by their fields.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{Entry, Sites, network};
use crate::place::Place;

/// Longest file read, in bytes: several times the longest there is.
const LONGEST: u64 = 32 << 20;
/// Most networks in one.
const MOST_NETWORKS: usize = 200_000;
/// Longest name of a region, in bytes.
const LONGEST_REGION: usize = 63;

/// Any of the three.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    prefixes: Vec<Prefix>,
    #[serde(default)]
    ipv6_prefixes: Vec<Prefix>,
    #[serde(default)]
    values: Vec<Tag>,
}

/// A network of AWS (with underscores) or GCP.
#[derive(Deserialize)]
struct Prefix {
    ip_prefix: Option<String>,
    ipv6_prefix: Option<String>,
    region: Option<String>,
    #[serde(rename = "ipv4Prefix")]
    ipv4: Option<String>,
    #[serde(rename = "ipv6Prefix")]
    ipv6: Option<String>,
    scope: Option<String>,
}

/// A service tag of Azure.
#[derive(Deserialize)]
struct Tag {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    region: String,
    #[serde(default)]
    address_prefixes: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is none of the three.
pub fn read(path: &Path) -> Result<Sites> {
    let reading = || format!("reading a provider's address ranges from {}", path.display());
    let mut text = Vec::new();
    let file = File::open(path).with_context(reading)?;
    file.take(LONGEST + 1).read_to_end(&mut text).with_context(reading)?;
    if text.len() as u64 > LONGEST {
        bail!("{} has more than {LONGEST} bytes", path.display());
    }
    parse(&text).with_context(reading)
}

fn parse(text: &[u8]) -> Result<Sites> {
    let Raw { prefixes, ipv6_prefixes, values } = serde_json::from_slice(text)?;
    let mut sites = Sites::default();
    for prefix in prefixes.into_iter().chain(ipv6_prefixes) {
        let (cloud, region) = match (prefix.region, prefix.scope) {
            (Some(region), None) => ("aws", region),
            (None, Some(scope)) => ("gcp", scope),
            _ => bail!("a prefix has neither AWS' region nor GCP's scope"),
        };
        let networks = [prefix.ip_prefix, prefix.ipv6_prefix, prefix.ipv4, prefix.ipv6];
        add(&mut sites, cloud, &region, networks.into_iter().flatten())?;
    }
    for tag in values {
        // The others are parts of these, by service.
        if tag.name.starts_with("AzureCloud.") {
            let Properties { region, address_prefixes } = tag.properties;
            add(&mut sites, "azure", &region, address_prefixes.into_iter())?;
        }
    }
    if sites.entries.is_empty() {
        bail!("there is no network in it that AWS, GCP or Azure would publish");
    }
    Ok(sites)
}

fn add(
    sites: &mut Sites,
    cloud: &str,
    region: &str,
    networks: impl Iterator<Item = String>,
) -> Result<()> {
    if region.len() > LONGEST_REGION || !region.chars().all(|c| c.is_ascii_graphic()) {
        bail!("{region:?} is no region");
    }
    // What is everywhere is in no region.
    let everywhere = region.is_empty() || region.eq_ignore_ascii_case("global");
    let region = if everywhere { String::new() } else { region.to_owned() };
    let place = Place { cloud: cloud.into(), region, zone: String::new() };
    let at = sites.entries.iter().rposition(|entry| entry.place == place).unwrap_or_else(|| {
        sites.entries.push(Entry { place, name: String::new() });
        sites.entries.len() - 1
    });
    for text in networks {
        let network = network(&text)?;
        // One network is listed once for each service in it.
        sites.networks.entry(network.bits).or_default().entry(network.address).or_insert(at);
        if sites.networks.values().map(std::collections::HashMap::len).sum::<usize>()
            > MOST_NETWORKS
        {
            bail!("it has more than {MOST_NETWORKS} networks");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(sites: &Sites, address: &str) -> Option<String> {
        let place = sites.of(address.parse().expect(address))?;
        Some(format!("{}/{}", place.cloud, place.region))
    }

    #[test]
    fn all_three_are_read() {
        let aws = br#"{"syncToken": "1", "createDate": "x", "prefixes": [
            {"ip_prefix": "3.5.0.0/19", "region": "ap-northeast-2", "service": "AMAZON", "network_border_group": "x"},
            {"ip_prefix": "3.5.0.0/19", "region": "ap-northeast-2", "service": "S3", "network_border_group": "x"},
            {"ip_prefix": "15.230.0.0/16", "region": "GLOBAL", "service": "AMAZON", "network_border_group": "x"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2600:1f00::/24", "region": "us-east-1", "service": "EC2"}]}"#;
        let aws = parse(aws).expect("AWS'");
        assert_eq!(place(&aws, "3.5.1.1").as_deref(), Some("aws/ap-northeast-2"));
        assert_eq!(place(&aws, "15.230.1.1").as_deref(), Some("aws/"));
        assert_eq!(place(&aws, "2600:1f00::1").as_deref(), Some("aws/us-east-1"));
        let gcp = br#"{"syncToken": "1", "creationTime": "x", "prefixes": [
            {"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"},
            {"ipv6Prefix": "2600:1900:8000::/44", "service": "Google Cloud", "scope": "europe-west1"}]}"#;
        let gcp = parse(gcp).expect("GCP's");
        assert_eq!(place(&gcp, "34.1.208.9").as_deref(), Some("gcp/africa-south1"));
        assert_eq!(place(&gcp, "2600:1900:8000::9").as_deref(), Some("gcp/europe-west1"));
        let azure = br#"{"changeNumber": 1, "cloud": "Public", "values": [
            {"name": "AzureCloud.eastus", "id": "x", "properties": {"region": "eastus", "addressPrefixes": ["4.156.0.0/15"]}},
            {"name": "Storage", "id": "y", "properties": {"region": "", "addressPrefixes": ["20.0.0.0/8"]}}]}"#;
        let azure = parse(azure).expect("Azure's");
        assert_eq!(place(&azure, "4.157.0.1").as_deref(), Some("azure/eastus"));
        assert_eq!(place(&azure, "20.1.1.1"), None);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for (text, says) in [
            ("[]", "invalid"),
            ("{}", "no network"),
            (r#"{"prefixes": [{"ip_prefix": "1.0.0.0/8"}]}"#, "neither"),
            (r#"{"prefixes": [{"ip_prefix": "1.0.0.0", "region": "a"}]}"#, "is no network"),
            (r#"{"prefixes": [{"ip_prefix": "1.0.0.0/8", "region": "a b"}]}"#, "is no region"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).expect_err(text));
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(text.as_bytes()), parse(&bytes));
        }
    }
}

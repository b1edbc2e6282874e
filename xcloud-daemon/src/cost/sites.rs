//! Where addresses are, as a file says: CSV with a header, of `cidr` and `site`. The narrowest network that holds an
//! address counts.

use std::{fs::File, io::Read as _, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::place::Place;

/// Longest file read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Most networks in one.
const MOST_NETWORKS: usize = 20_000;

/// Networks and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites(Vec<(Network, Place)>);

/// A network in IPv6-mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: u128,
    bits: u32,
}

#[derive(Deserialize)]
struct Raw {
    cidr: String,
    site: String,
}

impl Sites {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or a row is wrong; the row is named.
    pub fn read(path: &Path) -> Result<Self> {
        let reading = || format!("reading networks and their sites from {}", path.display());
        let mut text = String::new();
        let file = File::open(path).with_context(reading)?;
        file.take(LONGEST + 1).read_to_string(&mut text).with_context(reading)?;
        if text.len() as u64 > LONGEST {
            bail!("{} has more than {LONGEST} bytes", path.display());
        }
        Self::parse(&text).with_context(reading)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let mut sites = Vec::new();
        for (row, raw) in (1..).zip(reader.deserialize::<Raw>()) {
            let raw = raw.context("as CSV with cidr, site")?;
            let site: Result<Place, String> = raw.site.parse();
            let site = site.map_err(|why| anyhow!("row {row}: {why}"))?;
            sites.push((network(&raw.cidr).with_context(|| format!("row {row}"))?, site));
            if sites.len() > MOST_NETWORKS {
                bail!("it has more than {MOST_NETWORKS} rows");
            }
        }
        sites.sort_by_key(|(network, _)| std::cmp::Reverse(network.bits));
        Ok(Self(sites))
    }

    /// Where an address is, if one of the networks holds it.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<&Place> {
        let number = mapped(address);
        let holds = |network: &Network| (number ^ network.address) & mask(network.bits) == 0;
        self.0.iter().find(|(network, _)| holds(network)).map(|(_, place)| place)
    }
}

fn network(text: &str) -> Result<Network> {
    let wrong = || format!("{text:?} is no network: it has to be as 10.0.0.0/8 or fd00::/8");
    let (address, bits) = text.split_once('/').with_context(wrong)?;
    let address: IpAddr = address.parse().ok().with_context(wrong)?;
    let bits: u32 = bits.parse().ok().with_context(wrong)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if bits > most {
        bail!(wrong());
    }
    let bits = bits + 128 - most;
    Ok(Network { address: mapped(address) & mask(bits), bits })
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

const fn mask(bits: u32) -> u128 {
    match u128::MAX.checked_shl(128 - bits) {
        Some(mask) => mask,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "cidr,site\n10.0.0.0/8,aws/us-east-1\n10.7.0.0/16, gcp/us-central1\nfd00::/8,azure/eastus\n\
                        0.0.0.0/0,internet/any\n";

    #[test]
    fn the_narrowest_network_counts() {
        let sites = Sites::parse(FILE).expect("sites");
        let of = |text: &str| sites.of(text.parse().expect(text)).map(ToString::to_string);
        assert_eq!(of("10.7.1.1").as_deref(), Some("gcp/us-central1"));
        assert_eq!(of("10.8.1.1").as_deref(), Some("aws/us-east-1"));
        assert_eq!(of("8.8.8.8").as_deref(), Some("internet/any"));
        assert_eq!(of("fd12::1").as_deref(), Some("azure/eastus"));
        assert_eq!(of("2001:db8::1"), None);
        assert_eq!(Sites::default().of("10.0.0.1".parse().expect("an address")), None);
    }

    #[test]
    fn a_wrong_row_is_named() {
        for (row, says) in [
            ("10.0.0.0,aws/a", "row 1: \"10.0.0.0\" is no network"),
            ("10.0.0.0/33,aws/a", "row 1: \"10.0.0.0/33\" is no network"),
            ("10.0.0.0/8,aws", "row 1: \"aws\" is no place"),
            ("10.0.0.0/8", "as CSV"),
        ] {
            let error = Sites::parse(&format!("cidr,site\n{row}\n")).expect_err(row);
            let error = format!("{error:#}");
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(text in "\\PC{0,200}", number: u128) {
            if let Ok(sites) = Sites::parse(&format!("cidr,site\n{text}")) {
                let _ = sites.of(std::net::Ipv6Addr::from_bits(number).into());
            }
        }
    }
}

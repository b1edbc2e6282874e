//! Where addresses are, as a file says: CSV with a header, of `cidr`, `site` and, if wanted, `name`. The narrowest network
//! that holds an address counts.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read as _,
    net::IpAddr,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::place::Place;

pub mod follow;
pub mod ranges;
pub mod tables;

/// Longest file read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Most networks in one.
const MOST_NETWORKS: usize = 20_000;
/// Longest name of a network, in bytes.
const LONGEST_NAME: usize = 63;

/// Networks and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    entries: Vec<Entry>,
    /// By bits of the network, widest first, and by its address: the number of its entry.
    networks: BTreeMap<u32, HashMap<u128, usize>>,
}

/// Where a network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The place.
    pub place: Place,
    /// What the operator calls it; may be empty.
    pub name: String,
}

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
    #[serde(default)]
    name: String,
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

    /// Reads the text of a file.
    ///
    /// # Errors
    /// A line is wrong; it is named.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let mut sites = Self::default();
        let header = reader.headers().context("as CSV with cidr, site")?.clone();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).context("as CSV with cidr, site")? {
            let raw = record.deserialize(Some(&header)).context("as CSV with cidr, site")?;
            sites.add(raw).with_context(|| format!("line {}", line_of(&record, text)))?;
        }
        Ok(sites)
    }

    fn add(&mut self, Raw { cidr, site, name }: Raw) -> Result<()> {
        let place = site.parse().map_err(|why: String| anyhow!("{why}"))?;
        if name.len() > LONGEST_NAME || name.chars().any(crate::escape::is_harmful) {
            bail!(
                "{name:?} is no name: it has at most {LONGEST_NAME} bytes, and no control characters"
            );
        }
        if self.entries.len() >= MOST_NETWORKS {
            bail!("it has more than {MOST_NETWORKS} rows");
        }
        let Network { address, bits } = network(&cidr)?;
        let of_width = self.networks.entry(bits).or_default();
        if of_width.insert(address, self.entries.len()).is_some() {
            bail!("network {cidr} is there twice");
        }
        self.entries.push(Entry { place, name });
        Ok(())
    }

    /// Where an address is, if one of the networks holds it.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<&Place> {
        self.entry(address).map(|at| &self.entries[at].place)
    }

    /// The number of the entry whose network holds an address.
    #[must_use]
    pub fn entry(&self, address: IpAddr) -> Option<usize> {
        let number = mapped(address);
        let narrowest_first = self.networks.iter().rev();
        let mut found =
            narrowest_first.map(|(bits, of_width)| of_width.get(&(number & mask(*bits))));
        found.find_map(|at| at.copied())
    }

    /// All entries, by number.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The line that a record begins in; empty lines before it count as its own with the reader.
fn line_of(record: &csv::StringRecord, text: &str) -> usize {
    let at = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
    let (before, from) = text.split_at_checked(at).unwrap_or((text, ""));
    let empty = from.len() - from.trim_start_matches(['\r', '\n']).len();
    1 + before.matches('\n').count() + from[..empty].matches('\n').count()
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
    fn a_wrong_line_is_named() {
        for (row, says) in [
            ("10.0.0.0,aws/a", "line 2: \"10.0.0.0\" is no network"),
            ("10.0.0.0/33,aws/a", "line 2: \"10.0.0.0/33\" is no network"),
            ("\n10.0.0.0/8,aws", "line 3: \"aws\" is no place"),
            ("10.0.0.0/8,aws/a\n10.1.0.0/8,aws/b", "line 3: network 10.1.0.0/8 is there twice"),
            ("10.0.0.0/8", "as CSV"),
        ] {
            let error = Sites::parse(&format!("cidr,site\n{row}\n")).expect_err(row);
            let error = format!("{error:#}");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_network_may_have_a_name() {
        let text = "cidr,site,name\n10.0.0.0/8,aws/us-east-1,payments\n10.0.0.0/9,aws/us-east-1,\n";
        let sites = Sites::parse(text).expect("sites");
        let name = |text: &str| {
            let at = sites.entry(text.parse().expect(text)).expect("an entry");
            sites.entries()[at].name.clone()
        };
        assert_eq!((name("10.200.0.1"), name("10.1.0.1")), ("payments".into(), String::new()));
        let error = Sites::parse("cidr,site,name\n10.0.0.0/8,aws/a,\u{7}\n").expect_err("odd");
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }

    proptest! {
        #[test]
        fn the_narrowest_of_many_is_found(
            networks in proptest::collection::hash_map((any::<[u8; 4]>(), 0u32..=32), 0usize..5, 1..40),
            address: [u8; 4],
        ) {
            let mut seen = HashMap::new();
            let mut text = String::from("cidr,site\n");
            for ((octets, bits), site) in &networks {
                let masked = u32::from_be_bytes(*octets) & u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                if seen.insert((masked, *bits), *site).is_none() {
                    text += &format!("{}/{bits},c/{site}\n", std::net::Ipv4Addr::from_bits(masked));
                } else {
                    seen.remove(&(masked, *bits));
                    return Ok(());
                }
            }
            let sites = Sites::parse(&text).expect("sites");
            let number = u32::from_be_bytes(address);
            let holds = |masked: u32, bits: u32| number & u32::MAX.checked_shl(32 - bits).unwrap_or(0) == masked;
            let wanted = seen.iter().filter(|((masked, bits), _)| holds(*masked, *bits));
            let wanted = wanted.max_by_key(|((_, bits), _)| *bits).map(|(_, site)| format!("c/{site}"));
            let found = sites.of(std::net::Ipv4Addr::from(address).into()).map(ToString::to_string);
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn garbage_is_no_panic(text in "\\PC{0,200}", number: u128) {
            if let Ok(sites) = Sites::parse(&format!("cidr,site\n{text}")) {
                let _ = sites.of(std::net::Ipv6Addr::from_bits(number).into());
            }
        }
    }
}

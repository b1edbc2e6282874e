//! Where an address is that no joined exchange showed: in a network of the operator's table, or told by an agent as its
//! node's own, in a range that a provider publishes. What none says is not known.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
};

use xcloud_common::slot::octets;

use super::{AgentId, store::SiteId};
use crate::sites::Sites;

/// An address in its IPv6-mapped form.
pub type Address = [u32; 4];

/// Most addresses of all agents.
const MOST_TOLD: usize = 1 << 20;
/// Most pairs of agents between which exchanges were joined.
const MOST_PAIRS: usize = 1 << 16;

/// What is known of addresses.
#[derive(Debug, Default)]
pub struct Places {
    /// The operator's.
    table: Table,
    /// The providers'.
    ranges: Vec<Table>,
    told: HashMap<AgentId, Vec<Address>>,
    /// Who told an address; several may.
    tellers: HashMap<Address, Vec<AgentId>>,
    told_in_all: usize,
    /// Agents between which exchanges were joined.
    pairs: HashSet<(AgentId, AgentId)>,
}

/// Networks, and the sites of their entries.
#[derive(Debug, Default)]
pub struct Table {
    /// The networks.
    pub networks: Sites,
    /// The sites, by number of the entry.
    pub sites: Vec<SiteId>,
}

impl Table {
    /// The site of the narrowest network that holds an address.
    fn of(&self, address: Address) -> Option<SiteId> {
        let at = self.networks.entry(Ipv6Addr::from(octets(address)).to_canonical())?;
        self.sites.get(at).copied()
    }
}

impl Places {
    /// Puts another table in the operator's place.
    pub fn set_table(&mut self, table: Table) {
        self.table = table;
    }

    /// Puts another table in the place of a provider's, by its number.
    pub fn set_ranges(&mut self, number: usize, table: Table) {
        if self.ranges.len() <= number {
            self.ranges.resize_with(number + 1, Table::default);
        }
        self.ranges[number] = table;
    }

    /// The sites of all tables, one for each of their entries.
    pub fn sites(&self) -> impl Iterator<Item = SiteId> {
        let tables = std::iter::once(&self.table).chain(&self.ranges);
        tables.flat_map(|table| table.sites.iter().copied())
    }

    /// Takes in the addresses of an agent's node.
    pub fn tell(&mut self, agent: AgentId, addresses: Vec<Address>) {
        if self.told.get(&agent).is_some_and(|told| *told == addresses) {
            return;
        }
        self.forget(agent);
        if addresses.is_empty() || self.told_in_all + addresses.len() > MOST_TOLD {
            return;
        }
        for address in &addresses {
            self.tellers.entry(*address).or_default().push(agent);
        }
        self.told_in_all += addresses.len();
        self.told.insert(agent, addresses);
    }

    /// Forgets what an agent told.
    pub fn forget(&mut self, agent: AgentId) {
        let addresses = self.told.remove(&agent).unwrap_or_default();
        self.told_in_all -= addresses.len();
        for address in addresses {
            if let Some(tellers) = self.tellers.get_mut(&address) {
                tellers.retain(|teller| *teller != agent);
                if tellers.is_empty() {
                    self.tellers.remove(&address);
                }
            }
        }
    }

    /// Learns that exchanges between two agents are joined, so each is in the other's network.
    pub fn met(&mut self, one: AgentId, other: AgentId) {
        if self.pairs.len() >= MOST_PAIRS {
            self.pairs.clear();
        }
        self.pairs.insert((one, other));
        self.pairs.insert((other, one));
    }

    /// Where the operator says that an address is.
    #[must_use]
    pub fn by_table(&self, address: Address) -> Option<SiteId> {
        self.table.of(address)
    }

    /// Where a provider says that an address is.
    #[must_use]
    pub fn by_ranges(&self, address: Address) -> Option<SiteId> {
        self.ranges.iter().find_map(|table| table.of(address))
    }

    /// The agent whose node has an address, for one that sends there. An address that several told is nobody's, and a
    /// private one may be another host's in the sender's network, unless the two are known to be in one.
    #[must_use]
    pub fn by_agent(&self, from: AgentId, address: Address) -> Option<AgentId> {
        let [teller] = self.tellers.get(&address)?[..] else { return None };
        let shared = is_public(address) || self.pairs.contains(&(from, teller));
        shared.then_some(teller)
    }
}

/// Whether an address means the same everywhere.
fn is_public(address: Address) -> bool {
    match Ipv6Addr::from(octets(address)).to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            let here = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            !(here || shared || a == 0 || a >= 224)
        }
        // 2000::/3
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use xcloud_common::slot::address;

    use super::*;

    fn ip(text: &str) -> Address {
        address(match text.parse().expect(text) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }

    #[test]
    fn a_public_address_is_its_tellers_and_a_private_one_only_for_who_met_it() {
        let mut places = Places::default();
        places.tell(1, vec![ip("203.0.113.1"), ip("10.0.0.1")]);
        assert_eq!(places.by_agent(2, ip("203.0.113.1")), Some(1));
        assert_eq!(places.by_agent(2, ip("10.0.0.1")), None, "it may be another's");
        places.met(2, 1);
        assert_eq!(places.by_agent(2, ip("10.0.0.1")), Some(1));
        assert_eq!(places.by_agent(3, ip("10.0.0.1")), None);
    }

    #[test]
    fn an_address_that_two_tell_is_nobodys() {
        let mut places = Places::default();
        places.tell(1, vec![ip("203.0.113.1")]);
        places.tell(2, vec![ip("203.0.113.1")]);
        assert_eq!(places.by_agent(3, ip("203.0.113.1")), None);
        places.tell(2, vec![]);
        assert_eq!(places.by_agent(3, ip("203.0.113.1")), Some(1));
        places.forget(1);
        assert_eq!(places.by_agent(3, ip("203.0.113.1")), None);
        assert_eq!((places.told_in_all, places.tellers.len()), (0, 0));
    }

    #[test]
    fn which_addresses_mean_the_same_everywhere() {
        for text in ["203.0.113.1", "8.8.8.8", "2001:db8::1"] {
            assert!(is_public(ip(text)), "{text}");
        }
        for text in ["10.0.0.1", "172.16.0.1", "100.64.0.1", "169.254.0.1", "0.0.0.1", "224.0.0.1"]
        {
            assert!(!is_public(ip(text)), "{text}");
        }
        for text in ["fd00::1", "fe80::1", "::1", "ff02::1"] {
            assert!(!is_public(ip(text)), "{text}");
        }
    }
}

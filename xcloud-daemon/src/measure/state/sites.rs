//! Sites that tables and agents name: none is kept that nothing bears, and agents can name only so many.

use super::{
    super::{Site, places::Table},
    Refusal, State,
};
use crate::sites::{Entry, Sites};

impl State {
    /// Puts another table of networks in place of the operator's.
    pub fn set_sites(&mut self, networks: Sites) {
        let table = self.table(networks);
        self.places.set_table(table);
        self.forget_sites();
    }

    /// Puts another table of networks in place of a provider's, by its number.
    pub fn set_ranges(&mut self, number: usize, networks: Sites) {
        let table = self.table(networks);
        self.places.set_ranges(number, table);
        self.forget_sites();
    }

    fn table(&mut self, networks: Sites) -> Table {
        let ids = networks.entries().iter().map(|Entry { place, name }| {
            self.store.site_id(&Site {
                cloud: place.cloud.clone(),
                region: place.region.clone(),
                zone: place.zone.clone(),
                node: name.clone(),
                cluster: String::new(),
            })
        });
        let sites = ids.collect();
        Table { networks, sites }
    }

    /// Whether a site may be named. Agents that change their labels can take so much and no more, beside the tables.
    pub(super) fn make_site_room(&mut self, site: &Site) -> Result<(), Refusal> {
        let most = 4 * self.max_agents + self.places.sites().count();
        if self.store.knows_site(site) || self.store.sites() < most {
            return Ok(());
        }
        self.forget_sites();
        if self.store.sites() < most {
            return Ok(());
        }
        Err(Refusal::Full("too many different sites were named".into()))
    }

    /// Forgets sites that no agent, table or path bears any more.
    fn forget_sites(&mut self) {
        let of_agents = self.agents.values().map(|agent| agent.identity.site);
        let borne = of_agents.chain(self.places.sites()).collect();
        self.store.forget_sites(borne);
    }
}

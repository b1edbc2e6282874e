//! How finely metrics tell places apart: a site with the labels a tier leaves out taken off.

use std::collections::HashMap;

use super::{Site, store::SiteId};

/// How many labels a site has: cloud, region, zone, cluster and node.
pub const LABELS: usize = 5;

/// How fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Pairs of clouds.
    Cloud,
    /// Pairs of regions.
    Region,
    /// Pairs of zones.
    Zone,
    /// Pairs of nodes.
    Node,
}

impl Tier {
    /// From which tier on each of [`LABELS`] is shown.
    const SHOWN: [Self; LABELS] = [Self::Cloud, Self::Region, Self::Zone, Self::Node, Self::Node];

    /// A site as this tier tells it apart from others.
    #[must_use]
    pub fn of(self, site: &Site) -> Site {
        let kept = |from: Self, label: &String| {
            if self >= from { label.clone() } else { String::new() }
        };
        Site {
            cloud: site.cloud.clone(),
            region: kept(Self::Region, &site.region),
            zone: kept(Self::Zone, &site.zone),
            node: kept(Self::Node, &site.node),
            cluster: kept(Self::Node, &site.cluster),
        }
    }

    /// The labels cloud, region, zone, cluster and node: `unknown` where the site lacks one, empty where the tier does.
    #[must_use]
    pub fn labels(self, site: &Site) -> [&str; LABELS] {
        let labels = [&site.cloud, &site.region, &site.zone, &site.cluster, &site.node];
        std::array::from_fn(|at| match &labels[at][..] {
            _ if self < Self::SHOWN[at] => "",
            "" => "unknown",
            label => label,
        })
    }

    /// One text for all of a tier's labels.
    #[must_use]
    pub fn all(self, text: &str) -> [&str; LABELS] {
        Self::SHOWN.map(|from| if self >= from { text } else { "" })
    }
}

/// The sites that a tier makes of a store's.
#[derive(Debug)]
pub struct Tiers {
    tier: Tier,
    /// By number in the store; none where it was not asked for yet.
    of: Vec<Option<SiteId>>,
    sites: Vec<Site>,
    ids: HashMap<Site, SiteId>,
}

impl Tiers {
    /// None yet.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self { tier, of: Vec::new(), sites: Vec::new(), ids: HashMap::new() }
    }

    /// How fine they are.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// What this tier makes of a store's site.
    pub fn id(&mut self, id: SiteId, site: &Site) -> SiteId {
        let place = id as usize;
        if place >= self.of.len() {
            self.of.resize(place + 1, None);
        }
        if let Some(known) = self.of[place] {
            return known;
        }
        let coarse = self.tier.of(site);
        let next = SiteId::try_from(self.sites.len()).unwrap_or(SiteId::MAX);
        let coarse_id = *self.ids.entry(coarse.clone()).or_insert(next);
        if coarse_id == next {
            self.sites.push(coarse);
        }
        self.of[place] = Some(coarse_id);
        coarse_id
    }

    /// The same, if it was made before.
    #[must_use]
    pub fn known(&self, id: SiteId) -> Option<SiteId> {
        self.of.get(id as usize).copied().flatten()
    }

    /// A site's labels by its number here, `unknown` without one.
    ///
    /// # Panics
    /// The number was not given by these.
    #[must_use]
    pub fn labels(&self, id: Option<SiteId>) -> [&str; LABELS] {
        match id {
            Some(id) => self.tier.labels(&self.sites[id as usize]),
            None => self.tier.all("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(zone: &str, node: &str) -> Site {
        Site {
            cloud: "aws".into(),
            region: "r".into(),
            zone: zone.into(),
            node: node.into(),
            cluster: "c".into(),
        }
    }

    #[test]
    fn a_tier_merges_what_it_cannot_tell_apart() {
        let mut tiers = Tiers::new(Tier::Zone);
        let ids = [site("a", "1"), site("a", "2"), site("b", "3"), site("", "4")];
        let ids: Vec<_> = (0..).zip(&ids).map(|(id, site)| tiers.id(id, site)).collect();
        assert_eq!(ids, [0, 0, 1, 2]);
        assert_eq!(tiers.id(1, &site("a", "2")), 0);
        assert_eq!(tiers.labels(Some(1)), ["aws", "r", "b", "", ""]);
        assert_eq!(tiers.labels(Some(2)), ["aws", "r", "unknown", "", ""]);
        assert_eq!(tiers.labels(None), ["unknown", "unknown", "unknown", "", ""]);
    }

    #[test]
    fn the_finest_tier_leaves_no_label_out() {
        assert_eq!(Tier::Node.labels(&site("", "1")), ["aws", "r", "unknown", "c", "1"]);
        assert_eq!(Tier::Cloud.all("other"), ["other", "", "", "", ""]);
    }
}

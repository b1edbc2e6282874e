//! How finely metrics tell paths apart, and the labels of a path's end.

use std::array;

use super::{
    Site,
    workload::{Keep, Workload},
};

/// How many labels a site has: cloud, region, zone, cluster and node.
pub const SITE_LABELS: usize = 5;
/// How many an end of a path has: those of its site, then namespace, kind of workload, workload and pod.
pub const LABELS: usize = 9;

/// What a label says that is not known.
const UNKNOWN: &str = "unknown";

/// An end's labels, in the order that [`LABELS`] says; one that is left out is empty.
pub type Labels = [String; LABELS];

/// How fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Pairs of clouds.
    Cloud,
    /// Pairs of regions.
    Region,
    /// Pairs of zones.
    Zone,
    /// Pairs of nodes.
    Node,
    /// Pairs of workloads, on whichever nodes of a cluster and region their pods are.
    Workload,
    /// Pairs of workloads, on each pair of nodes.
    Pair,
    /// Pairs of pods.
    Pod,
}

impl Tier {
    /// The labels that it shows.
    #[must_use]
    pub const fn shown(self) -> Shown {
        let (site, names) = match self {
            Self::Cloud => ([true, false, false, false, false], Keep::Nothing),
            Self::Region => ([true, true, false, false, false], Keep::Nothing),
            Self::Zone => ([true, true, true, false, false], Keep::Nothing),
            Self::Node => ([true; SITE_LABELS], Keep::Nothing),
            // As `xcloud split --group-by workload` does.
            Self::Workload => ([true, true, false, true, false], Keep::Workload),
            Self::Pair => ([true; SITE_LABELS], Keep::Workload),
            Self::Pod => ([true; SITE_LABELS], Keep::Pod),
        };
        Shown { site, names }
    }
}

/// Which labels of an end are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    site: [bool; SITE_LABELS],
    /// The names that must be kept for that.
    pub names: Keep,
}

impl Shown {
    /// The same without names.
    #[must_use]
    pub const fn sites(self) -> Self {
        Self { names: Keep::Nothing, ..self }
    }

    /// Labels of an end: `unknown` where it lacks one that is shown.
    #[must_use]
    pub fn labels(self, site: &Site, workload: &Workload) -> Labels {
        let all = [
            &site.cloud,
            &site.region,
            &site.zone,
            &site.cluster,
            &site.node,
            &workload.namespace,
            &workload.kind,
            &workload.name,
            &workload.pod,
        ];
        self.each(|at| if all[at].is_empty() { UNKNOWN } else { &all[at][..] })
    }

    /// Labels of an end of which nothing is known.
    #[must_use]
    pub fn unknown(self) -> Labels {
        self.all(UNKNOWN)
    }

    /// One text for all labels.
    #[must_use]
    pub fn all(self, text: &str) -> Labels {
        self.each(|_| text)
    }

    fn each<'a>(self, text: impl Fn(usize) -> &'a str) -> Labels {
        let Self { site, names } = self;
        let (named, pods) = (names >= Keep::Workload, names >= Keep::Pod);
        let shown = [site[0], site[1], site[2], site[3], site[4], named, named, named, pods];
        array::from_fn(|at| if shown[at] { text(at).into() } else { String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(tier: Tier) -> String {
        let site = Site {
            cloud: "aws".into(),
            region: "r".into(),
            zone: String::new(),
            node: "n".into(),
            cluster: "c".into(),
        };
        let workload = Workload {
            namespace: "shop".into(),
            kind: String::new(),
            name: "cart".into(),
            pod: "cart-1".into(),
        };
        tier.shown().labels(&site, &workload).join(" ")
    }

    #[test]
    fn a_tier_shows_what_it_tells_apart_and_says_what_is_unknown() {
        assert_eq!(labels(Tier::Cloud), "aws        ");
        assert_eq!(labels(Tier::Region), "aws r       ");
        assert_eq!(labels(Tier::Zone), "aws r unknown      ");
        assert_eq!(labels(Tier::Node), "aws r unknown c n    ");
        assert_eq!(labels(Tier::Workload), "aws r  c  shop unknown cart ");
        assert_eq!(labels(Tier::Pair), "aws r unknown c n shop unknown cart ");
        assert_eq!(labels(Tier::Pod), "aws r unknown c n shop unknown cart cart-1");
    }

    #[test]
    fn a_text_for_all_is_in_the_labels_shown_and_in_no_other() {
        let texts = Tier::Workload.shown().all("other").join(" ");
        assert_eq!(texts, "other other  other  other other other ");
        let sites = Tier::Workload.shown().sites().unknown().join(" ");
        assert_eq!(sites, "unknown unknown  unknown     ");
    }
}

//! Which exchanges a question wants, and how it merges them.

use std::sync::Arc;

use xcloud_proto::{
    common::v1::{ExchangeKind, Site as WireSite, Workload as WireWorkload},
    observer::v1::{Exchange, ExchangeFilter, GroupBy, SiteFilter, WorkloadFilter},
};

use super::answer;
use crate::measure::{
    Kind, Site,
    store::{Path, Store},
    workload::{Keep, Workload},
};

/// What a filter calls what is not known.
const UNKNOWN: &str = "unknown";

/// A filter that was understood.
#[derive(Debug)]
pub struct Filter {
    near: SiteFilter,
    far: SiteFilter,
    near_workload: WorkloadFilter,
    far_workload: WorkloadFilter,
    kinds: Vec<ExchangeKind>,
}

impl Filter {
    /// Reads a filter, where names are kept as far as `keep` says.
    ///
    /// # Errors
    /// It means nothing, or asks for names that are not kept.
    pub fn read(filter: ExchangeFilter, keep: Keep) -> Result<Self, String> {
        let kinds = filter
            .kinds
            .iter()
            .map(|number| match ExchangeKind::try_from(*number) {
                Ok(kind) if kind != ExchangeKind::Unspecified => Ok(kind),
                _ => Err(format!("filter.kinds has {number}, which means nothing")),
            })
            .collect::<Result<_, _>>()?;
        let read = Self {
            near: filter.near.unwrap_or_default(),
            far: filter.far.unwrap_or_default(),
            near_workload: filter.near_workload.unwrap_or_default(),
            far_workload: filter.far_workload.unwrap_or_default(),
            kinds,
        };
        for wanted in [&read.near_workload, &read.far_workload] {
            kept(least(wanted), keep)?;
        }
        Ok(read)
    }

    /// Whether a path is wanted.
    #[must_use]
    pub fn takes(&self, store: &Store, path: &Path) -> bool {
        let far = path.far.or(path.toward).map(|far| store.site(far));
        let far_matches = far
            .map_or_else(|| self.far == SiteFilter::default(), |far| site_matches(&self.far, far));
        let name = |id| workload_matches_own(store.workloads.get(id));
        far_matches
            && site_matches(&self.near, store.site(path.near))
            && name(path.near_workload)(&self.near_workload)
            && name(path.far_workload)(&self.far_workload)
            && self.takes_kind(answer::kind(path.kind))
    }

    fn takes_kind(&self, kind: ExchangeKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether a node can be either end.
    #[must_use]
    pub fn touches(&self, site: &Site) -> bool {
        site_matches(&self.near, site) || site_matches(&self.far, site)
    }

    /// Whether an exchange is wanted.
    #[must_use]
    pub fn takes_exchange(&self, exchange: &Exchange) -> bool {
        let site = |filter: &SiteFilter, site: &Option<WireSite>| {
            site.as_ref().is_some_and(|site| {
                labels_match(
                    filter,
                    [&site.cloud, &site.region, &site.zone, &site.node, &site.cluster],
                )
            })
        };
        site(&self.near, &exchange.near)
            && site(&self.far, &exchange.far)
            && names_match(&self.near_workload, exchange.near_workload.as_ref())
            && names_match(&self.far_workload, exchange.far_workload.as_ref())
            && self.takes_kind(exchange.kind())
    }
}

/// Whether a site is wanted.
#[must_use]
pub fn site_matches(filter: &SiteFilter, site: &Site) -> bool {
    labels_match(filter, [&site.cloud, &site.region, &site.zone, &site.node, &site.cluster])
}

fn labels_match(filter: &SiteFilter, labels: [&String; 5]) -> bool {
    [&filter.cloud, &filter.region, &filter.zone, &filter.node, &filter.cluster]
        .into_iter()
        .zip(labels)
        .all(|(wanted, label)| wanted.is_empty() || wanted == label)
}

fn workload_matches_own(own: &Workload) -> impl Fn(&WorkloadFilter) -> bool {
    |filter| fields_match(filter, [&own.namespace, &own.kind, &own.name, &own.pod])
}

fn names_match(filter: &WorkloadFilter, own: Option<&WireWorkload>) -> bool {
    let empty = String::new();
    let [a, b, c, d] =
        own.map_or([&empty; 4], |own| [&own.namespace, &own.kind, &own.name, &own.pod]);
    fields_match(filter, [a, b, c, d])
}

fn fields_match(filter: &WorkloadFilter, labels: [&String; 4]) -> bool {
    [&filter.namespace, &filter.kind, &filter.name, &filter.pod].into_iter().zip(labels).all(
        |(wanted, label)| {
            wanted.is_empty() || wanted == label || label.is_empty() && wanted == UNKNOWN
        },
    )
}

/// The least that must be kept for a filter to find anything.
fn least(filter: &WorkloadFilter) -> Keep {
    if !filter.pod.is_empty() {
        Keep::Pod
    } else if !filter.kind.is_empty() || !filter.name.is_empty() {
        Keep::Workload
    } else if !filter.namespace.is_empty() {
        Keep::Namespace
    } else {
        Keep::Nothing
    }
}

fn kept(wanted: Keep, keep: Keep) -> Result<(), String> {
    if wanted <= keep {
        return Ok(());
    }
    let name = match wanted {
        Keep::Pod => "pod",
        Keep::Workload => "workload",
        Keep::Namespace | Keep::Nothing => "namespace",
    };
    Err(format!(
        "this aggregator keeps no {name}s apart; it would with `xcloud aggregator --names {name}`"
    ))
}

/// What tells paths of an answer apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathGroup {
    /// Where the data was sent.
    pub near: Site,
    /// Where it was answered.
    pub far: Option<Site>,
    /// Where it was addressed to, if it is known and no far node was seen.
    pub toward: Option<Site>,
    /// Kind of exchange.
    pub kind: Kind,
    /// Whose pods sent and answered, where workloads are told apart.
    pub workloads: Option<(Workload, Workload)>,
}

impl PathGroup {
    /// That of a pair of sites.
    #[must_use]
    pub fn of_sites(near: &Site, far: Option<&Site>, kind: Kind) -> Self {
        Self { near: near.clone(), far: far.cloned(), toward: None, kind, workloads: None }
    }
}

/// How paths are merged.
#[derive(Clone, Copy, Debug)]
pub struct Grouping(GroupBy);

impl Grouping {
    /// Reads a grouping, where names are kept as far as `keep` says.
    ///
    /// # Errors
    /// It means nothing, or tells names apart that are not kept.
    pub fn read(number: i32, keep: Keep) -> Result<Self, String> {
        let by = GroupBy::try_from(number)
            .map_err(|_| format!("group_by is {number}, which means nothing"))?;
        kept(Self(by).names(), keep)?;
        Ok(Self(by))
    }

    /// The group of a path.
    #[must_use]
    pub fn of(self, store: &Store, path: &Path) -> PathGroup {
        let site = |id| self.site(store.site(id));
        let name = |id| self.names().of(store.workloads.get(id));
        let named = self.names() != Keep::Nothing;
        PathGroup {
            near: site(path.near),
            far: path.far.map(site),
            toward: path.toward.map(site),
            kind: path.kind,
            workloads: named.then(|| (name(path.near_workload), name(path.far_workload))),
        }
    }

    /// The names that tell groups apart.
    const fn names(self) -> Keep {
        match self.0 {
            GroupBy::Namespace => Keep::Namespace,
            GroupBy::Workload => Keep::Workload,
            GroupBy::Pod => Keep::Pod,
            _ => Keep::Nothing,
        }
    }

    /// Keeps the labels that tell groups apart.
    fn site(self, site: &Arc<Site>) -> Site {
        let mut site = Site::clone(site);
        if matches!(self.0, GroupBy::Unspecified | GroupBy::Node | GroupBy::Pod) {
            return site;
        }
        site.node.clear();
        if self.0 != GroupBy::Zone {
            site.zone.clear();
        }
        // Clusters lie in regions, as a rule, and hold namespaces.
        if self.names() == Keep::Nothing {
            site.cluster.clear();
        }
        if self.0 == GroupBy::Cloud {
            site.region.clear();
        }
        site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(namespace: &str, name: &str) -> WorkloadFilter {
        WorkloadFilter { namespace: namespace.into(), name: name.into(), ..Default::default() }
    }

    #[test]
    fn unknown_finds_what_is_not_known() {
        let none = Workload::default();
        let cart = Workload { name: "cart".into(), ..Workload::default() };
        let takes = |own, filter: &WorkloadFilter| workload_matches_own(own)(filter);
        assert!(takes(&none, &workload("", "unknown")) && !takes(&cart, &workload("", "unknown")));
        assert!(takes(&cart, &workload("unknown", "cart")) && !takes(&none, &workload("", "cart")));
        assert!(names_match(&workload("unknown", ""), None));
        assert!(!names_match(&workload("shop", ""), None));
    }

    #[test]
    fn names_that_are_not_kept_are_refused() {
        let filter = |near| ExchangeFilter { near_workload: Some(near), ..Default::default() };
        let pod = WorkloadFilter { pod: "cart-1".into(), ..Default::default() };
        let error = Filter::read(filter(pod), Keep::Workload).expect_err("not kept");
        assert!(error.contains("--names pod"), "{error}");
        assert!(Filter::read(filter(workload("shop", "cart")), Keep::Workload).is_ok());
        assert!(Filter::read(filter(workload("shop", "")), Keep::Nothing).is_err());
        assert!(Grouping::read(GroupBy::Pod.into(), Keep::Workload).is_err());
        assert!(Grouping::read(GroupBy::Pod.into(), Keep::Pod).is_ok());
        assert!(Grouping::read(99, Keep::Pod).is_err());
    }
}

//! Paths as rows: what they are sorted by, and which of them are wanted. No I/O.

use crate::{
    escape::clean,
    report::{Path, Site, Tail, style::place},
};

/// Tells paths apart from one answer to the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// A path and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which.
    pub key: Key,
    /// What is known of it.
    pub path: Path,
}

/// What a tail is made of, in the order in which bars show it.
pub const PARTS: [&str; 6] = ["CNI", "queue", "WAN", "pod", "beyond uplink", "unknown"];

impl Row {
    /// A row of a path.
    #[must_use]
    pub fn new(path: Path) -> Self {
        let labels = |site: &Site| {
            [&site.cloud, &site.region, &site.zone, &site.node, &site.cluster].map(String::clone)
        };
        let far = path.far.as_ref().map_or_else(Vec::new, |far| labels(far).to_vec());
        let all = [labels(&path.near).to_vec(), far, vec![path.kind.into()]].concat();
        Self { key: Key(all.join("\0")), path }
    }

    /// Both ends for people.
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        ends(&self.path.near, self.path.far.as_ref())
    }

    /// The 99th percentile, if there is any exchange.
    #[must_use]
    pub fn p99_ns(&self) -> Option<u64> {
        (self.path.total.count > 0).then_some(self.path.total.p99_ns)
    }

    /// The WAN's share of the tail, where it is known what the WAN is.
    #[must_use]
    pub fn wan_share(&self) -> Option<f64> {
        let tail = self.path.tail.as_ref().filter(|tail| tail.total_ns > 0)?;
        self.path.far.as_ref()?;
        Some((tail.wan_ns as f64 / tail.total_ns as f64).clamp(0.0, 1.0))
    }

    /// Share of the near end's exchanges that were not joined, as far as they could be.
    #[must_use]
    pub fn unjoined(&self) -> Option<f64> {
        self.path.far.as_ref().map(|_| (1.0 - self.path.joined_ratio).clamp(0.0, 1.0))
    }

    fn matches(&self, filter: &str) -> bool {
        let [near, far] = self.ends();
        let label = format!("{near} -> {far} {}", self.path.kind).to_lowercase();
        filter.split_whitespace().all(|word| label.contains(&clean(word).to_lowercase()))
    }
}

/// Two ends for people.
#[must_use]
pub fn ends(near: &Site, far: Option<&Site>) -> [String; 2] {
    [place(near), far.map_or_else(|| "beyond the uplink".into(), place)]
}

/// The parts of a tail as lengths; what is below zero has none.
#[must_use]
pub fn parts(tail: &Tail) -> [u64; PARTS.len()] {
    let length = |ns: i64| u64::try_from(ns).unwrap_or(0);
    let Tail { cni_ns, queue_ns, wan_ns, pod_ns, beyond_uplink_ns, unattributed_ns, .. } = tail;
    [*cni_ns, *queue_ns, length(*wan_ns), *pod_ns, *beyond_uplink_ns, length(*unattributed_ns)]
}

/// What paths are sorted by, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// 99th percentile.
    #[default]
    P99,
    /// Number of exchanges.
    Exchanges,
    /// The WAN's share of the tail.
    Wan,
    /// Share of exchanges that were not joined.
    Unjoined,
}

impl Sort {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P99 => "p99",
            Self::Exchanges => "exchanges",
            Self::Wan => "WAN share",
            Self::Unjoined => "unjoined",
        }
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::P99 => Self::Exchanges,
            Self::Exchanges => Self::Wan,
            Self::Wan => Self::Unjoined,
            Self::Unjoined => Self::P99,
        }
    }

    fn by(self, row: &Row) -> f64 {
        let figure = match self {
            Self::P99 => row.p99_ns().map(|ns| ns as f64),
            Self::Exchanges => Some(row.path.exchanges as f64),
            Self::Wan => row.wan_share(),
            Self::Unjoined => row.unjoined(),
        };
        figure.unwrap_or(-1.0)
    }
}

/// The rows wanted, in order; equal ones stay as the aggregator has them.
#[must_use]
pub fn arranged<'a>(rows: &'a [Row], sort: Sort, filter: &str) -> Vec<&'a Row> {
    let mut wanted: Vec<_> = rows.iter().filter(|row| row.matches(filter)).collect();
    wanted.sort_by(|one, other| sort.by(other).total_cmp(&sort.by(one)));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::sample::path;

    fn names(rows: &[Row], sort: Sort, filter: &str) -> Vec<String> {
        let arranged = arranged(rows, sort, filter);
        arranged.iter().filter_map(|row| row.path.far.clone()).map(|far| far.cloud).collect()
    }

    #[test]
    fn rows_are_sorted_by_what_is_asked_for() {
        let mut rows: Vec<_> = [("gcp", 30), ("azure", 50), ("oci", 40)]
            .map(|(far, ms)| Row::new(path("aws", far, ms * 1_000_000)))
            .into();
        rows[0].path.exchanges = 1_000_000;
        rows[2].path.joined_ratio = 0.5;
        if let Some(tail) = &mut rows[1].path.tail {
            tail.wan_ns = 0;
        }
        assert_eq!(names(&rows, Sort::P99, ""), ["azure", "oci", "gcp"]);
        assert_eq!(names(&rows, Sort::Exchanges, "")[0], "gcp");
        assert_eq!(names(&rows, Sort::Unjoined, "")[0], "oci");
        assert_eq!(names(&rows, Sort::Wan, "")[2], "azure");
        assert_eq!(names(&rows, Sort::P99, "AWS azu"), ["azure"]);
        assert_eq!(names(&rows, Sort::P99, "handshake"), [""; 0]);
    }

    #[test]
    fn what_is_not_known_comes_last_and_is_never_called_wan() {
        let lone = Row::new(Path { far: None, ..path("aws", "gcp", 90_000_000) });
        assert_eq!((lone.wan_share(), lone.unjoined()), (None, None));
        let rows = [lone, Row::new(path("aws", "gcp", 1))];
        assert!(arranged(&rows, Sort::Wan, "")[0].path.far.is_some());
        assert_ne!(rows[0].key, rows[1].key);
    }
}

//! How answers are shown: one format, one file. The names in [`Report`] are stable; programs read them.

pub mod columns;
pub mod convert;
pub mod csv;
pub mod exchange;
pub mod json;
pub mod nodes;
pub mod once;
pub mod stages;
pub mod style;
pub mod table;

use serde::Serialize;

use crate::measure::workload::Keep;

/// Where the time went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// One entry a path and kind, in a stable order.
    pub paths: Vec<Path>,
    /// Pods of all nodes that are not seen at their interface on the node.
    pub pods: Vec<Pod>,
    /// Where observations went, of the whole system.
    pub loss: Loss,
    /// Start of the range answered, RFC 3339.
    pub start: Option<String>,
    /// End of the range answered, RFC 3339.
    pub end: Option<String>,
    /// How far back data goes, RFC 3339.
    pub oldest_available: Option<String>,
    /// Stage profiles, one a node; left out when not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<stages::Node>>,
}

/// A pod whose packets a CNI takes past its interface on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Where it runs.
    pub site: Site,
    /// Its interface on the node.
    pub interface: String,
    /// Where they are seen instead.
    pub place: Place,
    /// Why.
    pub why: String,
}

/// Where a pod's packets are seen, if not at its interface on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// At its own interface, in its network namespace.
    Inside,
    /// At its TCP sockets.
    Sockets,
    /// Not in full, so nothing of it is shown; or nowhere that this program knows of.
    Hidden,
}

/// Labels of one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Cloud provider.
    pub cloud: String,
    /// Region of the cloud.
    pub region: String,
    /// Availability zone.
    pub zone: String,
    /// Node name.
    pub node: String,
    /// Kubernetes cluster; left out when none was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// Whose a pod is. What is not told apart is left out; what is and is not known is the text `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Kubernetes namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Kind of what runs the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
}

impl Workload {
    /// Its fields with the names that spreadsheets give them.
    const fn fields(&self) -> [(&'static str, &String); 4] {
        [
            ("namespace", &self.namespace),
            ("kind", &self.kind),
            ("workload", &self.name),
            ("pod", &self.pod),
        ]
    }
}

impl Report {
    /// Says what is not known of the names that tell its paths apart.
    pub fn say_unknown(&mut self, names: Keep) {
        for path in &mut self.paths {
            for workload in [&mut path.near_workload, &mut path.far_workload].into_iter().flatten()
            {
                for (least, text) in [
                    (Keep::Namespace, &mut workload.namespace),
                    (Keep::Workload, &mut workload.kind),
                    (Keep::Workload, &mut workload.name),
                    (Keep::Pod, &mut workload.pod),
                ] {
                    if names >= least && text.is_empty() {
                        "unknown".clone_into(text);
                    }
                }
            }
        }
    }
}

/// One path and kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Path {
    /// Where the data was sent.
    pub near: Site,
    /// Where it was answered; null when no far node was seen.
    pub far: Option<Site>,
    /// Whose pods sent it; left out where workloads are not told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_workload: Option<Workload>,
    /// Whose pods answered it, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub far_workload: Option<Workload>,
    /// Where the data was addressed to, as an agent or the operator's table says; left out where a far node was seen or
    /// nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_site: Option<Site>,
    /// Kind of exchange.
    pub kind: &'static str,
    /// Exchanges the near end saw.
    pub exchanges: u64,
    /// Of those, seen by both ends and joined.
    pub joined: u64,
    /// Share of the traffic that was selected.
    pub sampled_ratio: f64,
    /// Share of the near end's exchanges, as far as selected at the far end too, that were joined.
    pub joined_ratio: f64,
    /// What became of those that were not.
    pub unjoined: Unjoined,
    /// The whole.
    pub total: Times,
    /// Its parts, in the order of travel; those not measured are left out.
    #[serde(serialize_with = "as_map")]
    pub segments: Vec<(&'static str, Times)>,
    /// What the tail is made of; null without exchanges.
    pub tail: Option<Tail>,
    /// Bound of what clock rates can put into the WAN at the tail, in nanoseconds.
    pub clock_error_ns: u64,
    /// Exchanges whose WAN time came out below zero, counted as zero.
    pub negative_wan: u64,
}

/// Exchanges that were not joined, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unjoined {
    /// Only the near end came, though selected at both.
    pub near_alone: u64,
    /// Only the near end came, since the far node selects fewer.
    pub thinned: u64,
    /// Only the far end came.
    pub far_alone: u64,
    /// The ends named different answering packets.
    pub other_answer: u64,
}

/// A distribution, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Number of values.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// Mean.
    pub mean_ns: u64,
}

/// Mean make-up of the exchanges around a quantile, in nanoseconds; the parts add up to the total exactly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tail {
    /// The quantile.
    pub quantile: f64,
    /// Mean total.
    pub total_ns: u64,
    /// Both nodes' CNI.
    pub cni_ns: u64,
    /// Both nodes' uplink queues.
    pub queue_ns: u64,
    /// The WAN.
    pub wan_ns: i64,
    /// The far pod.
    pub pod_ns: u64,
    /// Beyond the uplink, where no far node was seen.
    pub beyond_uplink_ns: u64,
    /// Unknown, since hooks were not passed.
    pub unattributed_ns: i64,
    /// How many exchanges these are.
    pub exchanges: u64,
    /// The same, segment by segment.
    #[serde(serialize_with = "as_map")]
    pub segments: Vec<(&'static str, i64)>,
}

/// Where observations went: `emitted = delivered + lost + pending + earlier`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Completed or given up by the kernel.
    pub emitted: u64,
    /// Became part of an answer.
    pub delivered: u64,
    /// The rest, by reason.
    pub lost: Lost,
    /// Under way.
    pub pending: u64,
    /// Delivered to another aggregator, or an earlier life of this one.
    pub earlier: u64,
}

/// Losses by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Ring buffer full.
    pub ring: u64,
    /// Slot taken over or torn.
    pub slot: u64,
    /// Sent more than once.
    pub retransmit: u64,
    /// The agent's queue was full.
    pub queue: u64,
    /// Not joined.
    pub join: u64,
    /// Died with an agent.
    pub agent: u64,
    /// The aggregator's store had no room.
    pub store: u64,
    /// Of pods that are not seen in full.
    pub hidden: u64,
}

impl Lost {
    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.reasons().iter().map(|(_, count)| count).sum()
    }

    /// All reasons with their names.
    #[must_use]
    pub const fn reasons(&self) -> [(&'static str, u64); 8] {
        [
            ("ring", self.ring),
            ("slot", self.slot),
            ("retransmit", self.retransmit),
            ("queue", self.queue),
            ("join", self.join),
            ("agent", self.agent),
            ("store", self.store),
            ("hidden", self.hidden),
        ]
    }
}

fn as_map<S: serde::Serializer, V: Serialize>(
    entries: &[(&'static str, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, value)| (name, value)))
}

//! Every metric there is: its name, what it says, its unit and its labels. `docs/metrics.md` is this file as a table.

/// How a metric's values are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a new start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution that only grows.
    Histogram,
}

impl Kind {
    /// Its name in the exposition formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name in Prometheus, as samples have it.
    pub name: &'static str,
    /// How its values are to be taken.
    pub kind: Kind,
    /// Unit, empty for plain numbers.
    pub unit: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Name in OTLP, where it is exported.
    pub otlp: Option<&'static str>,
}

macro_rules! families {
    ($(#[$about:meta])* $list:ident: $(
        $constant:ident = $kind:ident $name:literal $([$unit:literal])? $(as $otlp:literal)? {$($of:ident:)? $($label:literal),*} $help:literal;
    )*) => {
        $(
            #[doc = $help]
            pub static $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                unit: concat!($($unit)?),
                help: $help,
                labels: families!(@labels $($of)? $($label)*),
                otlp: families!(@otlp $($otlp)?),
            };
        )*
        $(#[$about])*
        pub static $list: &[&Family] = &[$(&$constant),*];
    };
    (@labels $($label:literal)*) => { &[$($label),*] };
    (@labels path $($label:literal)*) => {
        &[
            "near_cloud", "near_region", "near_zone", "near_cluster", "near_node",
            "near_namespace", "near_workload_kind", "near_workload", "near_pod",
            "far_cloud", "far_region", "far_zone", "far_cluster", "far_node",
            "far_namespace", "far_workload_kind", "far_workload", "far_pod",
            $($label),*
        ]
    };
    (@otlp) => { None };
    (@otlp $otlp:literal) => { Some($otlp) };
}

families! {
    /// What the aggregator tells of paths.
    PATHS:
    DATAPATH = Histogram "xcloud_datapath_latency_seconds" ["seconds"] as "xcloud.datapath.latency" {path: "kind", "segment"}
        "Time exchanges spent in each segment of their path; segments add up to the whole.";
    EXCHANGE = Histogram "xcloud_exchange_latency_seconds" ["seconds"] as "xcloud.exchange.latency" {path: "kind"}
        "Whole time of exchanges, from the data leaving the near pod to the answer entering it.";
    PATH_EXCHANGES = Counter "xcloud_path_exchanges_total" as "xcloud.path.exchanges" {path: "kind", "outcome"}
        "Sampled exchanges by what became of them: recorded in the histograms, or seen by one end only (near_alone, far_alone, thinned where the far node selects fewer) or with other_answer at the far end.";
    REPRESENTED = Counter "xcloud_path_represented_exchanges_total" as "xcloud.path.represented_exchanges" {path: "kind"}
        "Exchanges that the recorded ones stand for: recorded divided by this is the sampling share.";
    NEGATIVE_WAN = Counter "xcloud_path_negative_wan_total" {path: "kind"}
        "Exchanges whose WAN time came out below zero by clock drift and is in the histogram as zero.";
}

families! {
    /// What the aggregator tells of agents and of itself.
    AGGREGATOR:
    EGRESS_BYTES = Counter "xcloud_egress_bytes_total" ["bytes"] as "xcloud.egress.bytes" {
        "source_cloud", "source_region", "source_zone", "source_cluster", "source_node",
        "destination_cloud", "destination_region", "destination_zone", "destination_cluster", "destination_node", "carriage"
    } "Bytes that left nodes by their uplinks, with all headers, where agents run with --account.";
    EGRESS_PACKETS = Counter "xcloud_egress_packets_total" as "xcloud.egress.packets" {
        "source_cloud", "source_region", "source_zone", "source_cluster", "source_node",
        "destination_cloud", "destination_region", "destination_zone", "destination_cluster", "destination_node", "carriage"
    } "Packets that left nodes by their uplinks, likewise.";
    EGRESS_PAYLOAD = Counter "xcloud_egress_payload_bytes_total" ["bytes"] as "xcloud.egress.payload_bytes" {
        "source_cloud", "source_region", "source_zone", "source_cluster", "source_node",
        "destination_cloud", "destination_region", "destination_zone", "destination_cluster", "destination_node", "carriage"
    } "Bytes behind the TCP or UDP header of those packets, as far as they can be seen.";
    EMITTED = Counter "xcloud_observations_emitted_total" as "xcloud.observations.emitted" {}
        "Observations that the kernel programs of all agents completed or gave up: those delivered, lost, pending and delivered elsewhere.";
    DELIVERED = Counter "xcloud_observations_delivered_total" as "xcloud.observations.delivered" {}
        "Observations that became part of an answer; an exchange joined takes two.";
    LOST = Counter "xcloud_observations_lost_total" as "xcloud.observations.lost" {"hop", "reason"}
        "Observations lost, by where (kernel, agent, aggregator) and why.";
    ELSEWHERE = Counter "xcloud_observations_elsewhere_total" {}
        "Observations that agents delivered to another aggregator or an earlier life of this one.";
    PENDING = Gauge "xcloud_observations_pending" {}
        "Observations in a ring, in a queue or waiting for the other end.";
    JOIN = Counter "xcloud_join_observations_total" {"outcome"}
        "Observations that the join decided about, by outcome.";
    JOIN_WAITING = Gauge "xcloud_join_waiting_observations" {}
        "Observations waiting for their other end.";
    JOIN_CAPACITY = Gauge "xcloud_join_capacity_observations" {}
        "Most observations that may wait, as --join-capacity says.";
    STORE_PATHS = Gauge "xcloud_store_paths" {}
        "Paths kept apart by the store.";
    STORE_PATHS_LIMIT = Gauge "xcloud_store_paths_limit" {}
        "Most paths that may be, as --max-paths says; exchanges on further ones are lost with reason store.";
    STORE_BYTES = Gauge "xcloud_store_bytes" ["bytes"] {}
        "Memory that the store takes, with the sums that are told here and with names.";
    STORE_BYTES_LIMIT = Gauge "xcloud_store_limit_bytes" ["bytes"] {}
        "Most memory that it may take, as --max-memory says.";
    STORE_REFUSED = Counter "xcloud_store_refused_total" {"limit"}
        "Exchanges, joined or not, for which the store had no room: it had as many paths, or as much memory, as it may have.";
    STORE_GIVEN_UP = Counter "xcloud_store_given_up_total" {}
        "Intervals given up before --retention, the oldest first, since there was no memory for them.";
    REFUSED = Counter "xcloud_refused_total" {}
        "Batches and streams of agents refused, statuses and stage profiles passed over.";
    AGENTS = Gauge "xcloud_agents" {"state"}
        "Agents known, by whether they are connected.";
    AGENT_CONNECTED = Gauge "xcloud_agent_connected" {"cloud", "region", "zone", "cluster", "node"}
        "Whether the agent's stream is open: 1 or 0.";
    AGENT_LAST_BATCH = Gauge "xcloud_agent_last_batch_timestamp_seconds" ["seconds"] {"cloud", "region", "zone", "cluster", "node"}
        "When the agent's last batch was merged, in seconds since 1970.";
    AGENT_SAMPLED = Gauge "xcloud_agent_sampled_ratio" {"cloud", "region", "zone", "cluster", "node"}
        "Share of exchanges that the agent selects: 1 for all, 0.5 for every other.";
    AGENT_EMITTED = Counter "xcloud_agent_emitted_total" {"cloud", "region", "zone", "cluster", "node"}
        "Observations that the agent's kernel programs completed or gave up.";
    AGENT_LOST = Counter "xcloud_agent_lost_total" {"cloud", "region", "zone", "cluster", "node"}
        "Of those, lost at any hop.";
    SERIES = Gauge "xcloud_metrics_series" {}
        "Paths that have series of their own here.";
    SERIES_LIMIT = Gauge "xcloud_metrics_series_limit" {}
        "Most paths that may have, as --metrics-max-series says, or fewer where --max-memory is small.";
    SERIES_CUT = Gauge "xcloud_metrics_series_cut" {}
        "Paths kept by the store that have none and are summed under labels that say other.";
    OTLP_EXPORTS = Counter "xcloud_otlp_exports_total" {"result"}
        "Exports by OTLP, by result: ok, or failed where it was given up until the next.";
    OTLP_REJECTED = Counter "xcloud_otlp_rejected_points_total" {}
        "Data points that the receiver of exports said it rejected.";
}

families! {
    /// What an agent tells.
    AGENT:
    HOOK_STATE = Gauge "xcloud_hook_state" {"interface", "hook", "state"}
        "1 for the state of each hook: on, off (not yet, or by the kill switch), failed (tried again at the next change), left_alone.";
    SAMPLING_SHIFT = Gauge "xcloud_sampling_shift" {}
        "Sampling mask in force: one exchange in 2 to this power is selected.";
    SAMPLED = Gauge "xcloud_sampled_ratio" {}
        "The same as a share: 1 for all.";
    OPENED = Counter "xcloud_agent_exchanges_opened_total" {}
        "Exchanges opened in a slot.";
    UNANSWERED = Counter "xcloud_agent_exchanges_unanswered_total" {}
        "Exchanges that nothing answered exactly.";
    LOCAL_EMITTED = Counter "xcloud_agent_observations_emitted_total" {}
        "Observations that reached their last hook.";
    LOCAL_LOST = Counter "xcloud_agent_observations_lost_total" {"reason"}
        "Observations and exchanges lost on this node, by reason.";
    LEFT_OUT = Counter "xcloud_kernel_packets_left_out_total" {"reason"}
        "Packets that the kernel programs made nothing of: other_copy and other_flow (they answer another copy of the data, or another connection's), fragment, malformed, encrypted_unmatched (left encrypted, and nothing in it is known).";
    QUEUED = Gauge "xcloud_agent_queue_observations" {}
        "Observations waiting to be sent or acknowledged.";
    QUEUE_CAPACITY = Gauge "xcloud_agent_queue_capacity_observations" {}
        "Most that may wait, as --queue says.";
    RING_BYTES = Gauge "xcloud_agent_ring_bytes" ["bytes"] {}
        "Most bytes seen waiting in the ring between kernel and agent since the last look.";
    RING_CAPACITY = Gauge "xcloud_agent_ring_capacity_bytes" ["bytes"] {}
        "Size of that ring.";
    PROGRAM_SECONDS = Counter "xcloud_program_run_seconds_total" ["seconds"] {"program"}
        "Time a kernel program ran; 0 while the kernel keeps no statistics, see --bpf-stats.";
    PROGRAM_RUNS = Counter "xcloud_program_runs_total" {"program"}
        "How often a kernel program ran; likewise.";
}

families! {
    /// What both tell of their process.
    PROCESS:
    BUILD = Gauge "xcloud_build_info" {"component", "version"}
        "Always 1; the labels say what runs.";
    CPU = Counter "process_cpu_seconds_total" ["seconds"] {}
        "User and system time of the process.";
    RESIDENT = Gauge "process_resident_memory_bytes" ["bytes"] {}
        "Resident memory of the process.";
    STARTED = Gauge "process_start_time_seconds" ["seconds"] {}
        "When the process began, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::measure::tier::Tier;

    fn all() -> impl Iterator<Item = &'static Family> {
        [PATHS, AGGREGATOR, AGENT, PROCESS].into_iter().flatten().copied()
    }

    #[test]
    fn names_say_unit_and_kind_and_none_comes_twice() {
        for Family { name, kind, unit, .. } in all() {
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(name.trim_end_matches("_total").ends_with(unit), "{name} in {unit}");
        }
        let names: HashSet<_> = all().map(|family| family.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn each_is_a_sentence() {
        assert!(all().all(|family| family.help.ends_with('.') && !family.help.contains('\n')));
    }

    /// A label; those of an end of a path, which another table has, under their beginning.
    fn told(label: &str) -> String {
        let ends = ["near_", "far_", "source_", "destination_"];
        let end = ends.into_iter().find(|end| label.starts_with(end));
        end.map_or_else(|| format!("`{label}`"), |end| format!("`{end}…`"))
    }

    /// The tables of `docs/metrics.md`.
    fn table(families: &[&Family]) -> String {
        let row = |family: &&Family| {
            let mut labels: Vec<_> = family.labels.iter().map(|label| told(label)).collect();
            labels.dedup();
            let unit = if family.unit.is_empty() { "" } else { family.unit };
            format!(
                "| `{}` | {} | {unit} | {} | {} |\n",
                family.name,
                family.kind.name(),
                labels.join(" "),
                family.help
            )
        };
        families.iter().map(row).collect()
    }

    #[test]
    fn the_documentation_has_every_tier_with_its_labels() {
        let docs = include_str!("../../../docs/metrics.md");
        let names = EXCHANGE.labels.iter().filter_map(|label| label.strip_prefix("near_"));
        let names: Vec<_> = names.collect();
        let tiers = [
            ("cloud", Tier::Cloud),
            ("region", Tier::Region),
            ("zone", Tier::Zone),
            ("node", Tier::Node),
            ("workload", Tier::Workload),
            ("pair", Tier::Pair),
            ("pair` with `--names pod", Tier::Pod),
        ];
        for (name, tier) in tiers {
            let shown = tier.shown().all("x");
            let labels = names.iter().zip(&shown).filter(|(_, shown)| !shown.is_empty());
            let labels: Vec<_> = labels.map(|(label, _)| format!("`{label}`")).collect();
            let row = format!("| `{name}` | {} |", labels.join(" "));
            assert!(docs.contains(&row), "docs/metrics.md lacks this row:\n{row}");
        }
    }

    #[test]
    fn the_documentation_has_every_metric_as_it_is() {
        let docs = include_str!("../../../docs/metrics.md");
        for families in [PATHS, AGGREGATOR, AGENT, PROCESS] {
            let table = table(families);
            assert!(
                docs.contains(&table),
                "docs/metrics.md lacks or misses in this table:\n{table}"
            );
        }
    }
}

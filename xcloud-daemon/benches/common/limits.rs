//! What an aggregator that is measured may hold.

use xcloud::measure::{join, state::Limits, store, workload::Keep};

const SECOND_NS: u64 = 1_000_000_000;

pub(crate) fn limits() -> Limits {
    Limits {
        join: join::Limits { window_ns: 10 * SECOND_NS, capacity: 1_000_000 },
        store: store::Limits {
            interval_ns: 10 * SECOND_NS,
            retention_ns: 3_600 * SECOND_NS,
            max_paths: 100_000,
            max_bytes: usize::MAX,
            keep: Keep::Workload,
        },
        max_agents: 10_000,
    }
}

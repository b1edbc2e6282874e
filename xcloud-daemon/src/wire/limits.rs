//! What the aggregator takes of what an agent says. Both ends go by this: what is longer is refused, or passed over where
//! it stands beside samples.

use crate::measure::ledger::PodView;

/// Longest name, label or line of a hook in bytes: that of a DNS name.
pub const LONGEST_LABEL: usize = 253;
/// Longest sentence in bytes.
pub const LONGEST_SENTENCE: usize = 1 << 10;
/// Most bytes that an agent's hooks may take, and what it says of its pods.
pub const MOST_TEXT: usize = 64 << 10;
/// Most pods in a stage profile, both directions.
pub const MOST_STAGE_PODS: usize = 2_048;

/// Bytes that the line of a hook takes.
#[must_use]
pub const fn hook_size(line: &str) -> usize {
    line.len() + size_of::<String>()
}

/// Bytes that what is said of a pod takes.
#[must_use]
pub const fn pod_size(interface: &str, why: &str) -> usize {
    interface.len() + why.len() + size_of::<PodView>()
}

//! What the wire says about itself.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Anything longer is counted as this long.
const LONGEST_NS: u64 = 60_000_000_000;

/// A distribution of nanoseconds, summed up.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Summary {
    /// Number of values.
    pub(crate) count: u64,
    /// Mean.
    pub(crate) mean_ns: u64,
    /// Median.
    pub(crate) p50_ns: u64,
    /// 99th percentile.
    pub(crate) p99_ns: u64,
    /// Largest.
    pub(crate) max_ns: u64,
}

/// The report file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct WireReport {
    /// Whether the wire runs with real-time priority.
    pub(crate) real_time: bool,
    /// Packets carried, super-segments counted once.
    pub(crate) packets: u64,
    /// Bytes carried, without virtio-net headers.
    pub(crate) bytes: u64,
    /// Dropped because asked to.
    pub(crate) lost: u64,
    /// Dropped because the rate-limited wire's queue was full.
    pub(crate) overflowed: u64,
    /// Dropped because no node has the destination (neighbour discovery and the like).
    pub(crate) unroutable: u64,
    /// Refused by the receiving kernel.
    pub(crate) refused: u64,
    /// How much later than due packets were handed to the receiving kernel.
    pub(crate) late: Summary,
    /// From a packet's sending to its being read, by probes: what the wire subtracts, by its median.
    pub(crate) handoff: Summary,
    /// From a filler's sending to its being read, where a standing queue was asked for.
    pub(crate) queue: Summary,
}

/// Running figures.
#[derive(Debug)]
pub(crate) struct Stats {
    /// The plain counts.
    pub(crate) counts: WireReport,
    late: Histogram<u64>,
    handoff: Histogram<u64>,
    queue: Histogram<u64>,
}

impl Stats {
    /// Nothing counted yet.
    pub(crate) fn new(real_time: bool) -> Result<Self> {
        let histogram =
            || Histogram::<u64>::new_with_max(LONGEST_NS, 3).context("making a histogram");
        Ok(Self {
            counts: WireReport { real_time, ..WireReport::default() },
            late: histogram()?,
            handoff: histogram()?,
            queue: histogram()?,
        })
    }

    /// A packet was handed over this much after it was due.
    pub(crate) fn late(&mut self, nanoseconds: u64) {
        self.late.saturating_record(nanoseconds);
    }

    /// A probe took this long from its sending to its being read.
    pub(crate) fn handoff(&mut self, nanoseconds: u64) {
        self.handoff.saturating_record(nanoseconds);
    }

    /// A filler took this long from its sending to its being read.
    pub(crate) fn queue(&mut self, nanoseconds: u64) {
        self.queue.saturating_record(nanoseconds);
    }

    /// Writes the report in one step, so that readers never see half of it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let report = WireReport {
            late: summary(&self.late),
            handoff: summary(&self.handoff),
            queue: summary(&self.queue),
            ..self.counts.clone()
        };
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(&report)?)
            .and_then(|()| fs::rename(&fresh, path))
            .with_context(|| format!("writing the wire's report to {}", path.display()))
    }
}

fn summary(histogram: &Histogram<u64>) -> Summary {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of u64 values is never negative and fits"
    )]
    let mean_ns = histogram.mean() as u64;
    Summary {
        count: histogram.len(),
        mean_ns,
        p50_ns: histogram.value_at_quantile(0.5),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
    }
}

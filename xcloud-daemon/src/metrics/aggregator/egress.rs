//! What left the nodes, by where it came from and where it went.

use super::super::{Sample, Sink, Value, family, family::Family};
use crate::wire::{egress::sums::Line, server::Hub};

/// What a family counts of a line.
type Count = fn(&Line) -> u64;

/// Tells of all that agents account for; nothing where none does.
pub(super) fn tell(hub: &Hub, sink: &mut dyn Sink) {
    let lines = hub.egress_sums();
    let families: [(&'static Family, Count); 3] = [
        (&family::EGRESS_BYTES, |line| line.sums.wire_bytes),
        (&family::EGRESS_PACKETS, |line| line.sums.packets),
        (&family::EGRESS_PAYLOAD, |line| line.sums.payload_bytes),
    ];
    for (family, count) in families {
        sink.family(family);
        for line in &lines {
            let labels: Vec<_> = line.labels.iter().map(AsRef::as_ref).collect();
            sink.sample(Sample { labels: &labels, since_ns: 0, value: Value::Count(count(line)) });
        }
    }
}

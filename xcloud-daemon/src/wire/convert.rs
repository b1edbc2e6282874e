//! Samples as columns and back: the only file that knows both what the kernel says and what the ingest wire carries.

mod decode;

use std::{collections::HashMap, sync::Arc};

use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::{Tuple, octets},
};
use xcloud_proto::{
    common::v1::{Endpoint, Workload},
    ingest::v1::{Connection, SampleBatch},
};

pub use decode::{DecodeError, Decoded, decode};

use super::outbox::Named;

/// Most samples one batch may carry.
pub const MAX_SAMPLES: usize = 65_536;

/// Longest time between a sample's first and last stamp, in nanoseconds: ten minutes, ten times what the kernel side
/// waits for an answer.
pub const MAX_SPAN_NS: u64 = 600_000_000_000;

/// Bits of a flags word.
const KINDS: u32 = (kind::HANDSHAKE | kind::ACK | kind::RESPONSE) as u32;
const FLAGS: u32 = (flag::FAR | flag::RESENT) as u32;
const FLAGS_AT: u32 = 3;
const SHIFT_AT: u32 = 8;
const SHIFT_MASK: u32 = 0x1f;

/// Samples as columns; sequence, clock and totals are left to the sender. A stamp out of order counts as a hook that
/// was not passed, so that no sample makes the whole batch unreadable.
#[must_use]
pub fn encode(samples: &[Named]) -> SampleBatch {
    let mut batch = with_capacity(samples.len());
    let mut known = HashMap::new();
    let mut workloads = HashMap::new();
    let mut previous = 0u64;
    for Named { sample, workload } in samples {
        let workload = workload.as_ref().map_or(0, |workload| {
            // By place: what is told of one pod is in one place, and comparing texts would cost more.
            *workloads.entry(Arc::as_ptr(workload)).or_insert_with(|| {
                batch.workloads.push(Workload::clone(workload));
                u32::try_from(batch.workloads.len()).unwrap_or(0)
            })
        });
        let key = (sample.tuple, sample.pod_ifindex, sample.uplink_ifindex, workload);
        let index = *known.entry(key).or_insert_with(|| {
            batch.connections.push(connection(sample, workload));
            batch.connections.len() - 1
        });
        batch.connection.push(u32::try_from(index).unwrap_or(u32::MAX));
        batch.end_sequence.push(sample.end_seq);
        batch.timestamp_value.push(sample.tsval);
        batch.answer.push(sample.answer);
        batch.flags.push(flags(sample));
        batch.first_stamp_delta_ns.push(sample.first_ns.wrapping_sub(previous).cast_signed());
        previous = sample.first_ns;
        let spans = Spans::of(sample);
        batch.second_after_ns.push(plus_one(spans.second));
        batch.third_after_ns.push(plus_one(spans.third));
        batch.last_after_ns.push(spans.last);
        batch.queue_plus_one_ns.push(plus_one(spans.queue));
    }
    batch
}

fn with_capacity(samples: usize) -> SampleBatch {
    SampleBatch {
        end_sequence: Vec::with_capacity(samples),
        timestamp_value: Vec::with_capacity(samples),
        answer: Vec::with_capacity(samples),
        flags: Vec::with_capacity(samples),
        connection: Vec::with_capacity(samples),
        first_stamp_delta_ns: Vec::with_capacity(samples),
        second_after_ns: Vec::with_capacity(samples),
        third_after_ns: Vec::with_capacity(samples),
        last_after_ns: Vec::with_capacity(samples),
        queue_plus_one_ns: Vec::with_capacity(samples),
        ..SampleBatch::default()
    }
}

fn plus_one(span: Option<u64>) -> u64 {
    span.map_or(0, |ns| ns + 1)
}

fn flags(sample: &Sample) -> u32 {
    u32::from(sample.kinds) & KINDS
        | (u32::from(sample.flags) & FLAGS) << FLAGS_AT
        | (u32::from(sample.shift) & SHIFT_MASK) << SHIFT_AT
}

/// A sample's stamps as times from its first, and its wait in the queue.
#[derive(Debug)]
struct Spans {
    second: Option<u64>,
    third: Option<u64>,
    last: u64,
    queue: Option<u64>,
}

impl Spans {
    fn of(sample: &Sample) -> Self {
        let last = sample.last_ns.saturating_sub(sample.first_ns).min(MAX_SPAN_NS);
        let after = |stamp: u64, least: u64| {
            (stamp != 0)
                .then(|| stamp.checked_sub(sample.first_ns))
                .flatten()
                .filter(|span| (least..=last).contains(span))
        };
        let second = after(sample.second_ns, 0);
        let third = after(sample.third_ns, second.unwrap_or(0));
        let (entered, left) = queue_bounds(sample.flags, second, third, last);
        let queue = after(sample.queue_ns, entered)
            .and_then(|joined| left.and_then(|left| left.checked_sub(joined)));
        Self { second, third, last, queue }
    }
}

/// Earliest and latest time from the first stamp that a packet can have been in the uplink queue; `None` when it was
/// not seen to leave.
fn queue_bounds(
    flags: u8,
    second: Option<u64>,
    third: Option<u64>,
    last: u64,
) -> (u64, Option<u64>) {
    if flags & flag::FAR == 0 { (0, second) } else { (third.or(second).unwrap_or(0), Some(last)) }
}

fn connection(sample: &Sample, local_workload: u32) -> Connection {
    let Tuple { local, remote, local_port, remote_port } = sample.tuple;
    Connection {
        local: Some(endpoint(local, local_port)),
        remote: Some(endpoint(remote, remote_port)),
        pod_interface_index: sample.pod_ifindex,
        uplink_interface_index: sample.uplink_ifindex,
        local_workload,
    }
}

/// An address as the wire says it: 4 bytes for IPv4, which the kernel side keeps in its IPv6-mapped form.
#[must_use]
pub fn endpoint(address: [u32; 4], port: u16) -> Endpoint {
    let octets = octets(address);
    let mapped = std::net::Ipv6Addr::from(octets).to_ipv4_mapped();
    let address = mapped.map_or_else(|| octets.to_vec(), |v4| v4.octets().to_vec());
    Endpoint { address, port: port.into() }
}

#[cfg(test)]
mod tests;

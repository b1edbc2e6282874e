//! Between what the kernel says and the wire.

use std::collections::HashMap;

use xcloud_common::{
    sample::Sample,
    slot::{Tuple, octets},
};
use xcloud_proto::{
    common::v1::Endpoint,
    ingest::v1::{Connection, SampleBatch},
};

/// Samples as columns; sequence, clock and totals are left to the sender.
#[must_use]
pub fn encode(samples: &[Sample]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    let mut connections = HashMap::new();
    let mut previous = 0;
    for sample in samples {
        let key = (sample.tuple, sample.pod_ifindex, sample.uplink_ifindex);
        let next = connections.len();
        let index = *connections.entry(key).or_insert(next);
        if index == next {
            batch.connections.push(connection(sample));
        }
        batch.connection.push(u32::try_from(index).unwrap_or(u32::MAX));
        batch.end_sequence.push(sample.end_seq);
        batch.timestamp_value.push(sample.tsval);
        batch.answer.push(sample.answer);
        batch.flags.push(
            u32::from(sample.kinds & 7)
                | u32::from(sample.flags & 3) << 3
                | u32::from(sample.shift) << 8,
        );
        let first = sample.first_ns;
        batch.first_stamp_delta_ns.push(first.wrapping_sub(previous).cast_signed());
        previous = first;
        batch.second_after_ns.push(after(first, sample.second_ns));
        batch.third_after_ns.push(after(first, sample.third_ns));
        batch.last_after_ns.push(sample.last_ns.wrapping_sub(first));
        batch.queue_plus_one_ns.push(0);
    }
    batch
}

fn after(first: u64, stamp: u64) -> u64 {
    if stamp == 0 { 0 } else { stamp.wrapping_sub(first) + 1 }
}

fn connection(sample: &Sample) -> Connection {
    let Tuple { local, remote, local_port, remote_port } = sample.tuple;
    let endpoint = |address: [u32; 4], port: u16| Endpoint {
        address: octets(address).to_vec(),
        port: port.into(),
    };
    Connection {
        local: Some(endpoint(local, local_port)),
        remote: Some(endpoint(remote, remote_port)),
        pod_interface_index: sample.pod_ifindex,
        uplink_interface_index: sample.uplink_ifindex,
    }
}

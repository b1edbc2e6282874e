//! Columns into samples; whoever sent them may be hostile.

use xcloud_common::{
    identity::MAX_SHIFT,
    sample::Sample,
    slot::{Tuple, address},
};
use xcloud_proto::{
    common::v1::Endpoint,
    ingest::v1::{Connection, SampleBatch},
};

use super::{
    FLAGS, FLAGS_AT, KINDS, MAX_SAMPLES, MAX_SPAN_NS, SHIFT_AT, SHIFT_MASK, Spans, queue_bounds,
};

/// Why a batch cannot be read: one sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// What a batch's columns say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Whose each one's pod is: index into the batch's workloads plus one, 0 when not known; empty when none is.
    pub workloads: Vec<u32>,
}

/// Reads the columns; nothing in them is trusted.
///
/// # Errors
/// A field contradicts its definition.
pub fn decode(batch: &SampleBatch) -> Result<Decoded, DecodeError> {
    check_lengths(batch)?;
    let connections = batch
        .connections
        .iter()
        .enumerate()
        .map(|(index, connection)| {
            labels(connection, batch.workloads.len()).map_err(|what| at("connections", index, what))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut samples = Vec::with_capacity(batch.end_sequence.len());
    let named = !batch.workloads.is_empty();
    let mut workloads = Vec::with_capacity(if named { samples.capacity() } else { 0 });
    let mut first = 0u64;
    for index in 0..batch.end_sequence.len() {
        first = first
            .checked_add_signed(batch.first_stamp_delta_ns[index])
            .ok_or_else(|| at("first_stamp_delta_ns", index, "leaves the range of a clock"))?;
        let labels = connections
            .get(batch.connection[index] as usize)
            .ok_or_else(|| at("connection", index, "names no entry of connections"))?;
        samples.push(sample(batch, index, first, labels)?);
        if named {
            workloads.push(labels.workload);
        }
    }
    Ok(Decoded { samples, workloads })
}

fn at(field: &str, index: usize, what: impl std::fmt::Display) -> DecodeError {
    DecodeError(format!("{field}[{index}] {what}"))
}

fn check_lengths(batch: &SampleBatch) -> Result<(), DecodeError> {
    let samples = batch.end_sequence.len();
    if samples > MAX_SAMPLES {
        return Err(DecodeError(format!(
            "end_sequence has {samples} entries, more than the {MAX_SAMPLES} a batch may carry"
        )));
    }
    let columns = [
        ("timestamp_value", batch.timestamp_value.len()),
        ("answer", batch.answer.len()),
        ("flags", batch.flags.len()),
        ("connection", batch.connection.len()),
        ("first_stamp_delta_ns", batch.first_stamp_delta_ns.len()),
        ("second_after_ns", batch.second_after_ns.len()),
        ("third_after_ns", batch.third_after_ns.len()),
        ("last_after_ns", batch.last_after_ns.len()),
        ("queue_plus_one_ns", batch.queue_plus_one_ns.len()),
    ];
    for (name, length) in columns {
        if length != samples {
            return Err(DecodeError(format!(
                "{name} has {length} entries where end_sequence has {samples}"
            )));
        }
    }
    if batch.connections.len() > samples {
        return Err(DecodeError(format!(
            "connections has {} entries for {samples} samples",
            batch.connections.len()
        )));
    }
    if batch.workloads.len() > batch.connections.len() {
        return Err(DecodeError(format!(
            "workloads has {} entries for {} connections",
            batch.workloads.len(),
            batch.connections.len()
        )));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Labels {
    tuple: Tuple,
    pod_ifindex: u32,
    uplink_ifindex: u32,
    workload: u32,
}

fn labels(connection: &Connection, workloads: usize) -> Result<Labels, String> {
    let workload = connection.local_workload;
    if workload as usize > workloads {
        return Err(format!("names workload {workload} of {workloads}"));
    }
    let (local, local_port) = end(connection.local.as_ref(), "local")?;
    let (remote, remote_port) = end(connection.remote.as_ref(), "remote")?;
    Ok(Labels {
        tuple: Tuple { local, remote, local_port, remote_port },
        pod_ifindex: connection.pod_interface_index,
        uplink_ifindex: connection.uplink_interface_index,
        workload,
    })
}

fn end(endpoint: Option<&Endpoint>, name: &str) -> Result<([u32; 4], u16), String> {
    let Some(endpoint) = endpoint else { return Err(format!("has no {name} end")) };
    let octets = match endpoint.address[..] {
        [a, b, c, d] => std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets(),
        ref bytes => bytes.try_into().map_err(|_| {
            format!("has a {name} address of {} bytes, neither 4 nor 16", bytes.len())
        })?,
    };
    let port = u16::try_from(endpoint.port)
        .map_err(|_| format!("has {name} port {}, beyond 65535", endpoint.port))?;
    Ok((address(octets), port))
}

fn sample(
    batch: &SampleBatch,
    index: usize,
    first: u64,
    labels: &Labels,
) -> Result<Sample, DecodeError> {
    let (kinds, flags, shift) =
        bits(batch.flags[index]).map_err(|what| at("flags", index, what))?;
    let spans = spans(batch, index, flags)?;
    let Some(last_ns) = first.checked_add(spans.last) else {
        return Err(at("last_after_ns", index, "leaves the range of a clock"));
    };
    let (_, left) = queue_bounds(flags, spans.second, spans.third, spans.last);
    let queue = spans.queue.zip(left).map(|(wait, left)| left - wait);
    let stamp = |span: Option<u64>| span.map_or(0, |ns| first + ns);
    Ok(Sample {
        first_ns: first,
        second_ns: stamp(spans.second),
        third_ns: stamp(spans.third),
        last_ns,
        queue_ns: stamp(queue),
        end_seq: batch.end_sequence[index],
        tsval: batch.timestamp_value[index],
        answer: batch.answer[index],
        pod_ifindex: labels.pod_ifindex,
        uplink_ifindex: labels.uplink_ifindex,
        tuple: labels.tuple,
        kinds,
        flags,
        shift,
    })
}

/// Kinds, flags and sampling shift.
fn bits(word: u32) -> Result<(u8, u8, u8), &'static str> {
    let (kinds, flags, shift) =
        (word & KINDS, word >> FLAGS_AT & FLAGS, word >> SHIFT_AT & SHIFT_MASK);
    if kinds | flags << FLAGS_AT | shift << SHIFT_AT != word {
        return Err("has bits that mean nothing");
    }
    if kinds == 0 {
        return Err("names no kind");
    }
    if shift > MAX_SHIFT {
        return Err("has a sampling shift above 16");
    }
    let byte = |bits: u32| u8::try_from(bits).unwrap_or(u8::MAX);
    Ok((byte(kinds), byte(flags), byte(shift)))
}

fn spans(batch: &SampleBatch, index: usize, flags: u8) -> Result<Spans, DecodeError> {
    let last = batch.last_after_ns[index];
    if last > MAX_SPAN_NS {
        return Err(at("last_after_ns", index, "is longer than ten minutes"));
    }
    let second = batch.second_after_ns[index].checked_sub(1);
    if second.is_some_and(|second| second > last) {
        return Err(at("second_after_ns", index, "is later than the last stamp"));
    }
    let third = batch.third_after_ns[index].checked_sub(1);
    if third.is_some_and(|third| third > last || third < second.unwrap_or(0)) {
        return Err(at("third_after_ns", index, "is not between its neighbours"));
    }
    let queue = batch.queue_plus_one_ns[index].checked_sub(1);
    let (entered, left) = queue_bounds(flags, second, third, last);
    if queue.is_some_and(|wait| left.and_then(|left| left.checked_sub(wait)) < Some(entered)) {
        return Err(at("queue_plus_one_ns", index, "is longer than the packet was on the node"));
    }
    Ok(Spans { second, third, last, queue })
}

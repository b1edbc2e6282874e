//! What the aggregator can take and how fast it answers: `cargo bench --bench aggregator`; with `-- names` the pods of
//! each node belong to sixteen workloads.
//!
//! Both ends of exchanges between four pairs of nodes, 100 000 samples a second for an hour of stamps, go the whole way
//! from wire bytes to the store on one core; then the last hour is asked for.

#[path = "common/limits.rs"]
mod limits;
#[path = "common/random.rs"]
mod random;

use std::{hint::black_box, sync::Arc, time::Instant};

use prost::Message as _;
use xcloud::{
    measure::{
        Site,
        account::Totals,
        state::{Batch, Names, Opening, State, Stream},
        store::Range,
        workload::{Keep, Workload},
    },
    wire::{
        answer::{self, Detail},
        convert::{decode, encode},
        filter::Grouping,
        outbox::Named,
    },
};
use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::Tuple,
};

use self::random::Random;
use xcloud_proto::{
    common::v1::Workload as WireWorkload, ingest::v1::SampleBatch, observer::v1::GroupBy,
};

const SECOND_NS: u64 = 1_000_000_000;
const BEGIN_NS: u64 = 1_700_000_000 * SECOND_NS;
const PAIRS: usize = 4;
const BATCH: u32 = 2_000;
/// Connections of a pair of nodes, from this port on.
const CONNECTIONS: u16 = 16;
const PORT: u16 = 40_000;
/// Batches of each agent for each second of stamps.
const SECONDS: u64 = 3_600;
/// Every so many seconds of stamps one is sent, so that the bench ends.
const EVERY: u64 = 5;

fn main() {
    let mut state = State::new(limits::limits());
    let named = std::env::args().any(|argument| argument == "names");
    let workloads: Vec<_> = (0..if named { CONNECTIONS } else { 0 }).map(workload).collect();
    let mut random = Random(1);
    let mut senders: Vec<_> = (0..2 * PAIRS).map(|index| Sender::new(&mut state, index)).collect();
    let (mut samples, mut spent) = (0u64, std::time::Duration::ZERO);
    for second in (0..SECONDS).step_by(usize::try_from(EVERY).unwrap_or(1)) {
        for pair in 0..PAIRS {
            let (near, far) = exchanges(&mut random, second);
            for (sender, ends) in [(2 * pair, near), (2 * pair + 1, far)] {
                let bytes = senders[sender].bytes(&ends, &workloads, second);
                let start = Instant::now();
                senders[sender].take(&mut state, &bytes, second);
                spent += start.elapsed();
                samples += ends.len() as u64;
            }
        }
        let start = Instant::now();
        state.tick(BEGIN_NS + second * SECOND_NS);
        spent += start.elapsed();
    }
    let counts = state.join_counts();
    println!("{samples} samples, {} exchanges joined", counts.joined);
    println!("bytes to store: {:.0} samples/s on one core", samples as f64 / spent.as_secs_f64());
    println!("resident: {} MiB", resident_mib());
    query(&state, GroupBy::Node);
    if named {
        query(&state, GroupBy::Workload);
    }
}

fn workload(index: u16) -> Arc<WireWorkload> {
    let name = format!("workload-{index}");
    let pod = format!("{name}-5f6d8c7b9d-x2x7k");
    Arc::new(WireWorkload { namespace: "shop".into(), kind: "Deployment".into(), name, pod })
}

fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4 / 1024
}

fn query(state: &State, by: GroupBy) {
    let grouping = Grouping::read(by.into(), Keep::Workload).expect("kept");
    let store = state.store();
    let range = Range { start_ns: 0, end_ns: u64::MAX };
    let detail = Detail { tail_quantile: 0.99, histograms: false };
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let (_, groups) = store.query(range, |path| Some(grouping.of(store, path)));
            for (group, cell) in &groups {
                black_box(answer::path(group, cell, detail));
            }
            (start.elapsed(), groups.len())
        })
        .collect();
    times.sort();
    let (median, paths) = times[times.len() / 2];
    println!("one hour, {paths} paths and kinds, {by:?}: {median:.2?} (median of 20)");
    let one = store.query(range, |path| (path.near == 0).then_some(path.kind));
    let start = Instant::now();
    black_box(store.query(range, |path| (path.near == 0).then_some(path.kind)));
    println!("one hour, {} of them: {:.2?}", one.1.len(), start.elapsed());
}

struct Sender {
    stream: Stream,
    sequence: u64,
    sent: u64,
}

impl Sender {
    fn new(state: &mut State, index: usize) -> Self {
        let opening = Opening {
            name: format!("agent-{index}"),
            boot: [1; 16],
            site: Site { node: format!("node-{index}"), ..Site::default() },
            version: String::new(),
            kernel_release: String::new(),
            hooks: Vec::new(),
            first_sequence: 1,
            predecessor: None,
        };
        let (stream, _) = state.open(BEGIN_NS, opening).expect("room");
        Self { stream, sequence: 0, sent: 0 }
    }

    fn bytes(&mut self, samples: &[Sample], of: &[Arc<WireWorkload>], second: u64) -> Vec<u8> {
        self.sequence += 1;
        let named: Vec<_> = samples
            .iter()
            .map(|sample| Named {
                sample: *sample,
                workload: of.get(usize::from(sample.tuple.local_port - PORT)).cloned(),
            })
            .collect();
        let batch = SampleBatch {
            sequence: self.sequence,
            sent_monotonic_ns: (second + 100) * SECOND_NS,
            sent_before: self.sent,
            ..encode(&named)
        };
        batch.encode_to_vec()
    }

    fn take(&mut self, state: &mut State, bytes: &[u8], second: u64) {
        let columns = SampleBatch::decode(bytes).expect("just encoded");
        let decoded = decode(&columns).expect("just encoded");
        let workloads = columns.workloads.into_iter().map(|one| Workload {
            namespace: one.namespace,
            kind: one.kind,
            name: one.name,
            pod: one.pod,
        });
        let names = Names { workloads: workloads.collect(), of_samples: decoded.workloads };
        let samples = decoded.samples;
        let observations: u64 = samples.iter().map(Sample::observations).sum();
        let totals = Totals { emitted: self.sent + observations, ..Totals::default() };
        let batch = Batch {
            sequence: columns.sequence,
            sent_monotonic_ns: columns.sent_monotonic_ns,
            sent_before: columns.sent_before,
            totals,
            samples,
            names,
        };
        self.sent += observations;
        let now = BEGIN_NS + second * SECOND_NS;
        state.take(now, &self.stream, &batch, &mut |_| {}).expect("an honest batch");
    }
}

/// Both ends of a batch of exchanges over a WAN of 40 ms with jitter, from 16 connections.
fn exchanges(random: &mut Random, second: u64) -> (Vec<Sample>, Vec<Sample>) {
    (0..BATCH)
        .map(|_| {
            let (end_seq, tsval) = (random.below(u32::MAX), random.below(u32::MAX));
            let mut micros = |least: u32, spread: u32| {
                u64::from(least) * 1_000 + u64::from(random.below(spread * 1_000))
            };
            let first = (second + 99) * SECOND_NS;
            let (egress, queue, out, ingress) =
                (micros(5, 40), micros(1, 30), micros(20_000, 3_000), micros(5, 40));
            let (pod, far_egress, back, near_ingress) =
                (micros(50, 2_000), micros(5, 40), micros(20_000, 3_000), micros(5, 40));
            let second_ns = first + egress + queue;
            let third_ns = second_ns + out + ingress + pod + far_egress + back;
            let near = Sample {
                first_ns: first,
                second_ns,
                third_ns,
                last_ns: third_ns + near_ingress,
                queue_ns: first + egress,
                end_seq,
                tsval,
                answer: tsval,
                pod_ifindex: 1,
                uplink_ifindex: 2,
                tuple: tuple(end_seq),
                kinds: if end_seq.is_multiple_of(4) {
                    kind::ACK | kind::RESPONSE
                } else {
                    kind::ACK
                },
                flags: 0,
                shift: 0,
            };
            let far_first = first + out;
            let far = Sample {
                first_ns: far_first,
                second_ns: far_first + ingress,
                third_ns: far_first + ingress + pod,
                last_ns: far_first + ingress + pod + far_egress,
                queue_ns: far_first + ingress + pod,
                flags: flag::FAR,
                ..near
            };
            (near, far)
        })
        .unzip()
}

fn tuple(seed: u32) -> Tuple {
    Tuple {
        local: [0, 0, 0xffff, 1],
        remote: [0, 0, 0xffff, 2],
        local_port: PORT + u16::try_from(seed % u32::from(CONNECTIONS)).unwrap_or(0),
        remote_port: 80,
    }
}

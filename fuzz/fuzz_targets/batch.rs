//! Any bytes sent as a batch are read or refused; what is read can be sent again, and is taken into account exactly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use xcloud::{
    measure::{
        Site,
        account::Totals,
        join,
        state::{Batch, Limits, Names, Opening, State},
        store,
        workload::{Keep, Workload},
    },
    wire::{
        convert::{Decoded, decode, encode},
        outbox::Named,
    },
};
use xcloud_common::sample::Sample;
use xcloud_proto::{
    common::v1::{Endpoint, Workload as WireWorkload},
    ingest::v1::{Connection, SampleBatch},
};

const SECOND_NS: u64 = 1_000_000_000;
const NOW_NS: u64 = 1_700_000_000 * SECOND_NS;

/// One entry of every column, in their order; small numbers are likelier than fair, so that some batches are valid.
type Row = (u32, u32, u32, u16, u8, i32, u32, u32, u32, u16);

fuzz_target!(|input: (Option<Vec<Row>>, u64, &[u8])| {
    let (rows, sent_monotonic_ns, bytes) = input;
    let columns = match rows {
        Some(rows) => SampleBatch { sent_monotonic_ns, ..columns(&rows) },
        None => match SampleBatch::decode(bytes) {
            Ok(columns) => columns,
            Err(_) => return,
        },
    };
    let Ok(decoded) = decode(&columns) else { return };
    let samples = &decoded.samples;
    if samples.iter().all(|sample| sample.first_ns > 0) {
        let named: Vec<_> = samples.iter().copied().map(Named::from).collect();
        assert_eq!(decode(&encode(&named)).map(|again| again.samples).as_ref(), Ok(samples));
    }
    take(&columns, decoded);
});

fn columns(rows: &[Row]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    let end = Some(Endpoint { address: vec![1; 4], port: 1 });
    let connection = Connection { local: end.clone(), remote: end, ..Connection::default() };
    batch.connections = vec![connection; rows.len().min(3)];
    if let [first, ..] = &mut batch.connections[..] {
        first.local_workload = 1;
        batch.workloads.push(WireWorkload { name: "cart".into(), ..WireWorkload::default() });
    }
    for (end, tsval, answer, flags, connection, delta, second, third, last, queue) in rows {
        batch.end_sequence.push(*end);
        batch.timestamp_value.push(*tsval);
        batch.answer.push(*answer);
        batch.flags.push((*flags).into());
        batch.connection.push((*connection).into());
        batch.first_stamp_delta_ns.push((*delta).into());
        batch.second_after_ns.push((*second).into());
        batch.third_after_ns.push((*third).into());
        batch.last_after_ns.push((*last).into());
        batch.queue_plus_one_ns.push((*queue).into());
    }
    batch
}

fn workload(named: &WireWorkload) -> Workload {
    let WireWorkload { namespace, kind, name, pod } = named.clone();
    Workload { namespace, kind, name, pod }
}

/// The same samples from two agents, so that they meet in the join.
fn take(columns: &SampleBatch, Decoded { samples, workloads }: Decoded) {
    let mut state = State::new(Limits {
        join: join::Limits { window_ns: 10 * SECOND_NS, capacity: 100 },
        store: store::Limits {
            interval_ns: 10 * SECOND_NS,
            retention_ns: 3_600 * SECOND_NS,
            max_paths: 2,
            max_bytes: usize::MAX,
            keep: Keep::Pod,
        },
        max_agents: 2,
    });
    let emitted = samples.iter().map(Sample::observations).sum();
    let batch = Batch {
        sequence: 1,
        sent_monotonic_ns: columns.sent_monotonic_ns,
        sent_before: 0,
        totals: Totals { emitted, ..Totals::default() },
        samples,
        names: Names {
            workloads: columns.workloads.iter().map(workload).collect(),
            of_samples: workloads,
        },
    };
    for name in ["a", "b"] {
        let opening = Opening {
            name: name.into(),
            boot: [0; 16],
            site: Site { node: name.into(), ..Site::default() },
            version: String::new(),
            kernel_release: String::new(),
            hooks: Vec::new(),
            first_sequence: 1,
            predecessor: None,
        };
        let (stream, _) = state.open(NOW_NS, opening).expect("room for two");
        // A batch of wrong times is refused whole.
        let _ = state.take(NOW_NS, &stream, &batch, &mut |_| {});
        assert!(state.account().balances());
    }
    state.tick(NOW_NS + 20 * SECOND_NS);
    assert!(state.account().balances());
    assert_eq!(state.join_counts().waiting, 0);
}

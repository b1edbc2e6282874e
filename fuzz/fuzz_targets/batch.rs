//! Any bytes sent as a batch are read or refused; what is read can be sent again, and is taken into account exactly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use xcloud::{
    measure::{
        Site,
        account::Totals,
        join,
        state::{Batch, Limits, Opening, State},
        store,
    },
    wire::convert::{decode, encode},
};
use xcloud_common::sample::Sample;
use xcloud_proto::ingest::v1::SampleBatch;

const SECOND_NS: u64 = 1_000_000_000;
const NOW_NS: u64 = 1_700_000_000 * SECOND_NS;

fuzz_target!(|bytes: &[u8]| {
    let Ok(columns) = SampleBatch::decode(bytes) else { return };
    let Ok(samples) = decode(&columns) else { return };
    if samples.iter().all(|sample| sample.first_ns > 0) {
        assert_eq!(decode(&encode(&samples)).as_ref(), Ok(&samples));
    }
    take(&columns, samples);
});

/// The same samples from two agents, so that they meet in the join.
fn take(columns: &SampleBatch, samples: Vec<Sample>) {
    let mut state = State::new(Limits {
        join: join::Limits { window_ns: 10 * SECOND_NS, capacity: 100 },
        store: store::Limits {
            interval_ns: 10 * SECOND_NS,
            retention_ns: 3_600 * SECOND_NS,
            max_paths: 2,
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

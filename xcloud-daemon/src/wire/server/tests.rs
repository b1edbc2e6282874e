use super::*;
use crate::measure::{join, store, workload::Keep};

fn opening(name: &str) -> Opening {
    Opening {
        name: name.into(),
        boot: [1; 16],
        site: Site { node: name.into(), ..Site::default() },
        version: String::new(),
        kernel_release: String::new(),
        hooks: Vec::new(),
        first_sequence: 1,
        predecessor: None,
    }
}

#[test]
fn an_agent_that_is_forgotten_leaves_nothing_behind() {
    let limits = Limits {
        join: join::Limits { window_ns: 1, capacity: 1 },
        store: store::Limits {
            interval_ns: 1,
            retention_ns: 1,
            max_paths: 1,
            max_bytes: usize::MAX,
            keep: Keep::Nothing,
        },
        max_agents: 2,
    };
    let hub = Hub::new(limits, CancellationToken::new());
    for name in ["a", "b", "c"] {
        let (stream, _, replaced) = hub.open(opening(name), None).expect("room");
        hub.keep_stages(&stream, StageProfile::default());
        hub.keep_egress(&stream, [1; 16], Egress::default());
        hub.close(&stream, &replaced);
    }
    let inner = hub.lock();
    assert_eq!((inner.stage_profiles.len(), inner.egress.len()), (2, 2));
}

//! That memory is counted, and bounded.

use super::{super::memory, *};
use crate::measure::{cumulative, tier::Tier};

/// What a store with so much memory may hold.
const fn within(max_bytes: usize) -> Limits {
    Limits { max_paths: 1_000, max_bytes, ..LIMITS }
}

/// Bytes of all cells, looked at one by one.
fn counted(store: &Store) -> usize {
    let intervals = store.fine.values().chain(store.coarse.values());
    intervals.flat_map(HashMap::values).map(|cell| memory::of(cell)).sum()
}

proptest! {
    #[test]
    fn what_is_counted_is_what_cells_take(
        steps in vec((0u64..200, 1u64..1_000_000, 0u32..6, any::<bool>()), 0..200),
        max_bytes in 20_000usize..200_000,
    ) {
        let mut store = Store::new(within(max_bytes));
        let mut now = 0;
        for (later, ns, near, alone) in steps {
            now += later;
            if alone {
                store.count(now, path(near), |counts| counts.near_alone += 1);
            } else {
                let _ = store.record(now, path(near), &took(ns), 0);
            }
            prop_assert_eq!(store.cell_bytes, counted(&store));
            if ns % 3 == 0 {
                store.rotate(now);
                prop_assert_eq!(store.cell_bytes, counted(&store));
            }
        }
    }

    #[test]
    fn no_more_is_taken_than_may_be_whatever_comes(
        exchanges in vec((0u64..3, 1u64..1 << 34, 0u32..500), 0..1_000),
    ) {
        const MOST: usize = 100_000;
        // What the last exchange adds before the next is refused: a cell, and room for twice as many buckets.
        const OVER: usize = 10_000;
        let mut store = Store::new(within(MOST));
        store.keep_cumulative(cumulative::Limits { tier: Tier::Cloud, most: 100, idle_ns: 1 });
        store.site_id(&Site::default());
        let mut now = 0;
        for (later, ns, workload) in exchanges {
            now += later;
            let path = Path { near_workload: workload, ..path(0) };
            let _ = store.record(now, path, &took(ns), 0);
            prop_assert!(store.bytes() < MOST + OVER, "{}", store.bytes());
            store.rotate(now);
        }
    }
}

#[test]
fn the_oldest_goes_first_and_nothing_new_is_refused() {
    const MOST: usize = 50_000;
    let mut store = Store::new(within(MOST));
    let mut oldest = 0;
    for now in (0..2_000).step_by(10) {
        assert!(store.record(now, path(0), &took(1_000 + now), 0), "at {now}");
        store.rotate(now);
        assert!(store.bytes() < MOST, "{} at {now}", store.bytes());
        assert!(store.oldest_ns() >= Some(oldest), "what was given up stays so");
        oldest = store.oldest_ns().unwrap_or(0);
    }
    assert!(store.given_up() > 0 && oldest > 0, "{} from {oldest}", store.given_up());
    assert_eq!(store.refused(), Refused::default());
    let kept = store.query(ALL, |_| Some(())).1[&()].counts.recorded;
    assert!((5..200).contains(&kept), "{kept}");
}

#[test]
fn without_memory_all_is_refused_and_counted_until_there_is_some() {
    let mut store = Store::new(within(30_000));
    let refused = (0..100).filter(|near| !store.record(15, path(*near), &took(9), 0)).count();
    assert!((1..99).contains(&refused), "{refused}");
    store.rotate(15);
    assert!(!store.record(15, path(0), &took(1 << 30), 0), "nor may a path that there is go on");
    store.count(15, path(0), |counts| counts.near_alone += 1);
    assert_eq!(store.refused(), Refused { paths: 0, memory: refused as u64 + 2 });
    store.set_limits(within(40_000));
    assert!(store.record(15, path(0), &took(9), 0), "the limit was raised");
    store.set_limits(within(30_000));
    store.rotate(19);
    assert!(!store.record(19, path(0), &took(9), 0), "the interval that fills it is not over");
    store.rotate(20);
    assert!(store.record(20, path(0), &took(9), 0), "it was given up for the next");
}

#[test]
fn paths_and_memory_are_refused_apart() {
    let mut store = Store::new(LIMITS);
    for near in 0..6 {
        let _ = store.record(5, path(near), &took(9), 0);
    }
    assert_eq!(store.refused(), Refused { paths: 2, memory: 0 });
}

#[test]
fn names_nobody_bears_go_with_what_is_given_up() {
    let mut store = Store::new(within(20_000));
    let name = |number: u64| workload::Workload {
        namespace: "shop".into(),
        name: format!("{number:0200}"),
        ..workload::Workload::default()
    };
    for now in (10..2_500).step_by(10) {
        assert!(store.workloads.id(now, &name(now)).is_some());
        let _ = store.record(now, path(0), &took(9), 0);
        store.rotate(now);
    }
    assert!(store.workloads.len() < 50, "{} of 249 names", store.workloads.len());
    assert!(store.record(2_500, path(0), &took(9), 0), "names do not keep data out for ever");
}

#[test]
fn another_retention_holds_for_the_sums_too() {
    const LATER: u64 = 100_000_000_000;
    let sums = |retention_ns| {
        let mut store = Store::new(LIMITS);
        (0..2).for_each(|node: u32| {
            store.site_id(&Site { node: node.to_string(), ..Site::default() });
        });
        store.keep_cumulative(cumulative::Limits { tier: Tier::Node, most: 1, idle_ns: 2 * LATER });
        assert!(store.record(5, path(0), &took(9), 0));
        store.set_limits(Limits { retention_ns, ..LIMITS });
        assert!(store.record(LATER, path(1), &took(9), 0));
        let sums = store.cumulative().expect("kept");
        let kept = sums.keys().into_iter().map(|key| sums.ends().labels(key.near)[4].clone());
        kept.collect::<Vec<_>>()
    };
    assert_eq!(sums(2 * LATER), ["0"], "the first path keeps its series, so the second has none");
    assert_eq!(sums(LATER / 2), ["1"], "the first path lost its own to the second");
}

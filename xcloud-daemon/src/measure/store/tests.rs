use proptest::{collection::vec, prelude::*};

use super::{super::split::tests::stamped, *};

const LIMITS: Limits = Limits {
    interval_ns: 10,
    retention_ns: 3_000,
    max_paths: 4,
    max_bytes: usize::MAX,
    keep: Keep::Workload,
};
const ALL: Range = Range { start_ns: 0, end_ns: u64::MAX };

fn path(near: SiteId) -> Path {
    Path::new(near, None, Kind::Ack)
}

fn took(ns: u64) -> Split {
    Split::near_alone(&stamped(0, [100, 100, 100 + ns, 100 + ns], 0))
}

proptest! {
    #[test]
    fn rotation_loses_nothing_that_is_kept(
        exchanges in vec((0u64..2_900, 1u64..1_000_000, 0u32..4), 0..100), steps in 1u64..20,
    ) {
        let mut store = Store::new(LIMITS);
        let mut all = Cell::default();
        for (ended, ns, near) in &exchanges {
            prop_assert!(store.record(*ended, path(*near), &took(*ns), 0));
            all.record(&took(*ns), 0);
        }
        for step in 0..=steps {
            store.rotate(2_900 * step / steps);
        }
        let (_, groups) = store.query(ALL, |_| Some(()));
        prop_assert_eq!(groups.get(&()).cloned().unwrap_or_default(), all);
    }

    #[test]
    fn a_range_is_answered_in_whole_intervals(start in 0u64..400, length in 1u64..400) {
        let mut store = Store::new(LIMITS);
        for ended in 0..800 {
            prop_assert!(store.record(ended, path(0), &took(5), 0));
        }
        store.rotate(800);
        let (answered, groups) = store.query(Range { start_ns: start, end_ns: start + length }, |_| Some(()));
        prop_assert!(answered.start_ns <= start && answered.end_ns >= start + length);
        prop_assert_eq!(groups[&()].counts.recorded, answered.end_ns - answered.start_ns);
    }
}

#[test]
fn old_data_and_its_paths_are_forgotten() {
    let mut store = Store::new(LIMITS);
    for near in 0..4 {
        assert!(store.record(5, path(near), &took(9), 0));
    }
    assert!(!store.record(5, path(9), &took(9), 0), "one path too many");
    store.rotate(3_400);
    assert_eq!(store.oldest_ns(), None);
    assert!(store.record(3_400, path(9), &took(9), 0));
}

#[test]
fn what_comes_late_goes_to_the_wide_interval() {
    let mut store = Store::new(LIMITS);
    store.rotate(1_000);
    assert!(store.record(15, path(0), &took(9), 0));
    assert_eq!((store.fine.len(), store.coarse.len(), store.oldest_ns()), (0, 1, Some(0)));
}

#[test]
fn the_same_labels_are_the_same_site() {
    let mut store = Store::new(LIMITS);
    let site = Site { cloud: "aws".into(), ..Site::default() };
    assert_eq!(store.site_id(&site), store.site_id(&site.clone()));
    assert_ne!(store.site_id(&site), store.site_id(&Site::default()));
    assert_eq!(store.site(0).cloud, "aws");
}

#[test]
fn room_for_more_paths_is_room_for_more_names() {
    let name = |number: usize| workload::Workload {
        namespace: "shop".into(),
        name: number.to_string(),
        ..workload::Workload::default()
    };
    let mut store = Store::new(LIMITS);
    let named = |store: &mut Store| {
        (0..20).filter(|number| store.workloads.id(5, &name(*number)).is_some()).count()
    };
    assert_eq!(named(&mut store), 4);
    store.set_limits(Limits { max_paths: 10, ..LIMITS });
    assert_eq!(named(&mut store), 10);
    store.set_limits(Limits { max_paths: 1, ..LIMITS });
    assert_eq!(named(&mut store), 10, "those there are stay");
}

#[test]
fn a_sites_number_is_used_again_only_when_nothing_bears_it() {
    let mut store = Store::new(LIMITS);
    let site = |node: &str| Site { node: node.into(), ..Site::default() };
    let ids = ["near", "far", "toward", "agent", "nobody"].map(|node| store.site_id(&site(node)));
    let borne = Path { toward: Some(ids[2]), ..Path::new(ids[0], Some(ids[1]), Kind::Ack) };
    assert!(store.record(5, borne, &took(9), 0));
    store.forget_sites(HashSet::from([ids[3]]));
    assert_eq!((store.sites(), store.knows_site(&site("nobody"))), (4, false));
    assert_eq!(store.site_id(&site("new")), ids[4]);
    assert_eq!(store.site(ids[4]).node, "new");
    assert_eq!(store.site(ids[2]).node, "toward");
}

#[test]
fn other_limits_hold_from_then_on_and_the_interval_stays() {
    let mut store = Store::new(LIMITS);
    assert!(store.record(5, path(0), &took(9), 0) && store.record(1_000, path(1), &took(9), 0));
    store.set_limits(Limits { interval_ns: 77, retention_ns: 100, max_paths: 1, ..LIMITS });
    assert!(
        !store.record(1_000, path(2), &took(9), 0),
        "the paths there are, are too many already"
    );
    store.rotate(1_050);
    assert_eq!(store.query(ALL, |_| Some(())).1[&()].counts.recorded, 1, "the old one is gone");
    assert_eq!(store.limits, Limits { retention_ns: 100, max_paths: 1, ..LIMITS });
}

mod memory;

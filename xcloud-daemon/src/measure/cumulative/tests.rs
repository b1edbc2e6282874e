use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        split::tests::stamped,
        workload::{Keep, Workload},
    },
    *,
};

const LIMITS: Limits = Limits { tier: Tier::Node, most: 3, idle_ns: 1_000_000_000_000 };

fn sites() -> Vec<Arc<Site>> {
    let site = |node: u32| Site {
        cloud: if node < 4 { "aws" } else { "gcp" }.into(),
        node: node.to_string(),
        ..Site::default()
    };
    (0..8).map(|node| Arc::new(site(node))).collect()
}

fn none() -> Workloads {
    Workloads::new(Keep::Nothing, 0)
}

fn path(near: u32) -> Path {
    Path::new(near, None, Kind::Ack)
}

fn took(ns: u64) -> Split {
    Split::near_alone(&stamped(0, [100, 100, 100 + ns, 100 + ns], 0))
}

/// The sums of the path from a node, if they are kept apart.
fn of(sums: &Cumulative, near: u32) -> Option<&Series> {
    sums.series(sums.keys.get(&path(near))?)
}

/// Counts and seconds of all paths together.
fn sum(sums: &Cumulative) -> (u64, u64, f64) {
    let keys = sums.keys();
    let all = keys.iter().filter_map(|key| sums.series(key)).chain(sums.other().map(|it| it.1));
    all.fold((0, 0, 0.0), |(recorded, timed, seconds), series| {
        let (counts, total) = (&series.counts, &series.total);
        (recorded + counts.recorded, timed + total.count(), seconds + total.sum())
    })
}

proptest! {
    #[test]
    fn what_the_cap_cuts_is_still_in_the_sum(exchanges in vec((0u32..8, 1u64..1 << 40), 0..60)) {
        let (sites, workloads, mut sums) = (sites(), none(), Cumulative::new(LIMITS));
        let names = Names { sites: &sites, workloads: &workloads };
        for (near, ns) in &exchanges {
            sums.record(1, path(*near), names, &took(*ns), 0);
        }
        let (recorded, timed, seconds) = sum(&sums);
        let exact = exchanges.iter().map(|(_, ns)| *ns as f64 / 1e9).sum::<f64>();
        prop_assert_eq!((recorded, timed), (exchanges.len() as u64, exchanges.len() as u64));
        prop_assert!((seconds - exact).abs() < 1e-6);
        prop_assert!(sums.len() <= LIMITS.most);
        let nodes: HashSet<_> = exchanges.iter().map(|(near, _)| path(*near)).collect();
        prop_assert_eq!(sums.cut(), nodes.len().saturating_sub(LIMITS.most));
    }

    #[test]
    fn no_count_ever_falls(exchanges in vec((0u32..8, 0u64..200), 0..60)) {
        let (sites, workloads, mut sums) = (sites(), none(), Cumulative::new(LIMITS));
        let names = Names { sites: &sites, workloads: &workloads };
        let mut before = Vec::new();
        for (near, seconds) in exchanges {
            sums.count(seconds * 1_000_000_000, path(near), names, |counts| counts.far_alone += 1);
            let now: Vec<_> = (0..8)
                .map(|near| of(&sums, near).map_or(0, |series| series.counts.far_alone))
                .collect();
            prop_assert!(before.iter().zip(&now).all(|(before, now)| before <= now));
            before = now;
        }
    }
}

#[test]
fn a_coarser_tier_sums_what_a_finer_one_tells_apart() {
    let (sites, workloads) = (sites(), none());
    let names = Names { sites: &sites, workloads: &workloads };
    let mut sums = Cumulative::new(Limits { tier: Tier::Cloud, ..LIMITS });
    for near in 0..8 {
        sums.record(1, path(near), names, &took(5), 1);
    }
    let keys = sums.keys();
    let counts: Vec<_> = keys.iter().map(|key| sums.series(key).expect("kept").counts).collect();
    assert_eq!(counts.iter().map(|c| (c.recorded, c.stands_for)).collect::<Vec<_>>(), [(4, 8); 2]);
    let clouds: Vec<_> = keys.iter().map(|key| sums.ends().labels(key.near)[0].clone()).collect();
    assert_eq!(clouds, ["aws", "gcp"]);
}

#[test]
fn only_where_there_is_no_room_are_idle_paths_forgotten_and_they_begin_anew() {
    let (sites, workloads, mut sums) = (sites(), none(), Cumulative::new(LIMITS));
    let names = Names { sites: &sites, workloads: &workloads };
    for near in 0..3 {
        sums.record(1, path(near), names, &took(5), 0);
    }
    let later = 2 * LIMITS.idle_ns;
    sums.record(later, path(0), names, &took(5), 0);
    assert_eq!(sums.len(), 3);
    sums.record(later, path(3), names, &took(5), 0);
    let since = (0..4).map(|near| of(&sums, near).map(|series| series.since_ns));
    assert_eq!(since.collect::<Vec<_>>(), [Some(0), None, None, Some(later)]);
}

#[test]
fn distributions_are_counted_and_no_more_paths_kept_than_there_is_memory_for() {
    let (sites, workloads, mut sums) = (sites(), none(), Cumulative::new(LIMITS));
    let names = Names { sites: &sites, workloads: &workloads };
    sums.set_room(2 * SHARE * SET_ASIDE);
    let heap = |sums: &Cumulative| {
        let own = sums.series.values().map(AsRef::as_ref);
        own.chain(&sums.other).map(Series::heap).sum::<usize>()
    };
    for step in 0..40 {
        sums.record(1, path(step % 4), names, &took(1 << step), 0);
        assert_eq!(sums.heap, heap(&sums));
    }
    assert_eq!((sums.len(), sums.most()), (2, 2));
    let later = 2 * LIMITS.idle_ns;
    sums.record(later, path(3), names, &took(5), 0);
    assert_eq!((sums.len(), sums.heap), (1, heap(&sums)), "what is forgotten counts no more");
}

#[test]
fn the_split_is_kept_segment_by_segment() {
    let (sites, workloads, mut sums) = (sites(), none(), Cumulative::new(LIMITS));
    let names = Names { sites: &sites, workloads: &workloads };
    let near = stamped(0, [1_000, 1_300, 41_300, 41_350], 1_200);
    sums.record(1, path(0), names, &Split::near_alone(&near), 0);
    let series = of(&sums, 0).expect("kept");
    let parts: Vec<_> =
        series.segments().map(|(segment, times)| (segment.name(), times.sum())).collect();
    assert_eq!(
        parts,
        [
            ("near_cni_egress", 2e-7),
            ("near_queue", 1e-7),
            ("near_cni_ingress", 5e-8),
            ("beyond_uplink", 4e-5)
        ]
    );
}

/// What a tier makes of exchanges of `cart` and of `pay` on each of two nodes of one cloud.
fn of_workloads(tier: Tier) -> Vec<(String, u64)> {
    let (sites, mut workloads) = (sites(), Workloads::new(Keep::Workload, 10));
    let [cart, pay] = ["cart", "pay"].map(|name| {
        let full = Workload { namespace: "shop".into(), name: name.into(), ..Workload::default() };
        workloads.id(1, &full).expect("room")
    });
    let names = Names { sites: &sites, workloads: &workloads };
    let mut sums = Cumulative::new(Limits { tier, most: 10, ..LIMITS });
    for (near, near_workload) in [(0, cart), (1, cart), (0, pay), (1, pay), (1, pay)] {
        sums.record(1, Path { near_workload, ..path(near) }, names, &took(5), 0);
    }
    assert_eq!(sums.cut(), 0);
    let told = |key: &Key| {
        let near = sums.ends().labels(key.near);
        (format!("{} {}", near[4], near[7]), sums.series(key).expect("kept").counts.recorded)
    };
    sums.keys().iter().map(told).collect()
}

#[test]
fn workloads_are_told_apart_where_the_tier_does_and_on_whichever_nodes_they_are() {
    let told = |tier| {
        let mut told = of_workloads(tier);
        told.sort();
        told.into_iter().map(|(end, count)| format!("{end}: {count}")).collect::<Vec<_>>()
    };
    assert_eq!(told(Tier::Node), ["0 : 2", "1 : 3"]);
    assert_eq!(told(Tier::Workload), [" cart: 2", " pay: 3"]);
    assert_eq!(told(Tier::Pair), ["0 cart: 1", "0 pay: 1", "1 cart: 1", "1 pay: 2"]);
}

#[test]
fn a_number_given_to_another_workload_is_not_taken_for_the_first() {
    let (sites, mut workloads) = (sites(), Workloads::new(Keep::Workload, 1));
    let named = |name: &str| Workload { name: name.into(), ..Workload::default() };
    let mut sums = Cumulative::new(Limits { tier: Tier::Workload, ..LIMITS });
    for name in ["cart", "pay"] {
        let near_workload = workloads.id(1, &named(name)).expect("room");
        let path = Path { near_workload, ..path(0) };
        let names = Names { sites: &sites, workloads: &workloads };
        sums.record(1, path, names, &took(5), 0);
        // No data bears it any more, so the store gives its number to the next.
        workloads.sweep(2, &HashSet::new());
        sums.retain(&HashSet::new());
    }
    let keys = sums.keys();
    let told: Vec<_> = keys.iter().map(|key| sums.ends().labels(key.near)[7].clone()).collect();
    assert_eq!(told, ["cart", "pay"], "and the sums of both are kept");
}

#[test]
fn names_that_come_and_go_take_no_more_memory_than_the_cap_allows() {
    let (sites, mut workloads) = (sites(), Workloads::new(Keep::Workload, 10));
    let mut sums = Cumulative::new(Limits { tier: Tier::Workload, ..LIMITS });
    for round in 0..1_000 {
        let full = Workload { name: format!("job-{round}"), ..Workload::default() };
        let near_workload = workloads.id(round, &full).expect("room");
        let names = Names { sites: &sites, workloads: &workloads };
        sums.record(1, Path { near_workload, ..path(0) }, names, &took(5), 0);
        workloads.sweep(round + 1, &HashSet::new());
        sums.retain(&HashSet::new());
        // Unknown and other are always there.
        assert!(sums.ends.len() <= LIMITS.most + 2 && sums.keys.is_empty());
    }
    assert_eq!((sum(&sums).0, sums.len()), (1_000, LIMITS.most));
}

#[test]
fn who_calls_himself_other_at_both_ends_has_no_series_beside_that_of_the_rest() {
    let other = Site { cloud: "other".into(), ..Site::default() };
    let (sites, workloads) = ([Arc::new(other)], none());
    let names = Names { sites: &sites, workloads: &workloads };
    let mut sums = Cumulative::new(Limits { tier: Tier::Cloud, ..LIMITS });
    sums.record(1, Path::new(0, Some(0), Kind::Ack), names, &took(5), 0);
    assert_eq!((sums.len(), sum(&sums).0), (0, 1));
}

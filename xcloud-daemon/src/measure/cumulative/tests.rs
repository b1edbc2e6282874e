use proptest::{collection::vec, prelude::*};

use super::{super::split::tests::stamped, *};

const LIMITS: Limits = Limits { tier: Tier::Node, most: 3, idle_ns: 1_000_000_000_000 };

fn sites() -> Vec<Arc<Site>> {
    let site = |node: u32| Site {
        cloud: if node < 4 { "aws" } else { "gcp" }.into(),
        node: node.to_string(),
        ..Site::default()
    };
    (0..8).map(|node| Arc::new(site(node))).collect()
}

fn path(near: u32) -> Path {
    Path::new(near, None, Kind::Ack)
}

fn took(ns: u64) -> Split {
    Split::near_alone(&stamped(0, [100, 100, 100 + ns, 100 + ns], 0))
}

/// Counts and nanoseconds of all paths together.
fn sum(sums: &Cumulative) -> (u64, u64, f64) {
    let paths = sums.paths();
    let all = paths.iter().filter_map(|path| sums.path(path)).chain(sums.other().map(|it| it.1));
    all.fold((0, 0, 0.0), |(recorded, timed, seconds), series| {
        let (counts, total) = (&series.counts, &series.total);
        (recorded + counts.recorded, timed + total.count(), seconds + total.sum())
    })
}

proptest! {
    #[test]
    fn what_the_cap_cuts_is_still_in_the_sum(exchanges in vec((0u32..8, 1u64..1 << 40), 0..60)) {
        let (sites, mut sums) = (sites(), Cumulative::new(LIMITS));
        for (near, ns) in &exchanges {
            sums.record(1, path(*near), &sites, &took(*ns), 0);
        }
        let (recorded, timed, seconds) = sum(&sums);
        let exact = exchanges.iter().map(|(_, ns)| *ns as f64 / 1e9).sum::<f64>();
        prop_assert_eq!((recorded, timed), (exchanges.len() as u64, exchanges.len() as u64));
        prop_assert!((seconds - exact).abs() < 1e-6);
        prop_assert!(sums.len() <= LIMITS.most);
        let nodes: HashSet<_> = exchanges.iter().map(|(near, _)| path(*near)).collect();
        prop_assert_eq!(sums.cut(nodes.iter()), nodes.len().saturating_sub(LIMITS.most));
    }

    #[test]
    fn no_count_ever_falls(exchanges in vec((0u32..8, 0u64..200), 0..60)) {
        let (sites, mut sums) = (sites(), Cumulative::new(LIMITS));
        let mut before = Vec::new();
        for (near, seconds) in exchanges {
            sums.count(seconds * 1_000_000_000, path(near), &sites, |counts| counts.far_alone += 1);
            let now: Vec<_> = (0..8)
                .map(|near| sums.path(&path(near)).map_or(0, |series| series.counts.far_alone))
                .collect();
            prop_assert!(before.iter().zip(&now).all(|(before, now)| before <= now));
            before = now;
        }
    }
}

#[test]
fn a_coarser_tier_sums_what_a_finer_one_tells_apart() {
    let (sites, mut sums) = (sites(), Cumulative::new(Limits { tier: Tier::Cloud, ..LIMITS }));
    for near in 0..8 {
        sums.record(1, path(near), &sites, &took(5), 1);
    }
    let paths = sums.paths();
    let counts: Vec<_> = paths.iter().map(|path| sums.path(path).expect("kept").counts).collect();
    assert_eq!(counts.iter().map(|c| (c.recorded, c.stands_for)).collect::<Vec<_>>(), [(4, 8); 2]);
    let labels: Vec<_> = paths.iter().map(|path| sums.tiers().labels(Some(path.near))).collect();
    assert_eq!(labels, [["aws", "", "", "", ""], ["gcp", "", "", "", ""]]);
}

#[test]
fn only_where_there_is_no_room_are_idle_paths_forgotten_and_they_begin_anew() {
    let (sites, mut sums) = (sites(), Cumulative::new(LIMITS));
    for near in 0..3 {
        sums.record(1, path(near), &sites, &took(5), 0);
    }
    let later = 2 * LIMITS.idle_ns;
    sums.record(later, path(0), &sites, &took(5), 0);
    assert_eq!(sums.len(), 3);
    sums.record(later, path(3), &sites, &took(5), 0);
    assert_eq!(sums.paths(), [path(0), path(3)]);
    let since = |near| sums.path(&path(near)).expect("kept").since_ns;
    assert_eq!((since(0), since(3)), (0, later));
}

#[test]
fn the_split_is_kept_segment_by_segment() {
    let (sites, mut sums) = (sites(), Cumulative::new(LIMITS));
    let near = stamped(0, [1_000, 1_300, 41_300, 41_350], 1_200);
    sums.record(1, path(0), &sites, &Split::near_alone(&near), 0);
    let series = sums.path(&path(0)).expect("kept");
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

#[test]
fn workloads_on_one_pair_of_nodes_are_one_series() {
    let (sites, mut sums) = (sites(), Cumulative::new(LIMITS));
    let named = Path { near_workload: 1, far_workload: 2, ..path(0) };
    for one in [path(0), named] {
        sums.record(1, one, &sites, &took(5), 0);
    }
    assert_eq!(sums.len(), 1);
    assert_eq!(sums.path(&path(0)).expect("kept").counts.recorded, 2);
    assert_eq!(sums.cut([path(0), named].iter()), 0);
}

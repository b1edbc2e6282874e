use std::collections::BTreeMap;

use proptest::prelude::*;
use xcloud_proto::loadtest::v1::Network as WireNetwork;

use super::*;
use crate::load::suite::ends::tests::end;

/// Sites with a pod and a node each.
fn ends(sites: usize) -> Ends {
    let of = |cloud: usize| {
        let place = format!("c{cloud}/r/z/n");
        [("pod", WireNetwork::Pod), ("node", WireNetwork::Host)]
            .map(|(kind, network)| end(&format!("c{cloud}-{kind}"), &place, network))
    };
    Ends::new((0..sites).flat_map(of).collect())
}

fn suite(steps: usize, more: &str) -> Suite {
    let steps = (0..steps)
        .map(|step| format!("[[step]]\nname = \"s{step}\"\nduration = \"1s\"\nprobes = {{}}\n"));
    Suite::parse(&format!("name = \"a\"\n{more}\n{}", steps.collect::<String>())).expect("a suite")
}

/// A test, whatever the repeat.
fn once(test: &Test) -> Test {
    Test { block: 0, ..test.clone() }
}

proptest! {
    #[test]
    fn every_block_holds_every_test_once(
        steps in 1_usize..4, sites in 2_usize..5, states in 0_usize..4, repeats in 1_u32..5, seed: u64,
    ) {
        let states: String = (0..states).map(|n| format!("[[state]]\nname = \"t{n}\"\n")).collect();
        let suite = suite(steps, &format!("networks = [\"pod\", \"host\"]\n{states}"));
        let plan = Plan::new(&suite, &ends(sites), repeats, seed);
        let all = steps * sites * (sites - 1) * 2 * suite.states.len().max(1);
        prop_assert!(plan.missing.is_empty(), "{:?}", plan.missing);
        let blocks: Vec<&[Test]> = plan.tests.chunks(all).collect();
        prop_assert_eq!(blocks.len(), repeats as usize);
        let first: BTreeSet<Test> = blocks[0].iter().map(once).collect();
        prop_assert_eq!(first.len(), all);
        for (number, block) in blocks.iter().enumerate() {
            prop_assert!(block.iter().all(|test| test.block as usize == number));
            prop_assert_eq!(&block.iter().map(once).collect::<BTreeSet<_>>(), &first);
            let mut entered: Vec<_> = block.iter().map(|test| test.state).collect();
            entered.dedup();
            prop_assert_eq!(entered.len(), suite.states.len().max(1), "a state is left and entered again");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_order(seed: u64) {
        let (suite, ends) = (suite(3, ""), ends(3));
        let plan = Plan::new(&suite, &ends, 4, seed);
        prop_assert_eq!(&plan, &Plan::new(&suite, &ends, 4, seed));
        let other = Plan::new(&suite, &ends, 4, seed ^ 1);
        prop_assert_ne!(&plan.tests, &other.tests);
    }

    #[test]
    fn of_two_ways_unordered_has_one(sites in 2_usize..6, seed: u64) {
        let plan = Plan::new(&suite(1, "pairs = \"unordered\""), &ends(sites), 1, seed);
        prop_assert_eq!(plan.tests.len(), sites * (sites - 1) / 2);
        prop_assert!(plan.tests.iter().all(|test| test.sites[0] < test.sites[1]));
    }
}

#[test]
fn every_order_is_about_equally_likely() {
    let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut random = Random::new(1);
    for _ in 0..6000 {
        let mut three = vec![1, 2, 3];
        shuffle(&mut three, &mut random);
        *seen.entry(three).or_default() += 1;
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
}

#[test]
fn named_pairs_and_a_states_sites_are_kept_to() {
    let more = "pairs = [[\"c0\", \"c1/r\"], [\"c0\", \"c2\"]]\n\
                [[state]]\nname = \"two\"\nsites = [\"c0\", \"c1\"]\n[[state]]\nname = \"three\"\n";
    let suite = suite(1, more);
    let plan = Plan::new(&suite, &ends(3), 1, 1);
    let titles: BTreeSet<String> = plan.tests.iter().map(|test| test.title(&suite)).collect();
    let wanted = ["s0/two c0 -> c1/r", "s0/three c0 -> c1/r", "s0/three c0 -> c2"];
    assert_eq!(titles, wanted.map(String::from).into());
}

#[test]
fn what_cannot_be_made_is_told() {
    let more = "networks = [\"pod\", \"host\"]\npairs = [[\"a\", \"b\"], [\"a\", \"nowhere\"], [\"a\", \"a/r\"]]\n\
                [[step]]\nname = \"cut\"\nduration = \"9s\"\nprobes = {}\nevent = { after = \"1s\" }\n";
    let suite = suite(1, more);
    let ends =
        Ends::new(vec![end("one", "a/r", WireNetwork::Pod), end("two", "b/r", WireNetwork::Pod)]);
    let plan = Plan::new(&suite, &ends, 1, 1);
    assert_eq!(plan.tests.len(), 1);
    let wanted = [
        "cut: no --event says what happens in it",
        "s0 a -> a/r: both are the same",
        "s0 a -> nowhere: nowhere has no endpoint in the pod network",
        "s0/host a -> a/r: a has no endpoint in the host network",
        "s0/host a -> b: a has no endpoint in the host network",
        "s0/host a -> nowhere: a has no endpoint in the host network",
    ];
    assert_eq!(plan.missing, wanted.map(String::from).into());
    let alone = Plan::new(&suite, &Ends::new(Vec::new()), 1, 1);
    assert_eq!(alone.tests, []);
}

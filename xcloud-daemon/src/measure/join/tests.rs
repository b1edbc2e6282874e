use proptest::{collection::vec, prelude::*};
use xcloud_common::sample::flag;

use super::{super::split::tests::stamped, *};

const LIMITS: Limits = Limits { window_ns: 100, capacity: 8 };

fn observation(agent: u32, far: bool, end_seq: u32, answer: u32) -> Observation {
    let mut sample = stamped(u8::from(far) * flag::FAR, [1_000, 1_100, 1_200, 1_300], 0);
    (sample.end_seq, sample.answer) = (end_seq, answer);
    Observation { agent, kind: Kind::Ack, sample, workload: 0, ended_ns: 0 }
}

fn total(counts: &Counts) -> u64 {
    2 * counts.joined
        + counts.near_alone
        + counts.far_alone
        + counts.other_answer
        + counts.table_full
        + counts.ambiguous
        + counts.waiting
}

/// Runs steps of (time to pass, agent, far, key, answer) and returns what came out.
fn run(join: &mut Join, steps: &[(u64, u32, bool, u32, u32)]) -> Vec<Outcome> {
    let (mut now, mut outcomes) = (0, Vec::new());
    for (pass, agent, far, key, answer) in steps {
        now += pass;
        join.expire(now, &mut |outcome| outcomes.push(outcome));
        let observation = observation(*agent, *far, *key, *answer);
        join.add(now, observation, &mut |outcome| outcomes.push(outcome));
        assert_eq!(join.counts.received, total(&join.counts));
    }
    outcomes
}

proptest! {
    #[test]
    fn every_observation_is_counted_once_and_no_pair_is_wrong(
        steps in vec((0u64..40, 0u32..3, any::<bool>(), 0u32..12, 0u32..2), 0..200),
    ) {
        let mut join = Join::new(LIMITS);
        let mut outcomes = run(&mut join, &steps);
        join.expire(u64::MAX, &mut |outcome| outcomes.push(outcome));
        prop_assert_eq!(join.counts.waiting, 0);
        prop_assert_eq!(join.counts.received, total(&join.counts));
        prop_assert_eq!(join.counts.received, steps.len() as u64);
        let mut seen = 0;
        for outcome in outcomes {
            match outcome {
                Outcome::Joined { near, far } => {
                    prop_assert!(!near.is_far() && far.is_far() && near.agent != far.agent);
                    prop_assert_eq!(near.sample.end_seq, far.sample.end_seq);
                    prop_assert_eq!(near.sample.answer, far.sample.answer);
                    seen += 2;
                }
                Outcome::OtherAnswer { .. } => seen += 2,
                _ => seen += 1,
            }
        }
        prop_assert_eq!(seen, steps.len());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(swap: bool) {
        let mut join = Join::new(LIMITS);
        let steps = [(0, 1, swap, 7, 1), (0, 2, !swap, 7, 1)];
        let agents = if swap { (2, 1) } else { (1, 2) };
        let [Outcome::Joined { near, far }] = run(&mut join, &steps)[..] else {
            panic!("joined")
        };
        prop_assert_eq!((near.agent, far.agent), agents);
    }
}

#[test]
fn the_same_end_from_two_agents_joins_with_nothing_that_follows() {
    let mut join = Join::new(LIMITS);
    run(&mut join, &[(0, 1, false, 7, 1), (0, 3, false, 7, 1), (0, 2, true, 7, 1)]);
    assert_eq!((join.counts.ambiguous, join.counts.joined), (3, 0));
}

#[test]
fn a_spent_key_is_free_again_after_the_window() {
    let mut join = Join::new(LIMITS);
    run(
        &mut join,
        &[(0, 1, false, 7, 1), (0, 1, false, 7, 1), (100, 1, false, 7, 1), (0, 2, true, 7, 1)],
    );
    assert_eq!((join.counts.ambiguous, join.counts.joined), (2, 1));
}

#[test]
fn a_far_end_longer_than_the_near_one_cannot_be_its_other_end() {
    let mut join = Join::new(LIMITS);
    let near = observation(1, false, 7, 1);
    let mut far = observation(2, true, 7, 1);
    far.sample.last_ns = 1_200 + SLACK_NS;
    let mut outcomes = 0;
    join.add(0, near, &mut |_| outcomes += 1);
    join.add(0, far, &mut |_| outcomes += 1);
    assert_eq!((outcomes, join.counts.ambiguous), (2, 2));
}

#[test]
fn the_order_of_arrival_is_kept_no_longer_than_needed() {
    let mut join = Join::new(LIMITS);
    for key in 0..100_000 {
        run(&mut join, &[(0, 1, false, key, 1), (0, 2, true, key, 1)]);
    }
    assert!(join.order.len() < 2_000);
}

//! The outbox against an aggregator that merges, crashes, forgets to answer and refuses.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xcloud_common::{sample::kind, slot::Tuple};

use super::*;

const LIMIT: u64 = 20_000;

fn sample(kinds: u8) -> Sample {
    Sample {
        first_ns: 1,
        second_ns: 2,
        third_ns: 3,
        last_ns: 4,
        queue_ns: 0,
        end_seq: 5,
        tsval: 6,
        answer: 7,
        pod_ifindex: 8,
        uplink_ifindex: 9,
        tuple: Tuple::default(),
        kinds,
        flags: 0,
        shift: 0,
    }
}

fn acks(count: usize) -> Vec<Named> {
    vec![sample(kind::ACK).into(); count]
}

/// What one aggregator and the kernel would know.
#[derive(Default)]
struct World {
    kernel: KernelTotals,
    drained: u64,
    /// Observations merged, by sequence.
    merged: BTreeMap<u64, u64>,
    /// Highest sequence answered to the agent.
    answered: u64,
    /// Sequences of this stream that arrived but are not merged yet.
    arrived: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Push { count: usize, both: bool, undrained: u64, ring: u64 },
    Send { flush: bool },
    Merge,
    Answer { credit: u32 },
    Reconnect,
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..9_000, any::<bool>(), 0u64..50, 0u64..50).prop_map(|(count, both, undrained, ring)| Step::Push {
            count, both, undrained, ring
        }),
        6 => any::<bool>().prop_map(|flush| Step::Send { flush }),
        3 => Just(Step::Merge),
        4 => (0u32..5).prop_map(|credit| Step::Answer { credit }),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Refuse),
    ]
}

impl World {
    fn apply(&mut self, outbox: &mut Outbox, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Push { count, both, undrained, ring } => {
                let kinds = if both { kind::ACK | kind::RESPONSE } else { kind::ACK };
                let observations = u64::from(kinds.count_ones()) * count as u64;
                self.drained += observations;
                self.kernel.ring += ring;
                self.kernel.emitted = self.drained + self.kernel.ring + undrained;
                outbox.push(&mut vec![sample(kinds).into(); count]);
                outbox.count(self.kernel);
            }
            Step::Send { flush } => self.send(outbox, flush)?,
            Step::Merge => {
                for (sequence, observations) in std::mem::take(&mut self.arrived) {
                    prop_assert!(
                        self.merged
                            .insert(sequence, observations)
                            .is_none_or(|was| was == observations),
                        "batch {} changed on a resend",
                        sequence
                    );
                }
            }
            Step::Answer { credit } => {
                self.answered = self.merged.keys().next_back().copied().unwrap_or(0);
                outbox.answered(self.answered, credit).expect("sent before");
            }
            Step::Reconnect => {
                self.arrived.clear();
                let first = outbox.begin_stream();
                prop_assert!(first > self.answered, "what is acknowledged is not announced again");
            }
            Step::Refuse => {
                // Refuses what was not merged: an aggregator does not merge a batch and then call it wrong.
                if outbox.in_flight == 1
                    && outbox.first_sequence()
                        > self.merged.keys().next_back().copied().unwrap_or(0)
                {
                    let dropped = outbox.refused();
                    prop_assert!(dropped.is_some());
                }
                self.arrived.clear();
                outbox.begin_stream();
            }
        }
        Ok(())
    }

    fn send(&mut self, outbox: &mut Outbox, flush: bool) -> Result<(), TestCaseError> {
        let Some(out) = outbox.next_to_send(flush) else {
            return Ok(());
        };
        let observations = observations(out.samples);
        let lost = out.totals.lost.expect("set");
        prop_assert!(out.sequence > self.answered, "what is acknowledged is not sent again");
        prop_assert_eq!(
            out.totals.emitted,
            out.sent_before + observations + lost.ring + lost.queue + out.totals.pending
        );
        if let Some((last, _)) = self.arrived.last() {
            prop_assert!(out.sequence > *last, "in order");
        }
        self.arrived.push((out.sequence, observations));
        Ok(())
    }

    /// Every drained observation is acknowledged, on its way or counted as lost.
    fn balance(&self, outbox: &Outbox) -> Result<(), TestCaseError> {
        let held = outbox.unsent_observations + outbox.unacked_observations;
        prop_assert_eq!(self.drained, outbox.acked_observations + held + outbox.lost);
        let unsent: u64 = outbox.unsent.iter().map(|one| one.sample.observations()).sum();
        let unacked: u64 = outbox.unacked.iter().map(|b| b.observations).sum();
        prop_assert_eq!(
            (unsent, unacked),
            (outbox.unsent_observations, outbox.unacked_observations)
        );
        prop_assert!(held <= LIMIT);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_observation_is_accounted_for_at_every_step(steps in prop::collection::vec(step(), 1..60)) {
        let mut outbox = Outbox::new(LIMIT);
        let mut world = World::default();
        for step in &steps {
            world.apply(&mut outbox, step)?;
            world.balance(&outbox)?;
        }
        // A patient aggregator in the end gets all that was not given up.
        outbox.begin_stream();
        world.arrived.clear();
        while !outbox.is_settled() {
            outbox.answered(world.answered, 3).expect("sent before");
            world.apply(&mut outbox, &Step::Send { flush: true })?;
            world.apply(&mut outbox, &Step::Merge)?;
            world.apply(&mut outbox, &Step::Answer { credit: 3 })?;
        }
        let merged: u64 = world.merged.values().sum();
        prop_assert_eq!(world.drained, merged + outbox.lost, "nothing is forgotten, nothing counted twice");
    }
}

#[test]
fn nothing_goes_without_credit() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.push(&mut acks(10));
    assert!(outbox.next_to_send(true).is_none());
    outbox.answered(0, 1).expect("fine");
    assert_eq!(outbox.next_to_send(true).expect("one").sequence, 1);
    outbox.push(&mut acks(10));
    assert!(outbox.next_to_send(true).is_none(), "credit is used up");
}

#[test]
fn small_lots_wait_for_the_flush_and_large_ones_do_not() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.answered(0, 9).expect("fine");
    assert!(!outbox.push(&mut acks(10)));
    assert!(outbox.next_to_send(false).is_none());
    assert!(outbox.push(&mut acks(MAX_BATCH)));
    assert_eq!(outbox.next_to_send(false).expect("full").samples.len(), MAX_BATCH);
    assert_eq!(outbox.next_to_send(true).expect("rest").samples.len(), 10);
    assert!(outbox.next_to_send(true).is_none(), "nothing new");
}

#[test]
fn the_oldest_unsent_go_first_and_leave_no_gap() {
    let mut outbox = Outbox::new(100);
    let mut old = acks(60);
    old.iter_mut().for_each(|s| s.sample.end_seq = 1);
    outbox.push(&mut old);
    outbox.push(&mut acks(70));
    outbox.answered(0, 1).expect("fine");
    let out = outbox.next_to_send(true).expect("one");
    assert_eq!((out.sequence, out.samples.len()), (1, 100));
    assert_eq!(out.samples.iter().filter(|s| s.sample.end_seq == 1).count(), 30);
    assert_eq!(out.totals.lost.expect("set").queue, 30);
}

#[test]
fn changed_totals_alone_make_an_empty_batch_once() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.answered(0, 5).expect("fine");
    assert!(outbox.is_settled());
    outbox.count(KernelTotals { opened: 4, ..KernelTotals::default() });
    let out = outbox.next_to_send(true).expect("totals");
    assert_eq!((out.samples.len(), out.totals.opened), (0, 4));
    assert!(outbox.next_to_send(true).is_none());
}

#[test]
fn a_refused_batch_is_found_and_given_up_alone() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.answered(0, 5).expect("fine");
    for _ in 0..2 {
        outbox.push(&mut acks(3));
        outbox.next_to_send(true).expect("sent");
    }
    assert_eq!(outbox.refused(), None, "which of the two is not known");
    assert_eq!(outbox.begin_stream(), 1);
    outbox.answered(0, 5).expect("fine");
    assert_eq!(outbox.next_to_send(true).expect("alone").sequence, 1);
    assert!(outbox.next_to_send(true).is_none());
    assert_eq!(outbox.refused(), Some(3));
    assert_eq!(outbox.begin_stream(), 2, "the next stream begins beyond it");
    outbox.answered(0, 5).expect("fine");
    let out = outbox.next_to_send(true).expect("the other");
    assert_eq!((out.sequence, out.sent_before), (2, 0));
    assert_eq!(out.totals.lost.expect("set").queue, 3);
}

#[test]
fn a_refused_greeting_costs_nothing() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.push(&mut acks(3));
    assert_eq!(outbox.refused(), None);
    assert_eq!(outbox.totals().lost.expect("set").queue, 0);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_an_error() {
    let mut outbox = Outbox::new(LIMIT);
    assert!(outbox.answered(1, 5).is_err());
}

#[test]
fn counters_that_lag_behind_the_ring_do_not_break_the_sum() {
    let mut outbox = Outbox::new(LIMIT);
    outbox.push(&mut acks(5));
    outbox.count(KernelTotals { emitted: 4, ring: 2, ..KernelTotals::default() });
    let totals = outbox.totals();
    assert_eq!((totals.emitted, totals.pending), (7, 5));
}

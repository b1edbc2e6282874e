//! Where probes were lost or doubled: on the way out or on the way back, as the reflector's own numbers tell.

use std::collections::HashSet;

use super::probes::{Answer, Exchange, Measured};

/// Where every probe went: `sent = answered + late + forward + backward + unplaced`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Probes.
    pub sent: u64,
    /// Answered in time.
    pub answered: u64,
    /// Answered, but too late.
    pub late: u64,
    /// Lost on the way to the reflector, or not sent at all.
    pub forward: u64,
    /// Lost on the way back.
    pub backward: u64,
    /// Lost after the last answer of their flow, so that nobody tells where.
    pub unplaced: u64,
    /// Copies that the reflector answered too.
    pub doubled_forward: u64,
    /// Copies of answers.
    pub doubled_backward: u64,
}

impl Losses {
    /// All flows of a run.
    #[must_use]
    pub fn of(run: &Measured, exchanges: &[Option<Exchange>]) -> Self {
        (0..run.flows)
            .map(|flow| Self::of_flow(run, exchanges, flow))
            .fold(Self::default(), Self::plus)
    }

    /// One flow of a run. A reflector that keeps no count copies the probes' numbers: losses then all seem to lie on
    /// the way back.
    #[must_use]
    pub fn of_flow(run: &Measured, exchanges: &[Option<Exchange>], flow: u16) -> Self {
        let (first, step) = (usize::from(flow), usize::from(run.flows));
        let in_time = exchanges.iter().skip(first).step_by(step);
        let (sent, answered) = (in_time.len(), in_time.flatten().count());
        let answers = || run.answers.iter().filter(|answer| answer.flow == flow);
        let probes: HashSet<_> = answers().map(|answer| answer.sequence).collect();
        let copies: HashSet<_> =
            answers().map(|answer| (answer.sequence, answer.reflector)).collect();
        let doubled_forward = copies.len() - probes.len();
        let doubled_backward = answers().count() - copies.len();
        // Up to the last answer: what was sent, and what the reflector got.
        let reached = count(answers().map(|answer| answer.sequence));
        let got = count(answers().map(|answer| answer.reflector)).saturating_sub(doubled_forward);
        let lost = reached.saturating_sub(probes.len());
        let forward = reached.saturating_sub(got).min(lost);
        Self {
            sent: sent as u64,
            answered: answered as u64,
            late: (probes.len() - answered) as u64,
            forward: forward as u64,
            backward: (lost - forward) as u64,
            unplaced: sent.saturating_sub(reached) as u64,
            doubled_forward: doubled_forward as u64,
            doubled_backward: doubled_backward as u64,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            answered: self.answered + other.answered,
            late: self.late + other.late,
            forward: self.forward + other.forward,
            backward: self.backward + other.backward,
            unplaced: self.unplaced + other.unplaced,
            doubled_forward: self.doubled_forward + other.doubled_forward,
            doubled_backward: self.doubled_backward + other.doubled_backward,
        }
    }

    /// Probes without an answer in time.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.sent - self.answered
    }
}

/// One more than the highest number.
fn count(numbers: impl Iterator<Item = u32>) -> usize {
    numbers.max().map_or(0, |highest| highest as usize + 1)
}

/// Whether no answer's number differs from its probe's.
#[must_use]
pub fn copies_numbers(answers: &[Answer]) -> bool {
    answers.iter().all(|answer| answer.reflector == answer.sequence)
}

/// Packets that came after one with a higher number (RFC 4737), in the order of arrival and without copies.
pub fn reordered(numbers: impl Iterator<Item = u32>) -> u64 {
    let mut expected = 0;
    let mut late = 0;
    for number in numbers {
        if number < expected {
            late += 1;
        } else {
            expected = number.saturating_add(1);
        }
    }
    late
}

/// How many packets of a run were reordered, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reordered {
    /// On the way to the reflector.
    pub forward: u64,
    /// On the way back.
    pub backward: u64,
}

impl Reordered {
    /// All flows of a run.
    #[must_use]
    pub fn of(run: &Measured) -> Self {
        (0..run.flows).map(|flow| Self::of_flow(run, flow)).fold(Self::default(), Self::plus)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { forward: self.forward + other.forward, backward: self.backward + other.backward }
    }

    /// One flow of a run.
    #[must_use]
    pub fn of_flow(run: &Measured, flow: u16) -> Self {
        let mut seen = HashSet::new();
        let once = run.answers.iter().filter(|a| a.flow == flow && seen.insert(a.sequence));
        let mut pairs: Vec<_> = once.map(|answer| (answer.reflector, answer.sequence)).collect();
        let backward = reordered(pairs.iter().map(|(reflector, _)| *reflector));
        pairs.sort_unstable();
        Self { forward: reordered(pairs.iter().map(|(_, sequence)| *sequence)), backward }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::load::stamp::probes::Sent;

    /// Probes 1 ns apart and their answers as `(probe's number, reflector's number)`.
    fn run(sent: u64, answers: &[(u32, u32)]) -> Measured {
        let mut run = Measured::new(1, 1_000, 0);
        run.sent = (0..sent).map(|at| Sent { intended_ns: at, at_ns: at, failed: false }).collect();
        run.answers = answers
            .iter()
            .map(|(sequence, reflector)| Answer {
                flow: 0,
                sequence: *sequence,
                probe_sent: 0,
                reflector: *reflector,
                received_ns: 0,
                sent_ns: 0,
                arrived_ns: 500,
            })
            .collect();
        run
    }

    fn losses(run: &Measured) -> Losses {
        Losses::of(run, &run.exchanges())
    }

    #[test]
    fn losses_are_placed_by_the_reflectors_numbers() {
        // 1 was lost on the way out, the answer to 3 on the way back, 5 somewhere.
        let run = run(6, &[(0, 0), (2, 1), (4, 3)]);
        let wanted = Losses {
            sent: 6,
            answered: 3,
            forward: 1,
            backward: 1,
            unplaced: 1,
            ..Losses::default()
        };
        assert_eq!(losses(&run), wanted);
    }

    #[test]
    fn copies_are_placed_too_and_hide_no_loss() {
        // 0 came twice to the reflector, the answer to 2 came twice to us, 1 was lost on the way out.
        let run = run(3, &[(0, 0), (0, 1), (2, 2), (2, 2)]);
        let wanted = Losses {
            sent: 3,
            answered: 2,
            forward: 1,
            doubled_forward: 1,
            doubled_backward: 1,
            ..Losses::default()
        };
        assert_eq!(losses(&run), wanted);
    }

    #[test]
    fn an_answer_after_the_timeout_is_late() {
        let mut run = run(2, &[(0, 0), (1, 1)]);
        run.answers[1].arrived_ns = 1_002;
        let wanted = Losses { sent: 2, answered: 1, late: 1, ..Losses::default() };
        assert_eq!(losses(&run), wanted);
    }

    #[test]
    fn reordering_is_placed() {
        // The reflector got 0 2 1 3; we got its answers 0 1 3 2.
        let run = run(4, &[(0, 0), (2, 1), (3, 3), (1, 2)]);
        assert_eq!(Reordered::of(&run), Reordered { forward: 1, backward: 1 });
        assert_eq!(reordered([0, 1, 5, 6].into_iter()), 0);
        assert_eq!(reordered([3, 0, 1, 2, 4].into_iter()), 3);
    }

    proptest! {
        #[test]
        fn every_probe_is_accounted_for(sent in 0u64..40, answers in vec((0u32..40, any::<u32>()), 0..60)) {
            let answers: Vec<_> = answers.into_iter().filter(|(sequence, _)| u64::from(*sequence) < sent).collect();
            let losses = losses(&run(sent, &answers));
            let Losses { answered, late, forward, backward, unplaced, .. } = losses;
            prop_assert_eq!(answered + late + forward + backward + unplaced, sent);
        }
    }
}

//! From probes to outages. An outage began between the last probe that was answered and the first that was lost, and
//! ended likewise: its length is known to within a probe's distance.

use crate::{
    load::stamp::{
        loss::{Losses, Reordered},
        probes::{Exchange, Measured},
        summary::distribution,
    },
    measure::histogram::Sparse,
};

/// Probes of a flow that were lost one after another. Times are since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last answered before, when sent.
    before_ns: u64,
    /// The first lost.
    pub first_ns: u64,
    /// The last lost.
    pub last_ns: u64,
    /// The next answered; none if there is no such.
    after_ns: Option<u64>,
    /// How many.
    pub lost: u64,
}

impl Gap {
    /// Its length; the least it can be if it did not end.
    #[must_use]
    pub fn outage_ns(&self) -> u64 {
        let least = self.last_ns - self.first_ns;
        self.after_ns.map_or(least, |after| u64::midpoint(least, after - self.before_ns))
    }

    /// How much longer or shorter it may have been.
    #[must_use]
    pub fn error_ns(&self) -> u64 {
        let least = self.last_ns - self.first_ns;
        self.after_ns.map_or(0, |after| (after - self.before_ns - least).div_ceil(2))
    }

    /// Whether a probe was answered afterwards.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.after_ns.is_some()
    }
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Where its probes went.
    pub losses: Losses,
    /// Which came out of order.
    pub reordered: Reordered,
    /// What was lost from the event on; a gap that the event fell into is one of them.
    pub gaps: Vec<Gap>,
    /// Probes lost in gaps that had ended when the event began.
    pub lost_earlier: u64,
    /// Round trips of probes sent before the event.
    pub before: Sparse,
    /// Round trips of probes sent after the last gap; without one, after the event.
    pub after: Sparse,
}

impl Flow {
    /// The longest gap.
    #[must_use]
    pub fn longest(&self) -> Option<&Gap> {
        self.gaps.iter().max_by_key(|gap| gap.outage_ns())
    }

    /// Probes lost from the event on.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.lost).sum()
    }
}

/// What became of all flows.
#[derive(Clone, Debug)]
pub struct Found {
    /// Flow by flow.
    pub flows: Vec<Flow>,
}

impl Found {
    /// Of a run in which the event began at `event_ns`.
    #[must_use]
    pub fn of(run: &Measured, event_ns: u64) -> Self {
        let exchanges = run.exchanges();
        Self { flows: (0..run.flows).map(|flow| one(run, &exchanges, flow, event_ns)).collect() }
    }

    /// The longest gap of any flow.
    #[must_use]
    pub fn longest(&self) -> Option<&Gap> {
        self.flows.iter().filter_map(Flow::longest).max_by_key(|gap| gap.outage_ns())
    }

    /// Flows that lost probes from the event on.
    pub fn hit(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().filter(|flow| !flow.gaps.is_empty())
    }

    /// The first and the last loss of any flow.
    #[must_use]
    pub fn span(&self) -> Option<(u64, u64)> {
        let gaps = || self.flows.iter().flat_map(|flow| &flow.gaps);
        Some((gaps().map(|gap| gap.first_ns).min()?, gaps().map(|gap| gap.last_ns).max()?))
    }

    /// The sum of a count over all flows.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&Flow) -> u64) -> u64 {
        self.flows.iter().map(count).sum()
    }

    /// The distributions of all flows in one.
    #[must_use]
    pub fn merged(&self, of: impl Fn(&Flow) -> &Sparse) -> Sparse {
        let all: Vec<_> = self.flows.iter().map(of).collect();
        Sparse::merged(all.into_iter())
    }
}

fn one(run: &Measured, exchanges: &[Option<Exchange>], flow: u16, event_ns: u64) -> Flow {
    let (first, step) = (usize::from(flow), usize::from(run.flows));
    let probes: Vec<_> = (run.sent.iter().zip(exchanges).skip(first).step_by(step))
        .map(|(sent, exchange)| (sent.at_ns, exchange.map(|found| found.round_trip_ns())))
        .collect();
    let (earlier, gaps): (Vec<_>, Vec<_>) =
        gaps(&probes).into_iter().partition(|gap| gap.last_ns < event_ns);
    let quiet_ns = gaps.last().map_or(event_ns, |gap| gap.last_ns);
    let times = |from: u64, to: u64| {
        let within = probes.iter().filter(move |(at, _)| (from..to).contains(at));
        distribution(within.filter_map(|(_, time)| *time))
    };
    Flow {
        losses: Losses::of_flow(run, exchanges, flow),
        reordered: Reordered::of_flow(run, flow),
        lost_earlier: earlier.iter().map(|gap| gap.lost).sum(),
        before: times(0, event_ns),
        after: times(quiet_ns, u64::MAX),
        gaps,
    }
}

/// The gaps in a flow's probes, each `(when it was sent, its round trip)`.
fn gaps(probes: &[(u64, Option<u64>)]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let mut answered_ns = None;
    let mut open = false;
    for (at_ns, time) in probes {
        match (time, gaps.last_mut().filter(|_| open)) {
            (Some(_), gap) => {
                if let Some(gap) = gap {
                    gap.after_ns = Some(*at_ns);
                }
                answered_ns = Some(*at_ns);
                open = false;
            }
            (None, Some(gap)) => {
                gap.last_ns = *at_ns;
                gap.lost += 1;
            }
            (None, None) => {
                let before_ns = answered_ns.unwrap_or(*at_ns);
                let (first_ns, last_ns) = (*at_ns, *at_ns);
                gaps.push(Gap { before_ns, first_ns, last_ns, after_ns: None, lost: 1 });
                open = true;
            }
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Probes 10 apart; those of which `lost` is true were lost.
    fn probes(count: u64, lost: impl Fn(u64) -> bool) -> Vec<(u64, Option<u64>)> {
        (0..count).map(|index| (index * 10, (!lost(index * 10)).then_some(3))).collect()
    }

    proptest! {
        #[test]
        fn an_outage_is_found_within_its_error(start in 1u64..900, length in 10u64..800) {
            let end = start + length;
            let found = gaps(&probes(200, |at| (start..end).contains(&at)));
            prop_assert_eq!(found.len(), 1);
            let gap = found[0];
            prop_assert!(gap.ended());
            prop_assert_eq!(gap.error_ns(), 10);
            prop_assert!(gap.outage_ns().abs_diff(length) <= gap.error_ns(), "{:?} for {}", gap, length);
        }
    }

    #[test]
    fn an_outage_that_does_not_end_is_at_least_as_long_as_seen() {
        let found = gaps(&probes(100, |at| at >= 500));
        assert_eq!((found.len(), found[0].ended(), found[0].lost), (1, false, 50));
        assert_eq!((found[0].outage_ns(), found[0].error_ns()), (490, 0));
    }

    #[test]
    fn single_losses_do_not_add_up_to_an_outage() {
        let found = gaps(&probes(100, |at| at % 100 == 50));
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|gap| gap.outage_ns() == 10 && gap.lost == 1));
        assert_eq!(gaps(&[]), []);
        assert_eq!(gaps(&probes(9, |_| true)).len(), 1);
    }
}

//! A run's probes as figures.

use super::{
    loss::{Losses, Reordered, copies_numbers},
    oneway::OneWay,
    probes::{Exchange, Measured},
};
use crate::measure::histogram::Sparse;

/// What a run found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Where probes went.
    pub losses: Losses,
    /// Which came out of order.
    pub reordered: Reordered,
    /// Round trips, less the time at the reflector.
    pub response: Sparse,
    /// Time at the reflector.
    pub residence: Sparse,
    /// How much later than due probes were sent.
    pub lateness: Sparse,
    /// To the reflector.
    pub forward: Sparse,
    /// Back.
    pub backward: Sparse,
    /// The clocks and what they may be wrong by.
    pub clocks: OneWay,
    /// What is doubtful.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Of a run.
    #[must_use]
    pub fn of(run: &Measured) -> Self {
        let exchanges = run.exchanges();
        let losses = Losses::of(run, &exchanges);
        let exchanges: Vec<_> = exchanges.into_iter().flatten().collect();
        let clocks = OneWay::of(&exchanges);
        let response = distribution(exchanges.iter().map(Exchange::round_trip_ns));
        let lateness =
            distribution(run.sent.iter().map(|sent| sent.at_ns.saturating_sub(sent.intended_ns)));
        let mut summary = Self {
            losses,
            reordered: Reordered::of(run),
            residence: distribution(
                exchanges
                    .iter()
                    .map(|exchange| u64::try_from(exchange.residence_ns()).unwrap_or(0)),
            ),
            forward: distribution(clocks.forward.iter().copied()),
            backward: distribution(clocks.backward.iter().copied()),
            response,
            lateness,
            clocks,
            warnings: Vec::new(),
        };
        summary.warnings = summary.doubts(run);
        summary
    }

    /// Two runs one after the other as one, without their single one-way times.
    #[must_use]
    pub fn and(&self, next: &Self) -> Self {
        let both =
            |part: fn(&Self) -> &Sparse| Sparse::merged([part(self), part(next)].into_iter());
        let mut warnings = self.warnings.clone();
        warnings.extend(next.warnings.iter().filter(|one| !self.warnings.contains(one)).cloned());
        Self {
            losses: self.losses.plus(next.losses),
            reordered: self.reordered.plus(next.reordered),
            response: both(|one| &one.response),
            residence: both(|one| &one.residence),
            lateness: both(|one| &one.lateness),
            forward: both(|one| &one.forward),
            backward: both(|one| &one.backward),
            clocks: OneWay {
                clocks: [&self.clocks.clocks[..], &next.clocks.clocks].concat(),
                ..OneWay::default()
            },
            warnings,
        }
    }

    fn doubts(&self, run: &Measured) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.losses.backward > 0 && copies_numbers(&run.answers) {
            doubts.push(
                "every answer has its probe's number: either all was lost on the way back, or the reflector keeps no \
                 count and nobody knows where"
                    .into(),
            );
        }
        let failed = run.sent.iter().filter(|sent| sent.failed).count();
        if failed > 0 {
            doubts.push(format!(
                "{failed} probes could not be sent and count as lost on the way out"
            ));
        }
        if run.foreign > 0 {
            doubts.push(format!("{} packets came that answer no probe of this run", run.foreign));
        }
        let late = self.lateness.quantile_ns(0.99);
        if late > mean_gap_ns(run) {
            doubts.push("p99 of the prober's own lateness is above the time between probes".into());
        }
        doubts
    }
}

/// The mean time between two probes; without two, endless.
fn mean_gap_ns(run: &Measured) -> u64 {
    let gaps = (run.sent.len() as u64).saturating_sub(1);
    run.sent.last().and_then(|last| last.intended_ns.checked_div(gaps)).unwrap_or(u64::MAX)
}

/// Values as a distribution.
#[must_use]
pub fn distribution(values: impl Iterator<Item = u64>) -> Sparse {
    let mut distribution = Sparse::default();
    for ns in values {
        distribution.record(ns);
    }
    distribution
}

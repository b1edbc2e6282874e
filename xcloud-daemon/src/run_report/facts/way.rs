//! Which way data goes, and what holds for that way: whoever asks for a test, the end that sends is capped and charged.

use serde::Serialize;

use super::{
    Tables,
    cost::{self, Cost},
    measured::Measured,
};
use crate::{
    cost::estimate::Estimate,
    floor::bandwidth::Cap,
    place::Place,
    result::{Run, Trial},
};

/// Which way the data of a trial goes, by its settings.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Ord, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// From the end that asked.
    Forward,
    /// To the end that asked.
    Reverse,
    /// Both at once.
    Both,
}

impl Data {
    pub(super) fn of(trial: &Trial) -> Self {
        let set = |name| trial.settings.get(name).is_some_and(|value| value == "true");
        if set("bidir") {
            Self::Both
        } else if set("reverse") {
            Self::Reverse
        } else {
            Self::Forward
        }
    }

    pub(super) const fn arrow(self) -> &'static str {
        match self {
            Self::Forward => "->",
            Self::Reverse => "<-",
            Self::Both => "<->",
        }
    }
}

/// What holds for data that goes one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Way {
    /// The figure that says how much went.
    #[serde(skip)]
    pub figure: &'static str,
    /// What the sending instance may send; null where its type is not known. One for each run.
    pub caps: Vec<Option<Cap>>,
    /// List price; null where none is known.
    pub cost: Option<Cost>,
    /// What the usual trial moved, one for each run; null without a throughput.
    pub moved: Vec<Option<Estimate>>,
}

impl Way {
    pub(super) fn of(
        [from, to]: [&str; 2],
        figure: &'static str,
        runs: &[Run],
        measured: &[Option<Measured>],
        tables: &Tables,
    ) -> Self {
        let places = from.parse::<Place>().ok().zip(to.parse::<Place>().ok());
        let cap = |run: &Run| {
            let (_, to) = places.as_ref()?;
            tables.instances.cap(&run.environment, from, to)
        };
        let moved = |one: &Option<Measured>| {
            let one = one.as_ref()?;
            cost::moved([from, to], one.metrics.get(figure)?, &one.seconds, &tables.tariffs)
        };
        Self {
            figure,
            caps: runs.iter().map(cap).collect(),
            moved: measured.iter().map(moved).collect(),
            cost: places.and_then(|(from, to)| Cost::of(from, to, &tables.tariffs)),
        }
    }
}

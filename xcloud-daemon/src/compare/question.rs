//! What is asked of a comparison.

use super::stats::{Design, shift::Chance};
use crate::{cli::compare::CompareArgs, usage::usage};
use anyhow::Result;

/// Fewest bootstrap replicates that an interval can be read from.
const FEWEST_REPLICATES: usize = 100;
/// Most that anybody waits for.
const MOST_REPLICATES: usize = 1_000_000;

/// How two runs are to be compared.
#[derive(Clone, Debug)]
pub struct Question {
    /// Only these figures and distributions, or quantiles of them; all if empty.
    pub metrics: Vec<String>,
    /// Chance of even one false alarm.
    pub alpha: f64,
    /// Differences below this share do not matter.
    pub equiv: Option<f64>,
    /// The difference whose number of trials is told.
    pub effect: f64,
    /// Bootstrap.
    pub chance: Chance,
    /// How trials belong together.
    pub design: Design,
}

impl Question {
    /// From the command line.
    ///
    /// # Errors
    /// A number is out of range.
    pub fn new(args: &CompareArgs) -> Result<Self> {
        let CompareArgs { alpha, bootstrap, .. } = *args;
        if !(0.000_1..=0.2).contains(&alpha) {
            return Err(usage(format!("--alpha is {alpha}; it has to be from 0.0001 to 0.2")));
        }
        if !(FEWEST_REPLICATES..=MOST_REPLICATES).contains(&bootstrap) {
            return Err(usage(format!(
                "--bootstrap is {bootstrap}; it has to be from {FEWEST_REPLICATES} to {MOST_REPLICATES}"
            )));
        }
        Ok(Self {
            metrics: args.metrics.clone(),
            alpha,
            equiv: args.equiv,
            effect: args.effect,
            chance: Chance { seed: args.seed, replicates: bootstrap },
            design: if args.paired { Design::Paired } else { Design::Unpaired },
        })
    }

    /// Whether a figure or distribution is asked for, in part at least.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.metrics.is_empty()
            || self.metrics.iter().any(|one| one.split(':').next() == Some(name))
    }

    /// Whether this quantile of a distribution is asked for.
    #[must_use]
    pub fn wants_quantile(&self, name: &str, label: &str) -> bool {
        let wanted = |one: &String| {
            one == name
                || one.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) == Some(label)
        };
        self.metrics.is_empty() || self.metrics.iter().any(wanted)
    }
}

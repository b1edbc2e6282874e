//! What a comparison says, in the words of the report.

use anyhow::Result;
use serde::Serialize;

use crate::{
    compare::{
        arm::Arm, compare, comparison::Comparison, question::Question, stats::power::Power, table,
    },
    result::Run,
};

/// What a comparison says about one figure of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// As in [`crate::result::Trial`].
    pub test: String,
    /// As in [`crate::result::Trial`].
    pub from: String,
    /// As in [`crate::result::Trial`].
    pub to: String,
    /// The figure, by the name it has in the matrix, e.g. `throughput`, `response p99`.
    pub figure: String,
    /// The difference with its interval, and what follows from it, in one line.
    pub says: String,
}

impl From<&Comparison> for Verdict {
    fn from(one: &Comparison) -> Self {
        let (difference, interval) = table::shift(one);
        Self {
            test: one.test.clone(),
            from: one.from.clone(),
            to: one.to.clone(),
            figure: one.name(),
            says: format!("{difference} ({interval}): {}", one.verdict.words()),
        }
    }
}

/// What may be said about B beside A, and why to doubt it.
///
/// # Errors
/// They have nothing in common, or a distribution cannot be decoded.
pub fn verdicts(a: &Run, b: &Run) -> Result<(Vec<Verdict>, Vec<String>)> {
    let [a, b] = [a, b].map(|run| Arm::new(vec![run.clone()]));
    let report = compare(&a, &b, &Question::default(), &mut Power::default())?;
    Ok((report.comparisons.iter().map(Verdict::from).collect(), report.warnings))
}

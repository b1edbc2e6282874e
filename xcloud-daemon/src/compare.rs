//! `xcloud compare`: what may be said about B beside A.
//!
//! files -> import -> arm -> pairing -> figures, distributions -> candidate -> report, table. Only `import` and `arm` read
//! files; the rest is arithmetic.

pub mod arm;
pub mod candidate;
pub mod comparison;
pub mod distributions;
pub mod doubts;
pub mod figures;
pub mod guards;
pub mod import;
pub mod pairing;
pub mod question;
pub mod report;
pub mod stats;
pub mod table;

#[cfg(test)]
mod promises;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::Result;

use self::{
    arm::Arm,
    pairing::Pair,
    question::Question,
    report::{Report, Side},
    stats::{Design, power::Power},
};
use crate::{
    cli::{Output, compare::CompareArgs},
    report::{
        json::json,
        once::once,
        style::{color, print},
    },
    usage::usage,
};

/// B is shown to be worse than A: an exit code of its own, so that a pipeline can tell it from a failure.
#[derive(Debug)]
pub struct Regression(String);

impl std::fmt::Display for Regression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Regression {}

/// Reads two runs and prints what may be said.
///
/// # Errors
/// A file cannot be read, the question makes no sense, nothing can be compared, or B is worse ([`Regression`]).
pub fn run(args: &CompareArgs) -> Result<()> {
    let question = Question::new(args)?;
    let report =
        compare(&Arm::read(&args.a)?, &Arm::read(&args.b)?, &question, &mut Power::default())?;
    print(&match args.output {
        Output::Table => table::table(&report, color()),
        Output::Json => json(&report)?,
        Output::Csv => report::csv(&report)?,
    })?;
    match report.worse().count() {
        0 => Ok(()),
        worse => {
            let all = report.comparisons.len();
            Err(Regression(format!("B is worse than A in {worse} of {all} comparisons")).into())
        }
    }
}

/// Compares everything that two arms have in common.
///
/// # Errors
/// They have nothing in common, or a distribution cannot be decoded.
pub fn compare(a: &Arm, b: &Arm, question: &Question, power: &mut Power) -> Result<Report> {
    let (pairs, mut warnings) = pairing::pairs(a, b);
    warnings.splice(0..0, doubts::of_arms(a, b));
    let (mut groups, mut remarks) = (Vec::new(), Vec::new());
    for pair in &pairs {
        pair.check(question.design)?;
        remarks.extend(doubts::of_pair(pair));
        remarks.extend(guards::doubts(pair, question));
        groups.extend(figures::compare(pair, question, &mut remarks));
        groups.extend(distributions::compare(pair, question, &mut remarks)?);
    }
    warnings.extend(once(remarks));
    let (comparisons, families) = candidate::judge(groups, question, power);
    if comparisons.is_empty() {
        return Err(nothing(&pairs, question, &warnings));
    }
    warnings.extend(doubts::of_comparisons(&comparisons, families, question));
    Ok(Report {
        a: side(a, "A"),
        b: side(b, "B"),
        paired: question.design == Design::Paired,
        alpha: question.alpha,
        equiv: question.equiv,
        effect: question.effect,
        families,
        comparisons,
        warnings,
    })
}

fn side(arm: &Arm, place: &str) -> Side {
    let tools = arm.tools.iter().cloned().collect();
    let label = if arm.label.is_empty() { place } else { &arm.label };
    Side { label: label.into(), tools, trials: arm.trials.len() }
}

fn nothing(pairs: &[Pair<'_>], question: &Question, warnings: &[String]) -> anyhow::Error {
    let names = |arm: usize| -> BTreeSet<&String> {
        let trials = pairs.iter().flat_map(|pair| &pair.trials[arm]);
        trials.flat_map(|trial| trial.metrics.keys().chain(trial.histograms.keys())).collect()
    };
    let (a, b) = (names(0), names(1));
    let both: Vec<&str> = a.intersection(&b).map(|name| name.as_str()).collect();
    if !question.metrics.is_empty() && !both.is_empty() {
        let asked = question.metrics.join(", ");
        return usage(format!(
            "--metric {asked}: nothing to compare; both runs have {}",
            both.join(", ")
        ));
    }
    anyhow::anyhow!("the runs have no figure in common: {}", warnings.join("; "))
}

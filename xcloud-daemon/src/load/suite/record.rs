//! The result of a suite as far as it is known: a whole file after every test, which says what it lacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Result;

use super::{
    file::{Network, Suite},
    plan::{Plan, Test},
};
use crate::{
    report::style::clean,
    result::{Order, Run, SCHEMA, Trial},
};

/// Most sentences on what is missing.
const MOST_SAID: usize = 40;

/// What was found so far.
#[derive(Debug)]
pub struct Record {
    run: Run,
    /// By fact, what the ends say; they need not be alike.
    facts: BTreeMap<String, BTreeSet<String>>,
    tools: BTreeSet<String>,
    /// Tests not made yet, or in vain, by title.
    missing: BTreeMap<String, u32>,
    repeats: u32,
    said: BTreeSet<String>,
}

impl Record {
    /// Nothing was found yet.
    #[must_use]
    pub fn new(suite: &Suite, plan: &Plan, label: &str, facts: &[(String, String)]) -> Self {
        let mut missing = BTreeMap::new();
        for test in &plan.tests {
            *missing.entry(test.title(suite)).or_default() += 1;
        }
        let order = Order {
            suite: suite.name.clone(),
            seed: plan.seed,
            repeats: plan.repeats,
            tests: plan.tests.len() as u64,
        };
        let known = facts.iter().map(|(name, value)| (name.clone(), [value.clone()].into()));
        Self {
            run: Run { suites: vec![order], ..empty(label) },
            facts: known.collect(),
            tools: BTreeSet::new(),
            missing,
            repeats: plan.repeats,
            said: plan.missing.iter().map(|what| format!("left out: {what}")).collect(),
        }
    }

    /// A result that holds nothing but the reason.
    #[must_use]
    pub fn nothing(label: &str, facts: &[(String, String)], why: &str) -> Run {
        let environment = facts.iter().cloned().collect();
        Run { environment, warnings: vec![format!("no test was made: {why}")], ..empty(label) }
    }

    /// What a test found.
    pub(super) fn found(&mut self, suite: &Suite, test: &Test, found: Run, doubts: &[String]) {
        if found.trials.is_empty() {
            self.say(suite, test, "it ended without a result");
            return;
        }
        let title = test.title(suite);
        if let Some(left) = self.missing.get_mut(&title) {
            *left = left.saturating_sub(1);
        }
        for (fact, value) in found.environment {
            self.facts.entry(fact).or_default().insert(value);
        }
        self.tools.insert(found.tool);
        self.said.extend(found.warnings);
        let trials = found.trials.into_iter();
        self.run.trials.extend(trials.map(|trial| dressed(trial, suite, test, doubts)));
    }

    /// What went wrong with a test.
    pub(super) fn say(&mut self, suite: &Suite, test: &Test, why: &str) {
        self.said.insert(format!("{}: {why}", test.title(suite)));
    }

    /// What has to be known of the whole.
    pub(super) fn note(&mut self, what: String) {
        self.said.insert(what);
    }

    /// How many tests are missing.
    #[must_use]
    pub fn lacking(&self) -> u64 {
        self.missing.values().map(|count| u64::from(*count)).sum()
    }

    /// The result as it is now.
    #[must_use]
    pub fn run(&self) -> Run {
        let mut warnings: Vec<String> = Vec::new();
        let (lacking, all) = (self.lacking(), self.missing.len() as u64 * u64::from(self.repeats));
        if lacking > 0 {
            warnings.push(format!("incomplete: {lacking} of {all} tests are missing"));
        }
        let missing = self.missing.iter().filter(|(_, count)| **count > 0);
        let mut missing: Vec<String> = missing
            .map(|(title, count)| format!("missing: {title}, {count} of {}", self.repeats))
            .collect();
        let more = missing.len().saturating_sub(MOST_SAID);
        missing.truncate(MOST_SAID);
        if more > 0 {
            missing.push(format!("missing: some of {more} more tests"));
        }
        warnings.extend(missing.into_iter().chain(self.said.iter().cloned()));
        Run {
            tool: joined(&self.tools),
            environment: self
                .facts
                .iter()
                .map(|(name, values)| (name.clone(), joined(values)))
                .collect(),
            warnings: warnings.iter().map(|one| clean(one)).collect(),
            ..self.run.clone()
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.run().write(path)
    }
}

fn empty(label: &str) -> Run {
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: String::new(),
        environment: BTreeMap::new(),
        trials: Vec::new(),
        warnings: Vec::new(),
        suites: Vec::new(),
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}

/// A trial with what only the suite knows.
fn dressed(mut trial: Trial, suite: &Suite, test: &Test, doubts: &[String]) -> Trial {
    trial.test = test.name(suite);
    let network = if test.network == Network::Host { "host" } else { "pod" };
    trial.settings.insert("network".into(), network.into());
    if let Some(event) = &suite.steps[test.step].event {
        let after = humantime::format_duration(event.after).to_string();
        trial.settings.insert("event_after".into(), after);
        trial.settings.insert("event".into(), event.command.clone().unwrap_or_default());
    }
    trial.warnings.extend(doubts.iter().cloned());
    trial
}

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
    loadtest::merge::merge,
    report::style::clean,
    result::{Order, Run, Trial},
};

/// Most sentences on what is missing.
const MOST_SAID: usize = 40;

/// What was found so far.
#[derive(Debug)]
pub struct Record {
    /// A run each test.
    found: Vec<Run>,
    label: String,
    facts: BTreeMap<String, String>,
    order: Order,
    /// Tests not made yet, or in vain, by title.
    missing: BTreeMap<String, u32>,
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
        Self {
            found: Vec::new(),
            label: label.into(),
            facts: facts.iter().cloned().collect(),
            order,
            missing,
            said: plan.missing.iter().map(|what| format!("left out: {what}")).collect(),
        }
    }

    /// A result that holds nothing but the reason.
    #[must_use]
    pub fn nothing(label: &str, facts: &[(String, String)], why: &str) -> Run {
        let environment = facts.iter().cloned().collect();
        let warnings = vec![format!("no test was made: {why}")];
        Run { environment, warnings, ..merge(label, Vec::new()) }
    }

    /// What a test found.
    pub(super) fn found(&mut self, suite: &Suite, test: &Test, found: Run, doubts: &[String]) {
        if found.trials.is_empty() {
            self.say(suite, test, "it ended without a result");
            return;
        }
        if let Some(left) = self.missing.get_mut(&test.title(suite)) {
            *left = left.saturating_sub(1);
        }
        self.partial(suite, test, found, doubts);
    }

    /// What a test found until it was cut short: kept, and missing all the same.
    pub(super) fn partial(
        &mut self,
        suite: &Suite,
        test: &Test,
        mut found: Run,
        doubts: &[String],
    ) {
        for trial in &mut found.trials {
            dress(trial, suite, test, doubts);
        }
        self.found.push(found);
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
        let mut run = merge(&self.label, self.found.clone());
        run.environment.extend(self.facts.clone());
        run.suites = vec![self.order.clone()];
        let said = self.said.iter().cloned();
        run.warnings = self.lacks().into_iter().chain(said).chain(run.warnings).collect();
        run.warnings.iter_mut().for_each(|one| *one = clean(one));
        run
    }

    /// What is missing, in sentences.
    fn lacks(&self) -> Vec<String> {
        let (lacking, all) = (self.lacking(), self.order.tests);
        if lacking == 0 {
            return Vec::new();
        }
        let missing = self.missing.iter().filter(|(_, count)| **count > 0);
        let repeats = self.order.repeats;
        let mut said =
            vec![format!("incomplete: {lacking} of {all} tests are missing or were cut short")];
        said.extend(
            missing.map(|(title, count)| format!("missing: {title}, {count} of {repeats}")),
        );
        let more = said.len().saturating_sub(MOST_SAID);
        said.truncate(MOST_SAID);
        if more > 0 {
            said.push(format!("missing: some of {more} more tests"));
        }
        said
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.run().write(path)
    }
}

/// Adds to a trial what only the suite knows.
fn dress(trial: &mut Trial, suite: &Suite, test: &Test, doubts: &[String]) {
    trial.test = test.name(suite);
    let network = if test.network == Network::Host { "host" } else { "pod" };
    // Another in each test, so no difference between two.
    trial.settings.remove("port");
    trial.settings.insert("network".into(), network.into());
    if let Some(event) = &suite.steps[test.step].event {
        let after = humantime::format_duration(event.after).to_string();
        trial.settings.insert("event_after".into(), after);
        trial.settings.insert("event".into(), event.command.clone().unwrap_or_default());
    }
    trial.warnings.extend(doubts.iter().cloned());
}

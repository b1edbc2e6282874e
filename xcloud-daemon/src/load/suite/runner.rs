//! All tests of a plan, one after the other.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::{
    client::Client,
    commands::{self, Timed},
    file::Suite,
    one::{self, Outcome},
    plan::{Plan, Test},
    price::Estimates,
    record::Record,
};
use crate::report::style::clean;

/// How long an aggregator that went away is waited for, with both endpoints of the next test.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a suite's tests.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    /// The suite.
    pub(super) suite: &'a Suite,
    /// Its tests.
    pub(super) plan: &'a Plan,
    /// Whom to ask.
    pub(super) client: Client,
    /// Where each result is written.
    pub(super) result: &'a Path,
    /// Set once somebody wants the end.
    pub(super) stop: &'static AtomicBool,
    /// How long an aggregator that went away is waited for.
    pub(super) patience: Duration,
}

impl<'a> Runner<'a> {
    /// Ready to make all tests.
    pub(super) fn new(
        suite: &'a Suite,
        plan: &'a Plan,
        client: Client,
        result: &'a Path,
        stop: &'static AtomicBool,
    ) -> Self {
        Self { suite, plan, client, result, stop, patience: PATIENCE }
    }

    /// Makes all tests, and writes what is known after each.
    pub(super) async fn run(&mut self, record: &mut Record) -> Result<()> {
        record.write(self.result)?;
        let mut state = Entered { state: None, wrong: None };
        for (number, test) in self.plan.tests.iter().enumerate() {
            if self.stopped() {
                break;
            }
            eprintln!("[{}/{}] {}", number + 1, self.plan.tests.len(), test.title(self.suite));
            self.enter(&mut state, test).await;
            let outcome = match &state.wrong {
                Some(wrong) => Outcome::Failed(wrong.clone()),
                None => self.surrounded(test).await,
            };
            let gone = self.keep(record, test, outcome);
            record.write(self.result)?;
            if gone && !self.back(test).await {
                record.note("the aggregator went away and did not come back in time".into());
                break;
            }
            self.pause().await;
        }
        if self.stopped() {
            record.note("it was interrupted".into());
        }
        record.write(self.result)
    }

    /// Brings the network into a test's state, if it is in another.
    async fn enter(&self, entered: &mut Entered, test: &Test) {
        if entered.state == test.state {
            return;
        }
        entered.state = test.state;
        let command = test.state.and_then(|state| self.suite.states[state].enter.as_ref());
        entered.wrong = match command {
            Some(command) => {
                let variables = commands::variables(self.suite, test);
                commands::run("state's", command, &variables, Some(self.stop)).await
            }
            None => None,
        };
    }

    /// A test between its commands.
    async fn surrounded(&mut self, test: &Test) -> Outcome {
        let step = &self.suite.steps[test.step];
        let variables = commands::variables(self.suite, test);
        let wrong = match &step.before {
            Some(command) => commands::run("before", command, &variables, Some(self.stop)).await,
            None => None,
        };
        let mut outcome = match wrong {
            Some(wrong) => Outcome::Failed(wrong),
            None => self.make(test, &variables).await,
        };
        // Whatever happened, and although somebody wants the end: it undoes what was done.
        if let Some(command) = &step.after
            && let Some(wrong) = commands::run("after", command, &variables, None).await
        {
            match &mut outcome {
                Outcome::Found(_, doubts) | Outcome::Partial(_, doubts) => doubts.push(wrong),
                Outcome::Failed(why) | Outcome::Gone(why) => *why = format!("{why}; {wrong}"),
            }
        }
        outcome
    }

    async fn make(&mut self, test: &Test, variables: &commands::Variables) -> Outcome {
        let step = &self.suite.steps[test.step];
        let [from, to] = &test.ends;
        let spec = match step.spec(&test.name(self.suite), from, to) {
            Ok(spec) => spec,
            Err(error) => return Outcome::Failed(format!("{error:#}")),
        };
        let event = step.event.as_ref().and_then(|event| {
            let command = event.command.clone()?;
            Some(Timed { after: event.after, command, variables: variables.clone() })
        });
        one::make(&mut self.client, spec, event, self.stop).await
    }

    /// Takes down how a test went; returns whether the aggregator is gone.
    fn keep(&self, record: &mut Record, test: &Test, outcome: Outcome) -> bool {
        let (why, gone) = match outcome {
            Outcome::Found(run, doubts) => {
                record.found(self.suite, test, run, &doubts);
                (doubts.join("; "), false)
            }
            Outcome::Partial(run, doubts) => {
                record.partial(self.suite, test, run, &doubts);
                (doubts.join("; "), false)
            }
            Outcome::Failed(why) => {
                record.say(self.suite, test, &why);
                (why, false)
            }
            Outcome::Gone(why) => {
                record.say(self.suite, test, &why);
                (why, true)
            }
        };
        if !why.is_empty() {
            eprintln!("    {}", clean(&why));
        }
        gone
    }

    /// Waits until the aggregator answers and has the endpoints of a test that failed, as the next may need them.
    async fn back(&mut self, test: &Test) -> bool {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline && !self.stopped() {
            if let Ok(ends) = self.client.ends().await
                && test.ends.iter().all(|end| ends.has(end))
            {
                return true;
            }
            sleep(Duration::from_millis(500).min(self.patience)).await;
        }
        false
    }

    async fn pause(&self) {
        tokio::select! {
            () = sleep(self.suite.pause) => {}
            () = one::stopped(self.stop) => {}
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The state that the network was brought into, and what went wrong with that.
struct Entered {
    state: Option<usize>,
    wrong: Option<String>,
}

/// Asks what each test would move and whether it would be allowed, before any is made.
pub(super) async fn estimates(
    client: &mut Client,
    suite: &Suite,
    plan: &Plan,
) -> Result<Estimates> {
    let (mut all, mut refused) = (Estimates::new(), Vec::new());
    for test in plan.tests.iter().take_while(|test| test.block == 0) {
        let title = test.title(suite);
        let [from, to] = &test.ends;
        let spec = suite.steps[test.step].spec(&test.name(suite), from, to)?;
        match client.estimate(spec).await {
            Ok(estimate) => drop(all.insert(title, estimate)),
            Err(status) => refused.push(format!("{title}: {}", clean(status.message()))),
        }
    }
    if !refused.is_empty() {
        bail!("the aggregator refuses tests of {}:\n  {}", suite.name, refused.join("\n  "));
    }
    if all.is_empty() {
        let why: Vec<String> = plan.missing.iter().map(|one| clean(one)).collect();
        bail!("{} has no test to make:\n  {}", suite.name, why.join("\n  "));
    }
    Ok(all)
}

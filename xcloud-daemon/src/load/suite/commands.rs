//! The operator's commands around and in the middle of a test.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    file::{Network, Suite},
    plan::Test,
};
use crate::load::shell;

/// How long a command before or after a test may take.
const LONGEST: Duration = Duration::from_mins(10);
/// How often the end of a test is looked for.
const STEP: Duration = Duration::from_millis(5);

/// What commands are told of the test.
pub(super) type Variables = Vec<(&'static str, String)>;

/// What commands are told of a test, as variables of their environment.
pub(super) fn variables(suite: &Suite, test: &Test) -> Variables {
    let network = if test.network == Network::Host { "host" } else { "pod" };
    let state = test.state.map_or("", |state| &suite.states[state].name);
    let [from, to] = &test.sites;
    let [from_end, to_end] = &test.ends;
    [
        ("XCLOUD_STEP", suite.steps[test.step].name.as_str()),
        ("XCLOUD_STATE", state),
        ("XCLOUD_NETWORK", network),
        ("XCLOUD_FROM", from),
        ("XCLOUD_TO", to),
        ("XCLOUD_FROM_ENDPOINT", from_end),
        ("XCLOUD_TO_ENDPOINT", to_end),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

/// Runs a command to its end, and says what went wrong.
pub(super) async fn run(
    what: &'static str,
    command: &str,
    variables: &Variables,
    stop: Option<&'static AtomicBool>,
) -> Option<String> {
    let (command, variables) = (command.to_owned(), variables.clone());
    let deadline = Instant::now() + LONGEST;
    let over =
        move || Instant::now() > deadline || stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
    let task = tokio::task::spawn_blocking(move || shell::run(&command, &variables, over));
    let wrong = match task.await {
        Ok(Ok(ended)) => ended.wrong(),
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(error) => Some(error.to_string()),
    };
    wrong.map(|wrong| format!("its {what} command {wrong}"))
}

/// A command some time after load is sent.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    /// When.
    pub(super) after: Duration,
    /// What.
    pub(super) command: String,
    /// What it is told.
    pub(super) variables: Variables,
}

impl Timed {
    /// Waits and runs it, at most until the test is over, and says what went wrong.
    pub(super) fn run(&self, over: &AtomicBool) -> Option<String> {
        let at = Instant::now() + self.after;
        while Instant::now() < at {
            if over.load(Ordering::Relaxed) {
                return Some("its event was not run: the test had ended before".into());
            }
            thread::sleep(STEP.min(at.saturating_duration_since(Instant::now())));
        }
        let ended = shell::run(&self.command, &self.variables, || over.load(Ordering::Relaxed));
        match ended {
            // What lasts as long as the test is ended with it.
            Ok(ended) if ended.killed => None,
            Ok(ended) => ended.wrong().map(|wrong| format!("its event {wrong}")),
            Err(error) => Some(format!("its event: {error:#}")),
        }
    }
}

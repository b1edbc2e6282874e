//! One test: asked for, followed to its end, and what it found.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tonic::{Code, Status};
use xcloud_proto::loadtest::v1::{LoadTest, LoadTestSpec, LoadTestState, watch_load_test_response};

use super::{client::Client, commands::Timed};
use crate::{report::style::clean, result::Run};

/// How long a path may be busy with somebody else's test, and a test may take beyond its duration.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a test that was cancelled may take to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody wants the end.
const TICK: Duration = Duration::from_millis(50);

/// How a test went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What it found, and what is doubtful about it.
    Found(Run, Vec<String>),
    /// What it found until it was cut short, and why it was.
    Partial(Run, Vec<String>),
    /// Why it found nothing.
    Failed(String),
    /// The aggregator does not answer any more.
    Gone(String),
}

/// Makes one test, and runs a command while load is sent.
pub(super) async fn make(
    client: &mut Client,
    spec: LoadTestSpec,
    event: Option<Timed>,
    stop: &AtomicBool,
) -> Outcome {
    let label = spec.name.clone();
    let limit = time(&spec) + PATIENCE;
    let id = match start(client, spec, stop).await {
        Ok(test) => test.id,
        Err(status) => return failed(&status),
    };
    let over = Arc::new(AtomicBool::new(false));
    let mut running = Event { timed: event, over: Arc::clone(&over), task: None };
    let followed = follow(client, &id, limit, stop, &mut running).await;
    over.store(true, Ordering::Relaxed);
    let mut doubts = running.end().await;
    let test = match followed {
        Ok(test) => test,
        Err(outcome) => return outcome,
    };
    let whole = test.state() == LoadTestState::Done;
    if !whole {
        doubts.push(ending(&test));
    }
    if !test.has_result {
        return Outcome::Failed(doubts.join("; "));
    }
    match client.export(&id, &label).await {
        Ok(run) if whole => Outcome::Found(run, doubts),
        Ok(run) => Outcome::Partial(run, doubts),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Whether a call failed because nobody answers, rather than because of what was asked.
fn failed(status: &Status) -> Outcome {
    let why = clean(status.message());
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled => {
            Outcome::Gone(format!("the aggregator is gone: {why}"))
        }
        _ => Outcome::Failed(why),
    }
}

fn time(spec: &LoadTestSpec) -> Duration {
    use xcloud_proto::loadtest::v1::load_test_spec::Kind;
    let omitted = match &spec.kind {
        Some(Kind::Throughput(one)) => one.omit,
        _ => None,
    };
    let times = [spec.duration, omitted].into_iter().flatten();
    times.filter_map(|time| Duration::try_from(time).ok()).sum()
}

/// Starts a test, once the path is free.
async fn start(
    client: &mut Client,
    spec: LoadTestSpec,
    stop: &AtomicBool,
) -> Result<LoadTest, Status> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.start(spec.clone()).await {
            Err(status)
                if status.code() == Code::FailedPrecondition
                    && Instant::now() < deadline
                    && !stop.load(Ordering::Relaxed) =>
            {
                sleep(Duration::from_secs(1)).await;
            }
            other => return other,
        }
    }
}

/// Waits for the end of a test; cancels it when somebody wants the end, or it comes to none.
async fn follow(
    client: &mut Client,
    id: &str,
    limit: Duration,
    stop: &AtomicBool,
    event: &mut Event,
) -> Result<LoadTest, Outcome> {
    let mut news = client.watch(id).await.map_err(|status| failed(&status))?;
    let (mut deadline, mut cancelled) = (Instant::now() + limit, false);
    let mut last = None;
    loop {
        let message = tokio::select! {
            message = news.message() => message.map_err(|status| failed(&status))?,
            () = stopped(stop), if !cancelled => {
                (deadline, cancelled) = (Instant::now() + FAREWELL, true);
                client.cancel(id).await.map_err(|status| failed(&status))?;
                continue;
            }
            () = sleep_until(deadline) => {
                if cancelled {
                    return Err(Outcome::Failed("it was cancelled and did not end".into()));
                }
                (deadline, cancelled) = (Instant::now() + FAREWELL, true);
                client.cancel(id).await.map_err(|status| failed(&status))?;
                continue;
            }
        };
        match message.map(|one| one.news) {
            Some(Some(watch_load_test_response::News::Test(test))) => {
                if test.state() == LoadTestState::Running {
                    event.start();
                }
                last = Some(test);
            }
            Some(_) => {}
            None => {
                let gone = || Outcome::Gone("it was followed no further than to its start".into());
                return last.filter(ended).ok_or_else(gone);
            }
        }
    }
}

fn ended(test: &LoadTest) -> bool {
    matches!(test.state(), LoadTestState::Done | LoadTestState::Failed | LoadTestState::Cancelled)
}

/// Why a test did not end by itself.
fn ending(test: &LoadTest) -> String {
    let how =
        if test.state() == LoadTestState::Cancelled { "it was cancelled" } else { "it failed" };
    match clean(&test.error) {
        error if error.is_empty() => how.into(),
        error => format!("{how}: {error}"),
    }
}

/// Returns once somebody wants the end.
pub(super) async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(TICK).await;
    }
}

/// A command in the middle of a test.
struct Event {
    timed: Option<Timed>,
    over: Arc<AtomicBool>,
    task: Option<JoinHandle<Option<String>>>,
}

impl Event {
    /// Load is sent: its time begins. Only the first call counts.
    fn start(&mut self) {
        if let Some(timed) = self.timed.take() {
            let over = Arc::clone(&self.over);
            self.task = Some(tokio::task::spawn_blocking(move || timed.run(&over)));
        }
    }

    /// What went wrong with it.
    async fn end(self) -> Vec<String> {
        let never = self.timed.map(|_| "its event was not run: no load was sent".to_owned());
        let wrong = match self.task {
            Some(task) => task.await.unwrap_or_else(|error| Some(format!("its event: {error}"))),
            None => None,
        };
        never.into_iter().chain(wrong).collect()
    }
}

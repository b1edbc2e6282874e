//! Decides which tests are made and knows how far they are: one memory behind one lock, which is never held across an
//! await.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use tokio::sync::{broadcast, broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;
use xcloud_proto::loadtest::v1::{
    AttendResponse, LoadEndpoint, LoadTest, LoadTestState, WatchLoadTestResponse, report::News,
};

use super::{
    attendee::Attendee,
    cast::{Started, Ticket},
    conduct, id,
    keep::Keep,
    limits::{Limits, Over},
    refusal::Refusal,
    registry::Registry,
    spec::Spec,
};
use crate::{cost::tariff::Tariffs, result::Run};

/// What is said to all who want a test of an aggregator that makes none.
const NOT_ALLOWED: &str =
    "this aggregator makes no load tests: it has to be started with --allow-load-tests";

/// Whoever leads all tests.
#[derive(Debug)]
pub struct Director {
    limits: Option<Mutex<Limits>>,
    tariffs: Tariffs,
    registry: Mutex<Registry>,
    pub(super) keep: Keep,
    /// Cancelled when the aggregator stops.
    pub stop: CancellationToken,
}

impl Director {
    /// One that makes tests within limits, and keeps results in a directory if one is given.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn new(
        limits: Limits,
        results: Option<&Path>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>> {
        let (keep, ended) = Keep::open(results)?;
        let tariffs = Tariffs::built_in().context("reading the price lists")?;
        let registry = Mutex::new(Registry::new(ended));
        Ok(Arc::new(Self { limits: Some(Mutex::new(limits)), tariffs, registry, keep, stop }))
    }

    /// One that makes no tests.
    ///
    /// # Errors
    /// The built-in price lists cannot be read.
    pub fn idle(stop: CancellationToken) -> Result<Arc<Self>> {
        let (keep, _) = Keep::open(None)?;
        let tariffs = Tariffs::built_in().context("reading the price lists")?;
        Ok(Arc::new(Self { limits: None, tariffs, registry: Mutex::default(), keep, stop }))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // A panic in one call must not stop the others.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits, if tests are made at all.
    ///
    /// # Errors
    /// They are not.
    pub fn allowed(&self) -> Result<Limits, Refusal> {
        let limits = self.limits.as_ref().ok_or_else(|| Refusal::Denied(NOT_ALLOWED.into()))?;
        Ok(limits.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Holds tests to other limits from now on, if any are made.
    pub fn set_limits(&self, limits: Limits) {
        if let Some(present) = &self.limits {
            *present.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        }
    }

    /// Gives an endpoint its seat.
    ///
    /// # Errors
    /// No tests are made, or there are too many endpoints.
    pub fn join(
        &self,
        attendee: Attendee,
        orders: mpsc::Sender<AttendResponse>,
    ) -> Result<Ticket, Refusal> {
        self.allowed()?;
        self.lock().join(attendee, orders)
    }

    /// Takes it away.
    pub fn leave(&self, ticket: &Ticket) {
        self.lock().leave(ticket);
    }

    /// Where an endpoint's reports about a test go.
    #[must_use]
    pub fn reports(&self, ticket: &Ticket, test: &str) -> Option<mpsc::Sender<News>> {
        self.lock().reports(ticket, test)
    }

    /// All endpoints.
    ///
    /// # Errors
    /// No tests are made.
    pub fn endpoints(&self) -> Result<Vec<LoadEndpoint>, Refusal> {
        self.allowed()?;
        Ok(self.lock().attendees().map(Attendee::wire).collect())
    }

    /// Says what a test would move and whether it may be made.
    ///
    /// # Errors
    /// It may not.
    pub fn judge(&self, spec: &Spec) -> Result<(Spec, LoadTest), Refusal> {
        let limits = self.allowed()?;
        let ends = {
            let registry = self.lock();
            let (from, to) = registry.ends(spec)?;
            (from.place(), to.place())
        };
        let allowed = limits
            .allow(spec, (&ends.0, &ends.1), &self.tariffs)
            .map_err(|Over(why)| Refusal::Denied(why))?;
        let test = LoadTest {
            spec: Some(allowed.spec.wire()),
            estimate: Some(allowed.estimate),
            ..LoadTest::default()
        };
        Ok((allowed.spec, test))
    }

    /// Starts a test.
    ///
    /// # Errors
    /// It may not be made, or not now.
    pub async fn create(self: &Arc<Self>, spec: &Spec) -> Result<LoadTest, Refusal> {
        let (spec, mut test) = self.judge(spec)?;
        let now = SystemTime::now();
        test.id = id::new(now).map_err(|error| Refusal::Broken(format!("{error:#}")))?;
        test.created = Some(now.into());
        test.set_state(LoadTestState::Starting);
        let started = self.lock().start(&spec, test.clone())?;
        // It has its endpoints now, so it goes on though whoever asked hangs up.
        let begun = tokio::spawn(Arc::clone(self).begin(spec, started)).await;
        begun.map_err(|error| Refusal::Broken(error.to_string()))??;
        Ok(test)
    }

    async fn begin(self: Arc<Self>, spec: Spec, started: Started) -> Result<(), Refusal> {
        let test = started.test.clone();
        if let Err(error) = self.note(&test).await {
            let why = format!("{error:#}");
            self.end(&test.id, LoadTestState::Failed, &why, false).await;
            return Err(Refusal::Broken(why));
        }
        tracing::info!(
            test = test.id,
            "load test {}: {} {} -> {}: {}",
            test.id,
            spec.kind.name(),
            spec.from,
            spec.to,
            test.estimate.as_ref().map_or("", |estimate| &estimate.text)
        );
        tokio::spawn(self.lead(spec, started));
        Ok(())
    }

    async fn lead(self: Arc<Self>, spec: Spec, started: Started) {
        let id = started.test.id.clone();
        let verdict = conduct::conduct(&self, &spec, started).await;
        let kept = match verdict.run {
            Some(run) => self.keep_run(&id, run).await.map(|()| true),
            None => Ok(false),
        };
        match kept {
            Ok(has_result) => self.end(&id, verdict.state, &verdict.error, has_result).await,
            Err(error) => {
                self.end(&id, LoadTestState::Failed, &format!("{error:#}"), false).await;
            }
        }
    }

    async fn keep_run(self: &Arc<Self>, id: &str, run: Run) -> Result<()> {
        let id = id.to_owned();
        self.write(move |keep| keep.store(&id, &run)).await.context("keeping the result")
    }

    async fn note(self: &Arc<Self>, test: &LoadTest) -> Result<()> {
        let test = test.clone();
        self.write(move |keep| keep.note(&test)).await
    }

    /// Writes on a thread of its own: a disk may be slow, and agents wait.
    async fn write(
        self: &Arc<Self>,
        write: impl FnOnce(&Keep) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let director = Arc::clone(self);
        tokio::task::spawn_blocking(move || write(&director.keep)).await?
    }

    /// Says that load is sent.
    pub(super) fn runs(&self, id: &str) {
        self.lock().turn(id, |test| test.set_state(LoadTestState::Running));
    }

    /// Tells a line of progress.
    pub(super) fn progress(&self, id: &str, line: String) {
        self.lock().progress(id, line);
    }

    async fn end(self: &Arc<Self>, id: &str, state: LoadTestState, error: &str, has_result: bool) {
        let known = self.lock().watch(id).map(|(test, _)| test);
        let Ok(mut test) = known else { return };
        test.set_state(state);
        error.clone_into(&mut test.error);
        test.has_result = has_result;
        test.ended = Some(SystemTime::now().into());
        // First, so that whoever hears of the end finds it after a restart too.
        if let Err(error) = self.note(&test).await {
            tracing::error!(test = id, "load test {id}: {error:#}");
        }
        {
            let mut registry = self.lock();
            registry.turn(id, |known| *known = test);
            registry.forget(self.keep.most());
        }
        let how = state.as_str_name().trim_start_matches("LOAD_TEST_STATE_").to_lowercase();
        tracing::info!(
            test = id,
            "load test {id}: {how}{}{error}",
            if error.is_empty() { "" } else { ": " }
        );
    }

    /// A test, and its news while it runs.
    ///
    /// # Errors
    /// There is none of this name, or no tests are made.
    pub fn watch(
        &self,
        id: &str,
    ) -> Result<(LoadTest, Option<broadcast::Receiver<WatchLoadTestResponse>>), Refusal> {
        self.allowed()?;
        self.lock().watch(id)
    }

    /// Ends a test, and waits until it has.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn cancel(&self, id: &str) -> Result<LoadTest, Refusal> {
        let (_, news) = self.watch(id)?;
        self.lock().cancel(id)?;
        if let Some(mut news) = news {
            // The sender is gone once the test has ended.
            while !matches!(news.recv().await, Err(RecvError::Closed)) {}
        }
        self.watch(id).map(|(test, _)| test)
    }

    /// Tests, newest first.
    ///
    /// # Errors
    /// No tests are made.
    pub fn tests(&self, most: usize) -> Result<Vec<LoadTest>, Refusal> {
        self.allowed()?;
        Ok(self.lock().tests(most))
    }
}

#[cfg(test)]
pub(super) mod tests;

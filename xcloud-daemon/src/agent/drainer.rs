//! The thread that empties the ring, reads the counters and keeps the sampling share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::sync::{oneshot, watch};
use tracing::debug;
use xcloud_common::sample::Sample;

use super::{
    clock::Pretend, hooks::SharedHooks, names::Names, sampling::Controller, stages::Stages,
};
use crate::{
    access::privileges::{FOR_MAPS, keep_if_needed},
    cli::AgentArgs,
    kernel::drain::Ring,
    metrics::agent::Drained,
    wire::{
        client::SharedOutbox,
        outbox::{KernelTotals, MAX_BATCH},
    },
};

/// How often the ring is emptied.
const PERIOD: Duration = Duration::from_millis(10);
/// Counters are read every this many passes: a dozen system calls.
const PASSES_PER_COUNT: u32 = 10;
/// Most rounds in one pass, so that a flood cannot keep the counters from being read.
const MAX_ROUNDS: usize = 64;

/// What the thread works on.
#[derive(Debug)]
pub struct Drainer {
    /// Where samples come from.
    pub ring: Ring,
    /// Counters and sampling share.
    pub hooks: SharedHooks,
    /// Where samples go.
    pub outbox: SharedOutbox,
    /// Whose they are.
    pub names: Arc<Names>,
    /// What the sampling share should be.
    pub controller: Controller,
    /// The clock that is pretended.
    pub clock: Pretend,
    /// Observations left out so far, of pods that are not seen in full.
    pub hidden: u64,
    /// Exchanges opened when the counters were last read.
    pub opened: u64,
    /// What CNI segments are made of, if that is asked for.
    pub stages: Option<Stages>,
    /// What may change while it runs: how much is sampled and kept.
    pub settings: watch::Receiver<Arc<AgentArgs>>,
    /// What it saw, for metrics.
    pub drained: Drained,
    /// Steady time of the controller.
    pub started: Instant,
}

/// The running thread.
#[derive(Debug)]
pub struct Draining {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
    /// Closed when it ends, for whatever reason.
    pub ended: oneshot::Receiver<()>,
}

impl Drainer {
    /// Starts the thread.
    pub fn spawn(mut self) -> Result<Draining> {
        let stop = Arc::new(AtomicBool::new(false));
        let (running, ended) = oneshot::channel();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("drain".into())
            .spawn(move || {
                let _dropped_at_the_end: oneshot::Sender<()> = running;
                self.run(&stopped)
            })
            .context("starting the thread that drains the ring")?;
        Ok(Draining { stop, thread, ended })
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        // A stage profile attaches probes from here, again and again.
        if self.stages.is_none() {
            let hooks = &self.hooks;
            keep_if_needed(FOR_MAPS, || hooks.lock().counters().is_ok())?;
        }
        let mut samples = Vec::with_capacity(MAX_BATCH);
        for pass in 0u32.. {
            let last = stop.load(Ordering::Acquire);
            self.adapt();
            let observations = self.drain(&mut samples, last);
            let opened = if last || pass % PASSES_PER_COUNT == 0 { self.count()? } else { 0 };
            self.tell_stages(last);
            if last {
                break;
            }
            let elapsed = self.started.elapsed();
            if let Some(shift) = self.controller.observe(observations, opened, elapsed) {
                debug!("one exchange in {} is selected from now on", 1u64 << shift);
                self.hooks.lock().set_shift(shift)?;
            }
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    /// Heeds changes of the configuration.
    fn adapt(&mut self) {
        // Without a sender there are no changes.
        if self.settings.has_changed().unwrap_or(false) {
            let args = Arc::clone(&self.settings.borrow_and_update());
            self.controller.set_target(args.rate.into());
            self.outbox.lock().set_limit(args.queue as u64);
        }
    }

    /// Empties the ring; returns how many observations there were.
    fn drain(&mut self, samples: &mut Vec<Sample>, last: bool) -> u64 {
        let (mut observations, before) = (0, self.ring.bytes());
        for _ in 0..MAX_ROUNDS {
            let got = self.ring.drain(samples, MAX_BATCH);
            if let Some(stages) = &mut self.stages {
                stages.take(samples);
            }
            if self.clock.differs() {
                samples.iter_mut().for_each(|sample| self.clock.restamp(sample));
            }
            observations += samples.iter().map(Sample::observations).sum::<u64>();
            self.hidden += self.hooks.lock().pods.sift(samples, Instant::now(), last);
            if !samples.is_empty() {
                let mut named = self.names.name(samples);
                if self.outbox.lock().push(&mut named) {
                    self.outbox.full.notify_one();
                }
            }
            if got < MAX_BATCH {
                break;
            }
        }
        self.drained.saw(self.ring.bytes() - before);
        observations
    }

    fn tell_stages(&mut self, last: bool) {
        if let Some(profile) = self.stages.as_mut().and_then(|it| it.tell(&self.hooks, last)) {
            self.outbox.lock().tell_stages(profile);
        }
    }

    /// Reads the counters; returns how many exchanges were opened since the last time.
    fn count(&mut self) -> Result<u64> {
        let mut hooks = self.hooks.lock();
        if self.outbox.is_taken() {
            hooks.programs.predecessor_was_told();
        }
        let counters = hooks.counters()?;
        drop(hooks);
        self.drained.counted(&counters);
        let totals = KernelTotals::new(&counters, self.ring.torn(), self.hidden);
        self.outbox.lock().count(totals);
        Ok(totals.opened - std::mem::replace(&mut self.opened, totals.opened))
    }
}

impl Draining {
    /// Drains a last time and ends the thread.
    pub fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => bail!("the thread that does it panicked"),
        }
    }
}

//! A running agent: its threads beside this one, what this one does meanwhile, and the end of it all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info, warn};
use xcloud_proto::ingest::v1::{Hello, Status, Totals};

use super::{
    attacher::{Attacher, Attaching},
    clock::{self, Pretend},
    drainer::{Drainer, Draining},
    egress::{Accountant, Accounting},
    hooks::SharedHooks,
    keeper::forget_ready,
    names::{Names, sources},
    runtime,
    sampling::Controller,
    stages::Stages,
    wellness::Wellness,
};
use crate::{
    access::{
        confine::{Reach, confine},
        health,
        privileges::keep_only,
    },
    cli::AgentArgs,
    config::reload::Live,
    kernel::{drain::Ring, egress::Egress},
    loadtest::endpoint::Endpoint,
    metrics::{self, agent::Drained},
    wire::{
        client::{Client, SharedOutbox},
        outbox::Outbox,
    },
};

/// How long the last observations may take to reach the aggregator.
const GRACE: Duration = Duration::from_secs(2);

/// An agent whose programs are loaded.
#[derive(Debug)]
pub(super) struct Agent {
    /// What it was told.
    pub(super) args: Arc<AgentArgs>,
    /// Its node's name.
    pub(super) node: String,
    /// What stamps samples.
    pub(super) clock: Pretend,
    /// Whose the pods are.
    pub(super) names: Arc<Names>,
    /// What is put on interfaces.
    pub(super) hooks: SharedHooks,
    /// What waits for the aggregator.
    pub(super) outbox: SharedOutbox,
    /// The endpoint that it is in load tests.
    pub(super) load_tests: Option<Endpoint>,
}

/// What there is only if it was asked for.
#[derive(Debug)]
pub(super) struct Opted {
    /// Of --stages.
    pub(super) stages: Option<Stages>,
    /// Of --account.
    pub(super) egress: Option<Egress>,
}

/// Threads that run beside this one.
struct Parts {
    attaching: Attaching,
    draining: Draining,
    accounting: Option<Accounting>,
}

/// What the aggregator is told of this agent.
struct Telling {
    hello: Hello,
    status: watch::Receiver<Status>,
}

impl Agent {
    /// Runs until a signal or an error.
    ///
    /// # Errors
    /// A part cannot be started, or failed.
    pub(super) fn start(
        &self,
        ring: Ring,
        opted: Opted,
        hello: Hello,
        live: Live<AgentArgs>,
    ) -> Result<()> {
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        let runtime = runtime()?;
        let source = metrics::agent::Agent {
            hooks: self.hooks.clone(),
            outbox: self.outbox.clone(),
            drained: Drained::default(),
        };
        let drained = source.drained.clone();
        let _statistics = runtime.block_on(metrics::start::agent(&self.args.metrics, source))?;
        let (tell, status) = watch::channel(Status::default());
        let parts = Parts {
            draining: self.drainer(ring, opted.stages, drained, &live).spawn()?,
            accounting: opted.egress.map(|egress| self.accountant(egress).spawn()).transpose()?,
            attaching: self.attacher(tell, &live).spawn()?,
        };
        // From here on this thread only speaks with other machines.
        keep_only(&[])?;
        confine(&Reach::of_agent(&self.args))?;
        let result = runtime.block_on(self.work(parts, Telling { hello, status }, live));
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        result
    }

    fn drainer(
        &self,
        ring: Ring,
        stages: Option<Stages>,
        drained: Drained,
        live: &Live<AgentArgs>,
    ) -> Drainer {
        Drainer {
            ring,
            hooks: self.hooks.clone(),
            outbox: self.outbox.clone(),
            names: Arc::clone(&self.names),
            controller: Controller::new(self.args.rate.into(), Duration::ZERO),
            clock: self.clock,
            hidden: 0,
            opened: 0,
            stages,
            settings: live.subscribe(),
            drained,
            started: Instant::now(),
        }
    }

    fn accountant(&self, egress: Egress) -> Accountant {
        Accountant::new(egress, &self.hooks, &self.outbox)
    }

    fn attacher(&self, tell: watch::Sender<Status>, live: &Live<AgentArgs>) -> Attacher {
        Attacher {
            args: Arc::clone(&self.args),
            hooks: self.hooks.clone(),
            names: Arc::clone(&self.names),
            settings: live.subscribe(),
            tell,
        }
    }

    async fn work(&self, mut parts: Parts, telling: Telling, live: Live<AgentArgs>) -> Result<()> {
        let mut signals = Signals::new()?;
        let stop = CancellationToken::new();
        let mut client = tokio::spawn(self.client(telling).run(stop.clone()));
        let attending = self.load_tests.clone().map(|one| tokio::spawn(one.run(stop.clone())));
        let naming =
            sources::follow(Arc::clone(&self.names), self.args.names.clone(), self.node.clone());
        let _naming = AbortOnDropHandle::new(tokio::spawn(naming));
        let result = tokio::select! {
            _ = &mut parts.attaching.ended => Err(anyhow!("hooks are looked after no more")),
            result = self.say_whether_well(&stop) => result,
            Err(error) = live.follow() => Err(error),
            name = signals.next() => {
                info!("{name}: closing; once more ends at once");
                Ok(())
            }
            _ = &mut parts.draining.ended => Err(anyhow!("the ring is drained no more")),
            result = &mut client => Err(anyhow!("the client ended early: {result:?}")),
        };
        tokio::select! {
            // What ended a part says more than that it ended.
            closed = self.close(parts, client, attending, stop) => closed.and(result),
            name = signals.next() => {
                error!("{name} again: ending at once");
                std::process::exit(1);
            }
        }
    }

    async fn say_whether_well(&self, stop: &CancellationToken) -> Result<()> {
        let listener = health::listen(self.args.health.health_listen).await?;
        let (started, mut wellness) = (Instant::now(), Wellness::default());
        health::serve(listener, stop.clone(), || {
            let hooked = self.hooks.lock().is_ready();
            wellness.is_ready(started.elapsed(), hooked, self.outbox.is_taken())
        })
        .await
    }

    fn client(
        &self,
        Telling { hello, status }: Telling,
    ) -> Client<impl Fn() -> u64 + Send + 'static> {
        let clock = self.clock;
        Client {
            address: self.args.aggregator.clone(),
            hello,
            status,
            outbox: self.outbox.clone(),
            flush: self.args.flush,
            // The clock was read at the start, so it can be read.
            clock: move || clock.shown(clock::monotonic_ns().unwrap_or(0)),
        }
    }

    /// Takes the hooks off, sends what is left and says what came of it all.
    async fn close(
        &self,
        parts: Parts,
        client: JoinHandle<()>,
        attending: Option<JoinHandle<()>>,
        stop: CancellationToken,
    ) -> Result<()> {
        let attached = parts.attaching.finish();
        let drained = parts.draining.finish();
        let accounted = parts.accounting.map_or(Ok(()), Accounting::finish);
        stop.cancel();
        if let Some(attending) = attending
            && timeout(GRACE, attending).await.is_err()
        {
            warn!("a part in a load test did not end within {GRACE:?}; it ends with the agent");
        }
        if !client.is_finished() && timeout(GRACE, client).await.is_err() {
            warn!("the aggregator did not take everything within {GRACE:?}");
        }
        let outbox = self.outbox.lock();
        report(&outbox.totals(), &outbox);
        attached?;
        drained.context("draining the ring")?;
        accounted.context("keeping account of what leaves")
    }
}

fn report(totals: &Totals, outbox: &Outbox) {
    let lost = totals.lost.unwrap_or_default();
    info!(
        "closing: opened {} exchanges, unanswered {}; observations: emitted {}, sent {}, acknowledged {}, pending {}, \
         lost: ring {}, queue {}; exchanges lost: slot {}, retransmit {}",
        totals.opened,
        totals.unanswered,
        totals.emitted,
        outbox.sent_observations(),
        outbox.acked_observations(),
        totals.pending,
        lost.ring,
        lost.queue,
        lost.slot,
        lost.retransmit
    );
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

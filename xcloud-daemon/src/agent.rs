//! `xcloud agent`: measures on this node and streams observations to the aggregator.
//!
//! The main thread talks to the aggregator and gives up all rights once the others run: one follows interfaces and puts hooks
//! on, one empties the ring.

use std::{fs, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info, warn};
use xcloud_common::config::Config;
use xcloud_proto::ingest::v1::{Hello, Predecessor, Status, Totals};

use crate::{
    access::{
        confine::{Reach, confine},
        health,
        privileges::keep_only,
    },
    agent::{
        alone::Alone,
        attacher::{Attacher, Attaching},
        clock::Pretend,
        drainer::{Drainer, Draining},
        egress::{Accountant, Accounting},
        hooks::{Hooks, SharedHooks},
        keeper::forget_ready,
        names::Names,
        sampling::Controller,
        stages::Stages,
        wellness::Wellness,
    },
    cli::AgentArgs,
    config::reload::Live,
    kernel::{
        attach::{CLASSIFIERS, Programs},
        drain::Ring,
        egress::Egress,
        pin::Owner,
        probe::{self, Plan},
        tc,
    },
    loadtest::endpoint::{self, Endpoint},
    metrics::{self, agent::RingFill},
    usage::usage,
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, Outbox},
    },
};

pub mod alone;
pub mod attacher;
pub mod bypass;
pub mod clock;
pub mod drainer;
pub mod egress;
pub mod hooks;
pub mod identity;
pub mod keeper;
pub mod location;
pub mod memory;
pub mod names;
pub mod patience;
pub mod pods;
pub mod sampling;
pub mod stages;
pub mod watchdog;
pub mod wellness;

/// How long the last observations may take to reach the aggregator.
const GRACE: Duration = Duration::from_secs(2);

/// Checks arguments for what no flag can be checked for alone.
///
/// # Errors
/// They make no sense together.
pub fn check(args: &AgentArgs) -> Result<()> {
    identity::site(args).map(drop).map_err(|error| usage(format!("{error:#}")))
}

/// Runs until a signal or an error; either way all hooks are off at the end.
///
/// # Errors
/// The arguments make no sense, the kernel or this process's rights do not allow to measure, or a part failed.
pub fn run(live: Live<AgentArgs>) -> Result<()> {
    let args = live.args();
    let site = identity::site(&args).map_err(|error| usage(format!("{error:#}")))?;
    let site = runtime()?.block_on(location::complete(site, &args.names));
    let agent_id = identity::agent_id(&site)?;
    let load_tests = endpoint::of_agent(&args, &agent_id, &site)?;
    let owner = Owner { agent_id, boot_id: identity::boot_id()?, bpffs: args.bpffs.clone() };
    let plan = plan(&args)?;
    let alone = Alone::claim()?;
    let left = tc::remove_leftovers(&CLASSIFIERS).context("removing what a killed agent left")?;
    if !left.is_empty() {
        info!("removed what a killed agent left: {}", left.join(", "));
    }
    let config = Config {
        netns: own_namespace()?,
        own_port: identity::own_port(&args.aggregator),
        ..Config::default()
    };
    let mut programs =
        Programs::load(&plan, config, &owner).context("loading the kernel programs")?;
    memory::give_back();
    let node = site.node.clone();
    let hello = Hello {
        agent_id: owner.agent_id.clone(),
        boot_id: owner.boot_id.to_vec(),
        site: Some(site),
        version: env!("CARGO_PKG_VERSION").into(),
        kernel_release: identity::kernel_release(),
        hooks: vec![],
        first_sequence: 0,
        predecessor: programs.predecessor().map(|(boot_id, counters)| Predecessor {
            boot_id: boot_id.to_vec(),
            // What it found torn was never told, so it counts with what it took with it.
            totals: Some(KernelTotals::new(&counters, 0, 0).totals(0, 0)),
        }),
    };
    let ring = programs.take_ring()?;
    let stages = plan
        .stages
        .then(|| programs.start_stages().context("starting the stage profile of --stages"))
        .transpose()?
        .map(Stages::new);
    let egress = plan.account.then(|| programs.take_egress()).transpose();
    let egress = egress.context("starting the account of --account")?;
    let clock = Pretend::new(
        u64::try_from(args.pretend_clock_offset.as_nanos())
            .context("--pretend-clock-offset is too long")?,
        args.pretend_clock_ppm,
        clock::monotonic_ns()?,
    );
    let agent = Agent {
        clock,
        names: Names::new(clock)?,
        hooks: SharedHooks::new(Hooks::new(programs, config)),
        outbox: SharedOutbox::new(Outbox::new(args.queue as u64)),
        args,
        node,
        load_tests,
        _alone: alone,
    };
    agent.start(ring, Opted { stages, egress }, hello, live)
}

fn plan(args: &AgentArgs) -> Result<Plan> {
    let mut plan = args.interfaces.plan(&probe::probe());
    if let Some(uplink_out) = args.uplink_out {
        plan = plan.with_uplink_out(uplink_out);
    }
    (plan.stages, plan.account) = (args.stages, args.account);
    // The account is kept at that hook.
    plan.queue_hook |= args.account;
    if !plan.missing.is_empty() {
        bail!("this node cannot measure: {} (`xcloud check` tells more)", plan.missing.join("; "));
    }
    for reason in &plan.reasons {
        info!("{reason}");
    }
    Ok(plan)
}

/// Inode number of this process's network namespace, which names it in the kernel.
fn own_namespace() -> Result<u32> {
    const PATH: &str = "/proc/self/ns/net";
    let inode = fs::metadata(PATH).with_context(|| format!("reading {PATH}"))?.ino();
    u32::try_from(inode).with_context(|| format!("{PATH} has the odd inode number {inode}"))
}

struct Agent {
    args: Arc<AgentArgs>,
    node: String,
    clock: Pretend,
    names: Arc<Names>,
    hooks: SharedHooks,
    outbox: SharedOutbox,
    load_tests: Option<Endpoint>,
    _alone: Alone,
}

/// What there is only if it was asked for.
struct Opted {
    stages: Option<Stages>,
    egress: Option<Egress>,
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
    fn start(&self, ring: Ring, opted: Opted, hello: Hello, live: Live<AgentArgs>) -> Result<()> {
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        let runtime = runtime()?;
        let source = metrics::agent::Agent {
            hooks: self.hooks.clone(),
            outbox: self.outbox.clone(),
            ring: RingFill::default(),
        };
        let fill = source.ring.clone();
        let _statistics = runtime.block_on(metrics::start::agent(&self.args.metrics, source))?;
        let (tell, status) = watch::channel(Status::default());
        let parts = Parts {
            draining: self.drainer(ring, opted.stages, fill, &live).spawn()?,
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
        fill: RingFill,
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
            fill,
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
            names::follow(Arc::clone(&self.names), self.args.names.clone(), self.node.clone());
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

fn runtime() -> Result<runtime::Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")
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

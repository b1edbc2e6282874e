//! `xcloud agent`: measures on this node and streams observations to the aggregator.
//!
//! One runtime on the main thread follows interfaces and talks to the aggregator; one more thread empties the ring.

use std::{fs, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use log::{error, info, warn};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use xcloud_common::config::Config;
use xcloud_proto::ingest::v1::{Hello, Predecessor, Status, Totals};

use crate::{
    agent::{
        alone::Alone,
        clock::Pretend,
        drainer::{Drainer, Draining},
        egress::{Accountant, Accounting},
        hooks::{Hooks, SharedHooks},
        keeper::{Keeper, forget_ready},
        names::Names,
        sampling::Controller,
        stages::Stages,
    },
    cli::AgentArgs,
    kernel::{
        attach::{CLASSIFIERS, Programs},
        drain::Ring,
        egress::Egress,
        pin::Owner,
        probe::{self, Plan},
        tc,
    },
    loadtest::endpoint::{self, Endpoint},
    usage::usage,
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, Outbox},
    },
};

pub mod alone;
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

/// How long the last observations may take to reach the aggregator.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until a signal or an error; either way all hooks are off at the end.
///
/// # Errors
/// The arguments make no sense, the kernel or this process's rights do not allow to measure, or a part failed.
pub fn run(args: AgentArgs) -> Result<()> {
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
    agent.start(ring, Opted { stages, egress }, hello)
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
    args: AgentArgs,
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

impl Agent {
    fn start(&self, ring: Ring, opted: Opted, hello: Hello) -> Result<()> {
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        let started = Instant::now();
        let draining = Drainer {
            ring,
            hooks: self.hooks.clone(),
            outbox: self.outbox.clone(),
            names: Arc::clone(&self.names),
            controller: Controller::new(self.args.rate.into(), Duration::ZERO),
            clock: self.clock,
            hidden: 0,
            opened: 0,
            stages: opted.stages,
            started,
        }
        .spawn()?;
        let account = |egress| Accountant::new(egress, &self.hooks, &self.outbox).spawn();
        let accounting = opted.egress.map(account).transpose()?;
        let result = runtime()?.block_on(self.work(draining, accounting, hello));
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        result
    }

    async fn work(
        &self,
        mut draining: Draining,
        accounting: Option<Accounting>,
        hello: Hello,
    ) -> Result<()> {
        let mut signals = Signals::new()?;
        let stop = CancellationToken::new();
        let (tell, status) = watch::channel(Status::default());
        let mut client = tokio::spawn(self.client(hello, status).run(stop.clone()));
        let attending = self.load_tests.clone().map(|one| tokio::spawn(one.run(stop.clone())));
        let naming =
            names::follow(Arc::clone(&self.names), self.args.names.clone(), self.node.clone());
        let _naming = AbortOnDropHandle::new(tokio::spawn(naming));
        let result = tokio::select! {
            result = Keeper::new(&self.args, &self.hooks, &self.names).run() => result,
            result = pods::watch(&self.hooks, &self.names, &self.args.interfaces, &tell) => result,
            name = signals.next() => {
                info!("{name}: closing; once more ends at once");
                Ok(())
            }
            _ = &mut draining.ended => Err(anyhow!("the ring is drained no more")),
            result = &mut client => Err(anyhow!("the client ended early: {result:?}")),
        };
        tokio::select! {
            // What ended a part says more than that it ended.
            closed = self.close(draining, accounting, client, attending, stop) => closed.and(result),
            name = signals.next() => {
                error!("{name} again: ending at once");
                std::process::exit(1);
            }
        }
    }

    fn client(
        &self,
        hello: Hello,
        status: watch::Receiver<Status>,
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
        draining: Draining,
        accounting: Option<Accounting>,
        client: JoinHandle<()>,
        attending: Option<JoinHandle<()>>,
        stop: CancellationToken,
    ) -> Result<()> {
        self.hooks.lock().detach_all();
        let drained = draining.finish();
        let accounted = accounting.map_or(Ok(()), Accounting::finish);
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

//! `xcloud agent`: measures on this node and streams observations to the aggregator.
//!
//! One runtime on the main thread follows interfaces and talks to the aggregator; one more thread empties the ring.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use log::{error, info, warn};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use xcloud_common::config::Config;
use xcloud_proto::ingest::v1::{Hello, Predecessor, Totals};

use crate::{
    agent::{
        clock::Pretend,
        drainer::{Drainer, Draining},
        hooks::{Hooks, SharedHooks},
        sampling::Controller,
        stages::Stages,
    },
    cli::AgentArgs,
    kernel::{
        attach::Programs,
        drain::Ring,
        ifaces::{self, Event},
        pin::Owner,
        probe::{self, Plan},
    },
    usage::usage,
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, Outbox},
    },
};

pub mod clock;
pub mod drainer;
pub mod hooks;
pub mod identity;
pub mod memory;
pub mod sampling;
pub mod stages;

/// How long the last observations may take to reach the aggregator.
const GRACE: Duration = Duration::from_secs(2);
/// Interface events waiting for their hooks.
const EVENTS: usize = 64;

/// Runs until a signal or an error; either way all hooks are off at the end.
///
/// # Errors
/// The arguments make no sense, the kernel or this process's rights do not allow to measure, or a part failed.
pub fn run(args: AgentArgs) -> Result<()> {
    let site = identity::site(&args).map_err(|error| usage(format!("{error:#}")))?;
    let owner = Owner {
        agent_id: identity::agent_id(&site)?,
        boot_id: identity::boot_id()?,
        bpffs: args.bpffs.clone(),
    };
    let plan = plan(&args)?;
    let config = Config {
        netns: own_namespace()?,
        own_port: identity::own_port(&args.aggregator),
        ..Config::default()
    };
    let mut programs =
        Programs::load(&plan, config, &owner).context("loading the kernel programs")?;
    memory::give_back();
    let hello = Hello {
        agent_id: owner.agent_id.clone(),
        boot_id: owner.boot_id.to_vec(),
        site: Some(site),
        version: env!("CARGO_PKG_VERSION").into(),
        kernel_release: identity::kernel_release(),
        hooks: programs.hooks(),
        first_sequence: 0,
        predecessor: programs.predecessor().map(|(boot_id, counters)| Predecessor {
            boot_id: boot_id.to_vec(),
            // What it found torn was never told, so it counts with what it took with it.
            totals: Some(KernelTotals::new(&counters, 0).totals(0, 0)),
        }),
    };
    let ring = programs.take_ring()?;
    let stages = plan
        .stages
        .then(|| programs.start_stages().context("starting the stage profile of --stages"))
        .transpose()?
        .map(Stages::new);
    let agent = Agent {
        clock: Pretend::new(
            u64::try_from(args.pretend_clock_offset.as_nanos())
                .context("--pretend-clock-offset is too long")?,
            args.pretend_clock_ppm,
            clock::monotonic_ns()?,
        ),
        hooks: SharedHooks::new(Hooks::new(programs, config)),
        outbox: SharedOutbox::new(Outbox::new(args.queue as u64)),
        args,
    };
    agent.start(ring, stages, hello)
}

fn plan(args: &AgentArgs) -> Result<Plan> {
    let mut plan = Plan::new(&probe::probe(), args.interfaces.queue_hook);
    if let Some(uplink_out) = args.uplink_out {
        plan = plan.with_uplink_out(uplink_out);
    }
    plan.stages = args.stages;
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
    clock: Pretend,
    hooks: SharedHooks,
    outbox: SharedOutbox,
}

impl Agent {
    fn start(&self, ring: Ring, stages: Option<Stages>, hello: Hello) -> Result<()> {
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        let started = Instant::now();
        let draining = Drainer {
            ring,
            hooks: self.hooks.clone(),
            outbox: self.outbox.clone(),
            controller: Controller::new(self.args.rate.into(), Duration::ZERO),
            clock: self.clock,
            opened: 0,
            stages,
            started,
        }
        .spawn()?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the asynchronous runtime")?;
        let result = runtime.block_on(self.work(draining, hello));
        if let Some(path) = &self.args.ready_file {
            forget_ready(path)?;
        }
        result
    }

    async fn work(&self, mut draining: Draining, hello: Hello) -> Result<()> {
        let mut signals = Signals::new()?;
        let stop = CancellationToken::new();
        let mut client = tokio::spawn(self.client(hello).run(stop.clone()));
        let result = tokio::select! {
            result = self.follow() => result,
            name = signals.next() => {
                info!("{name}: closing; once more ends at once");
                Ok(())
            }
            _ = &mut draining.ended => Err(anyhow!("the ring is drained no more")),
            result = &mut client => Err(anyhow!("the client ended early: {result:?}")),
        };
        tokio::select! {
            // What ended a part says more than that it ended.
            closed = self.close(draining, client, stop) => closed.and(result),
            name = signals.next() => {
                error!("{name} again: ending at once");
                std::process::exit(1);
            }
        }
    }

    fn client(&self, hello: Hello) -> Client<impl Fn() -> u64 + Send + 'static> {
        let clock = self.clock;
        Client {
            address: self.args.aggregator.clone(),
            hello,
            outbox: self.outbox.clone(),
            flush: self.args.flush,
            // The clock was read at the start, so it can be read.
            clock: move || clock.shown(clock::monotonic_ns().unwrap_or(0)),
        }
    }

    /// Keeps the hooks on the interfaces there are.
    async fn follow(&self) -> Result<()> {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let follow = tokio::spawn(ifaces::follow(self.args.interfaces.clone(), sender));
        let mut ready = false;
        let mut waiting = false;
        while let Some(event) = events.recv().await {
            let settled = event == Event::Changed;
            self.hooks.lock().handle(event);
            if !settled {
                continue;
            }
            let without_uplink = self.hooks.lock().uplinks().is_empty();
            if without_uplink && !std::mem::replace(&mut waiting, without_uplink) {
                warn!(
                    "no uplink is watched, so nothing is measured yet: waiting for one; `xcloud check` says why each \
                     interface is left out, --uplink names one"
                );
            }
            waiting = without_uplink;
            if !ready && self.hooks.lock().is_ready() {
                ready = true;
                self.tell_ready()?;
            }
        }
        follow.await.context("following interfaces")?.context("following interfaces")
    }

    fn tell_ready(&self) -> Result<()> {
        let hooks = self.hooks.lock();
        let uplinks = hooks.uplinks().join(", ");
        info!("ready: uplinks {uplinks}; {} pod interfaces", hooks.pods());
        match &self.args.ready_file {
            Some(path) => fs::write(path, format!("{uplinks}\n"))
                .with_context(|| format!("writing the ready file {}", path.display())),
            None => Ok(()),
        }
    }

    /// Takes the hooks off, sends what is left and says what came of it all.
    async fn close(
        &self,
        draining: Draining,
        client: JoinHandle<()>,
        stop: CancellationToken,
    ) -> Result<()> {
        self.hooks.lock().detach_all();
        let drained = draining.finish();
        stop.cancel();
        if !client.is_finished() && timeout(GRACE, client).await.is_err() {
            warn!("the aggregator did not take everything within {GRACE:?}");
        }
        let outbox = self.outbox.lock();
        report(&outbox.totals(), &outbox);
        drained.context("draining the ring")
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

fn forget_ready(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the ready file {}", path.display()))
        }
        _ => Ok(()),
    }
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

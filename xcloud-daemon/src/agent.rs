//! `xcloud agent`: measures on this node and streams observations to the aggregator.
//!
//! The main thread talks to the aggregator and gives up all rights once the others run: one follows interfaces and puts hooks
//! on, one empties the ring.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, bail};
use tokio::runtime;
use tracing::info;
use xcloud_common::config::Config;
use xcloud_proto::ingest::v1::{Hello, Predecessor};

use crate::{
    agent::{
        alone::Alone,
        clock::Pretend,
        hooks::{Hooks, SharedHooks},
        names::Names,
        running::{Agent, Opted},
        stages::Stages,
    },
    cli::AgentArgs,
    config::reload::Live,
    kernel::{
        attach::{CLASSIFIERS, Programs},
        ifaces::{self, Role},
        inside,
        pin::Owner,
        probe::{self, Plan, TcHook},
        tc,
    },
    loadtest::endpoint,
    usage::usage,
    wire::{
        client::SharedOutbox,
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
pub mod running;
pub mod sampling;
pub mod stages;
pub mod told;
pub mod watchdog;
pub mod wellness;

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
    let _alone = Alone::claim()?;
    remove_leftovers(&args, &plan).context("removing what a killed agent left")?;
    let own_port = identity::own_port(&args.aggregator);
    identity::tell_own_port(own_port);
    let config = Config { netns: own_namespace()?, own_port, ..Config::default() };
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
            // What it found torn or left out is still among the emitted; the aggregator knows what it was told of that.
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
    };
    agent.start(ring, Opted { stages, egress }, hello, live)
}

/// Filters outlive an agent that was killed, here and in the pods that it hooked inside.
fn remove_leftovers(args: &AgentArgs, plan: &Plan) -> Result<()> {
    let mut left = tc::remove_leftovers(&CLASSIFIERS)?;
    if plan.pod_hook == TcHook::Clsact && args.interfaces.pod_namespaces {
        let inside = async {
            let decisions = ifaces::decide(&ifaces::read().await?, &args.interfaces);
            let pods = decisions.iter().filter(|decision| decision.role == Some(Role::Pod));
            anyhow::Ok(inside::remove_leftovers(pods.map(|pod| pod.index)).await)
        };
        left.extend(runtime()?.block_on(inside)?);
    }
    if !left.is_empty() {
        info!("removed what a killed agent left: {}", left.join(", "));
    }
    Ok(())
}

fn plan(args: &AgentArgs) -> Result<Plan> {
    let mut plan = args.interfaces.plan(&probe::probe());
    if let Some(uplink_out) = args.uplink_out {
        plan = plan.with_uplink_out(uplink_out);
    }
    plan = plan.with_extras(args.stages, args.account);
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

fn runtime() -> Result<runtime::Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")
}

//! `cargo xtask cluster`: a real Kubernetes control plane and two nodes in different clouds, on this machine.

mod cgroups;
mod credentials;
mod dns;
mod handle;
mod images;
pub(crate) mod inside;
mod network;
mod node;
mod parts;
mod plan;
mod plane;
mod trial;

use std::{os::unix::process::CommandExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

pub(crate) use self::trial::run as trial;
use self::{
    handle::Cluster,
    plan::{NODES, Node, PLANE},
};
use crate::test;

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterTask {
    /// Bring a cluster up and leave it standing
    Up,
    /// Run a command on a node or in the control plane's network, where kubectl is found
    Exec {
        /// aws, gcp or plane
        #[arg(long, default_value = PLANE)]
        on: String,
        /// What to run
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Show its nodes and pods
    Status,
    /// Take it down
    Down,
    /// Try xcloud on a cluster of its own, as `cargo xtask test --only cluster` does
    Test {
        /// Use this xcloud binary instead of building one
        #[arg(long, hide = true, value_name = "PATH")]
        xcloud: Option<PathBuf>,
    },
}

/// Does it.
pub(crate) fn run(task: &ClusterTask) -> Result<()> {
    match task {
        ClusterTask::Up => up(),
        ClusterTask::Exec { on, words } => exec(on, words),
        ClusterTask::Status => {
            print!("{}", Cluster::found()?.ask(&["get", "nodes,pods", "-A", "-o", "wide"])?);
            Ok(())
        }
        ClusterTask::Down => Cluster::down(),
        ClusterTask::Test { xcloud } => test::cluster(xcloud.as_deref()),
    }
}

fn up() -> Result<()> {
    Cluster::up(true)?;
    let nodes = NODES.map(Node::name).join(", ");
    eprintln!(
        "The cluster is up: {nodes}\n\
         cargo xtask cluster exec -- kubectl get pods -A\n\
         cargo xtask cluster exec --on aws -- ip address\n\
         cargo xtask cluster down"
    );
    Ok(())
}

/// Replaces this process by `words`.
fn exec(on: &str, words: &[String]) -> Result<()> {
    let cluster = Cluster::found()?;
    let [program, arguments @ ..] = words else {
        bail!("nothing to run: cargo xtask cluster exec -- COMMAND");
    };
    let mut command = match Node::find(on) {
        Some(node) => cluster.on(node, words)?,
        None if on == PLANE => {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            cluster.inside(program, &arguments)?
        }
        None => bail!("the cluster has no {on:?}: it has {PLANE}, aws and gcp"),
    };
    let error = command.exec();
    Err(error).with_context(|| format!("running {program} on {on}"))
}

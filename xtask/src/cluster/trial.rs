//! What a cluster must show, one thing after the other: each goes on from where the one before left it.

mod certificates;
mod churn;
mod hooks;
mod leftovers;
mod loads;
mod manifests;
mod rights;
mod shop;
mod upgrade;

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{handle::Cluster, images, plan::state};
use crate::{
    chart::Renderer,
    image::{self, ImageArgs},
    setup,
};

/// Where xcloud is installed, and the name of its release.
const RELEASE: &str = "xcloud";
/// What the release's pods have in common.
const LABELS: &str = "app.kubernetes.io/name=xcloud";
/// The image that is installed.
const IMAGE: &str = concat!("localhost/xcloud:", env!("CARGO_PKG_VERSION"));
/// How long anything may take that takes seconds where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster, and what is tried on it.
struct Trial {
    cluster: Cluster,
    renderer: Renderer,
    /// Values of the chart that were set since it was installed.
    values: Vec<String>,
    /// The manifest that was applied last.
    installed: String,
    /// Flags by which the plugin shows who calls.
    caller: Vec<String>,
}

/// What is called for each test: with its name, what it is about, and itself, which returns what is wrong.
pub(crate) type Passes<'a> =
    &'a mut dyn FnMut(&str, &str, &mut dyn FnMut() -> Result<Vec<String>>) -> Result<bool>;

type Test = fn(&mut Trial) -> Result<Vec<String>>;

const TESTS: [(&str, &str, Test); 11] = [
    ("manifests", "every values file's manifest is taken by the API server", manifests::apply),
    ("install", "agents are ready on both nodes, and an aggregator", manifests::install),
    ("rights", "agents may read names in the API, and nothing more", rights::exact),
    ("names", "a new pod's exchanges have its name from 2 s on", shop::named),
    ("split", "the split between two clouds' pods, by workload", shop::split),
    ("upgrade", "other values over what runs: agents roll, no hook is there twice", upgrade::rolls),
    (
        "certificates",
        "kubectl xcloud shows a certificate, or is refused; an upgrade keeps them",
        certificates::are_wanted,
    ),
    ("loads", "load tests between pods and between nodes, split", loads::are_made),
    ("refused", "without their rights agents warn, and go on", rights::refused),
    (
        "churn",
        "100 pods a second that come and go for a minute give nobody's name away",
        churn::mislabels_nothing,
    ),
    ("uninstall", "nothing is left on the nodes", leftovers::none),
];

/// Runs all of them; without a cluster none can.
pub(crate) fn run(xcloud: Option<&Path>, passes: Passes<'_>) -> Result<()> {
    let mut trial = Trial::new(xcloud)?;
    for (name, about, test) in TESTS {
        if !passes(name, about, &mut || test(&mut trial))? {
            eprintln!("{}", trial.state());
        }
    }
    Ok(())
}

impl Trial {
    /// A cluster of its own, with the image on its nodes: of `xcloud`, or of a binary that is built.
    fn new(xcloud: Option<&Path>) -> Result<Self> {
        setup::for_chart()?;
        let renderer = Renderer::build()?;
        let (archive, xcloud) = match xcloud {
            Some(path) => (images::program(&images::directory()?, IMAGE, path)?, path.to_owned()),
            None => image::make(&ImageArgs::for_tests())?,
        };
        let cluster = Cluster::up(false)?;
        cluster.import(&archive)?;
        let plugins = state().join("plugins");
        fs::create_dir_all(&plugins)?;
        symlink(xcloud, plugins.join("kubectl-xcloud")).context("making a plugin of kubectl")?;
        Ok(Self { cluster, renderer, values: vec![], installed: String::new(), caller: vec![] })
    }

    /// kubectl with its plugin.
    fn plugin(&self, words: &[&str]) -> Result<Command> {
        self.plugin_as(words, &self.caller)
    }

    /// The same for whoever these flags say.
    fn plugin_as(&self, words: &[&str], caller: &[String]) -> Result<Command> {
        let mut kubectl = self.cluster.inside("kubectl", &["xcloud"])?;
        let own = self.cluster.path()?;
        let all = std::iter::once(state().join("plugins")).chain(env::split_paths(&own));
        kubectl.args(words).args(caller).env("PATH", env::join_paths(all)?);
        Ok(kubectl)
    }

    /// Waits until an object's own count of its ready pods is what it should be.
    fn ready(&mut self, namespace: &str, object: &str) -> Result<()> {
        let words = ["-n", namespace, "rollout", "status", object, "--timeout=90s"];
        self.cluster
            .ask(&words)
            .map(|_| ())
            .with_context(|| format!("{object} is not ready: {}", self.events(namespace)))
    }

    /// What runs, and what the agents said last.
    fn state(&self) -> String {
        let logs = ["-n", RELEASE, "logs", "-l", LABELS, "--prefix", "--tail=20"];
        let pods = ["get", "pods", "-A", "-o", "wide"];
        let asked = [&pods[..], &logs].map(|words| self.cluster.ask(words));
        asked.map(|said| said.unwrap_or_else(|error| format!("{error:#}"))).join("\n")
    }

    /// What happened in a namespace, for errors.
    fn events(&self, namespace: &str) -> String {
        let pods = self.cluster.ask(&["-n", namespace, "get", "pods", "-o", "wide"]);
        let events = self.cluster.ask(&[
            "-n",
            namespace,
            "get",
            "events",
            "--sort-by=.lastTimestamp",
            "-o",
            "custom-columns=:.involvedObject.name,:.reason,:.message",
        ]);
        [pods, events].map(|said| said.unwrap_or_else(|error| format!("{error:#}"))).join("\n")
    }
}

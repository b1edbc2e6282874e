//! The chart's objects, given to the API server.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{IMAGE, RELEASE, Trial};
use crate::{
    chart::{self, Request},
    cluster::{parts::KUBERNETES, plan::state},
    command,
};

/// What operators bring that objects of the chart are for.
const OPERATORS: &str = include_str!("../../../cluster/operators.yaml");
/// What is installed beyond the defaults: an image that is there already, and no waiting between the nodes.
const SETS: [&str; 5] = [
    "image.pullPolicy=Never",
    "namespace.create=true",
    "site.cluster=test",
    "agent.minReadySeconds=0",
    "agent.updateStrategy.rollingUpdate.maxUnavailable=100%",
];

/// Gives every values file's objects to the API server: to be checked only, then to be made, then to be removed.
pub(super) fn apply(trial: &mut Trial) -> Result<Vec<String>> {
    trial.cluster.apply(OPERATORS)?;
    trial.cluster.ask(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    let mut wrong = Vec::new();
    for path in chart::cases()? {
        if let Err(error) = apply_one(trial, &path) {
            wrong.push(format!("{}: {error:#}", path.display()));
        }
    }
    Ok(wrong)
}

fn apply_one(trial: &Trial, path: &Path) -> Result<()> {
    let file = path.file_stem().context("a values file has a name")?;
    let namespace = format!("case-{}", file.to_string_lossy());
    trial.cluster.apply(&still(&namespace))?;
    let request = chart::request(Some(path), &[], KUBERNETES);
    let manifest = trial.renderer.manifest(&Request { namespace: &namespace, ..request })?;
    for verb in [
        &["apply", "--dry-run=server"][..],
        &["apply"],
        &["delete", "--wait=false", "--ignore-not-found"],
    ] {
        let mut kubectl = trial.cluster.kubectl(&[verb, &["-f", "-"]].concat())?;
        command::feed(&mut kubectl, &manifest).with_context(|| verb.join(" "))?;
    }
    let gone = ["delete", "namespace", &namespace, "--wait=false", "--ignore-not-found"];
    trial.cluster.ask(&gone).map(|_| ())
}

/// A namespace in which objects may be made and pods may not.
fn still(namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: still, namespace: {namespace}}}\n\
         spec: {{hard: {{pods: 0}}}}\n"
    )
}

/// Installs the chart for the other tests.
pub(super) fn install(trial: &mut Trial) -> Result<Vec<String>> {
    put(trial, &[]).map(|()| vec![])
}

/// Applies the chart with further values over what runs, as `helm upgrade --reset-then-reuse-values` would, and waits
/// until all of it is new.
pub(super) fn put(trial: &mut Trial, values: &[&str]) -> Result<()> {
    trial.values.extend(values.iter().map(|&value| value.to_owned()));
    let there = state().join("secrets.json");
    fs::write(&there, trial.cluster.ask(&["-n", RELEASE, "get", "secrets", "-o", "json"])?)?;
    let image = IMAGE.rsplit_once(':').context("the image has no tag")?;
    let image = [format!("image.repository={}", image.0), format!("image.tag={}", image.1)];
    let sets = SETS.map(String::from).into_iter().chain(image).chain(trial.values.clone());
    trial.installed = trial.renderer.manifest(&Request {
        sets: sets.collect(),
        cluster: Some(there),
        kube: KUBERNETES,
        ..Request::default()
    })?;
    trial.cluster.apply(&trial.installed)?;
    trial.ready(RELEASE, "daemonset/xcloud-agent")?;
    trial.ready(RELEASE, "deployment/xcloud-aggregator")
}

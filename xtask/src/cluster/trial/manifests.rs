//! The chart's objects, given to the API server.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{IMAGE, RELEASE, Trial};
use crate::{
    chart::{self, Request},
    cluster::parts::KUBERNETES,
    command,
};

/// What operators bring that objects of the chart are for.
const OPERATORS: &str = include_str!("../../../cluster/operators.yaml");
/// A namespace in which objects may be made and pods may not.
const STILL: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: still}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: still, namespace: still}
spec: {hard: {pods: 0}}
";
/// What a cluster of this kind needs beyond the defaults.
const SETS: [&str; 3] = ["image.pullPolicy=Never", "namespace.create=true", "site.cluster=test"];

/// Gives every values file's objects to the API server: to be checked only, then to be made, then to be removed.
pub(super) fn apply(trial: &mut Trial) -> Result<Vec<String>> {
    trial.cluster.apply(OPERATORS)?;
    trial.cluster.ask(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    trial.cluster.apply(STILL)?;
    let mut wrong = Vec::new();
    for path in chart::cases()? {
        if let Err(error) = apply_one(trial, &path) {
            wrong.push(format!("{}: {error:#}", path.display()));
        }
    }
    Ok(wrong)
}

fn apply_one(trial: &Trial, path: &Path) -> Result<()> {
    let request = chart::request(Some(path), &[], KUBERNETES);
    let manifest = trial.renderer.manifest(&Request { namespace: "still", ..request })?;
    let words = |verb: &'static [&str]| [verb, &["-n", "still", "-f", "-"]].concat();
    for verb in [
        &["apply", "--dry-run=server"][..],
        &["apply"],
        &["delete", "--wait=false", "--ignore-not-found"],
    ] {
        let mut kubectl = trial.cluster.kubectl(&words(verb))?;
        command::feed(&mut kubectl, &manifest).with_context(|| verb.join(" "))?;
    }
    Ok(())
}

/// Installs the chart for the other tests.
pub(super) fn install(trial: &mut Trial) -> Result<Vec<String>> {
    let manifest = manifest(trial)?;
    trial.cluster.apply(&manifest)?;
    trial.ready(RELEASE, "daemonset/xcloud-agent")?;
    trial.ready(RELEASE, "deployment/xcloud-aggregator")?;
    Ok(vec![])
}

/// What is installed.
pub(super) fn manifest(trial: &Trial) -> Result<String> {
    let image = IMAGE.rsplit_once(':').context("the image has no tag")?;
    let image = [format!("image.repository={}", image.0), format!("image.tag={}", image.1)];
    let sets = SETS.map(String::from).into_iter().chain(image).collect();
    trial.renderer.manifest(&Request { sets, kube: KUBERNETES, ..Request::default() })
}

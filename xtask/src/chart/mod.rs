//! `cargo xtask chart`: renders the Helm chart without Helm, keeps what is made from it up to date, and tests it.

mod flags;
mod judge;
mod references;
mod renderer;
mod test;
mod testbeds;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

pub(crate) use self::{
    renderer::{GO_PATH, Renderer, Request},
    test::{cases, request, run as test},
};
use crate::{bpf, setup};

/// The Kubernetes version that is rendered for unless another is asked for.
const KUBERNETES: &str = "1.33.0";
/// First lines of the plain manifest.
const HEADER: &str = "\
# xcloud for `kubectl apply -f`, rendered from deploy/helm/xcloud by `cargo xtask chart`; docs/install.md tells the rest.
# Put your registry in place of registry.example.com.
";

/// Flags of `chart`.
#[derive(Args, Debug)]
pub(crate) struct ChartArgs {
    /// Only say whether what is committed is what would be written
    #[arg(long, conflicts_with_all = ["values", "set", "cluster"])]
    check: bool,
    /// Print the manifest with this values file instead; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Print the manifest with this value instead, as a.b=c; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What the chart finds in the cluster, as `kubectl get secrets -o json` prints it: certificates of `tls.method=helm`
    /// that are there stay
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// Kubernetes version to render for
    #[arg(long, default_value = KUBERNETES, value_name = "VERSION")]
    kube_version: String,
}

/// Prints a manifest, or writes what is made from the chart: the plain manifest and the table of values.
pub(crate) fn run(args: &ChartArgs) -> Result<()> {
    setup::for_chart()?;
    let renderer = Renderer::build()?;
    if !args.values.is_empty() || !args.set.is_empty() {
        let request = Request {
            values: args.values.clone(),
            sets: args.set.clone(),
            cluster: args.cluster.clone(),
            kube: &args.kube_version,
            ..Request::default()
        };
        print!("{}", renderer.manifest(&request)?);
        return Ok(());
    }
    publish(&renderer, args.check)
}

/// Writes what is made from the chart and for it, or with `check` fails where what is committed differs.
fn publish(renderer: &Renderer, check: bool) -> Result<()> {
    // The chart's own files first: the manifest is rendered with them.
    for (path, wanted) in shipped()?.into_iter().chain([readme()?]) {
        write(&path, &wanted, check)?;
    }
    let root = bpf::root();
    let plain = Request {
        values: vec![root.join("deploy/helm/cases/plain.yaml")],
        service: "kubectl",
        ..Request::default()
    };
    let manifest = format!("{HEADER}{}", renderer.manifest(&plain)?);
    write(&root.join("deploy/xcloud.yaml"), &manifest, check)
}

/// Alert rules and dashboards, of which a chart can only have copies: it ships what is in its own directory.
fn shipped() -> Result<Vec<(PathBuf, String)>> {
    let deploy = bpf::root().join("deploy");
    let mut originals = vec![deploy.join("prometheus/rules.yaml")];
    for entry in fs::read_dir(deploy.join("grafana")).context("reading deploy/grafana")? {
        originals.push(entry?.path());
    }
    let copy = |path: PathBuf| {
        let name = path.file_name().context("a file without a name")?;
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()));
        Ok((deploy.join("helm/xcloud/files").join(name), text?))
    };
    originals.into_iter().map(copy).collect()
}

/// The chart's README with the table of values.
fn readme() -> Result<(PathBuf, String)> {
    let chart = bpf::root().join("deploy/helm/xcloud");
    let read = |name: &str| {
        let path = chart.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let table = values::table(&read("values.yaml")?)?;
    Ok((chart.join("README.md"), values::into_readme(&read("README.md")?, &table)?))
}

fn write(path: &Path, wanted: &str, check: bool) -> Result<()> {
    if check {
        let same = fs::read_to_string(path).is_ok_and(|there| there == wanted);
        ensure!(same, "{} is stale: run `cargo xtask chart` and commit the result", path.display());
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    fs::write(path, wanted).with_context(|| format!("writing {}", path.display()))
}

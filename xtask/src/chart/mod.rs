//! `cargo xtask chart`: renders the Helm chart without Helm, keeps what is made from it up to date, and tests it.

mod flags;
mod judge;
mod references;
mod renderer;
mod test;
mod values;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
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
    #[arg(long, conflicts_with_all = ["values", "set"])]
    check: bool,
    /// Print the manifest with this values file instead; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Print the manifest with this value instead, as a.b=c; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
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
            kube: &args.kube_version,
            ..Request::default()
        };
        print!("{}", renderer.manifest(&request)?);
        return Ok(());
    }
    publish(&renderer, args.check)
}

/// Writes what is made from the chart, or with `check` fails where what is committed differs.
fn publish(renderer: &Renderer, check: bool) -> Result<()> {
    let root = bpf::root();
    let plain = Request {
        values: vec![root.join("deploy/helm/cases/plain.yaml")],
        service: "kubectl",
        ..Request::default()
    };
    let readme = root.join("deploy/helm/xcloud/README.md");
    let text =
        fs::read_to_string(&readme).with_context(|| format!("reading {}", readme.display()))?;
    let described = fs::read_to_string(root.join("deploy/helm/xcloud/values.yaml"))
        .context("reading the chart's values.yaml")?;
    let files = [
        (root.join("deploy/xcloud.yaml"), format!("{HEADER}{}", renderer.manifest(&plain)?)),
        (readme, values::into_readme(&text, &values::table(&described)?)?),
    ];
    for (path, wanted) in files {
        if check && fs::read_to_string(&path).ok().as_ref() != Some(&wanted) {
            bail!("{} is stale: run `cargo xtask chart` and commit the result", path.display());
        }
        if !check {
            fs::write(&path, wanted).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

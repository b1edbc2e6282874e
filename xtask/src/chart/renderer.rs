//! The renderer in `deploy/helm/render`: built from the distribution's Go libraries, then called for every manifest.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::KUBERNETES;
use crate::{bpf, command};

/// Where Debian keeps sources of Go libraries.
pub(crate) const GO_PATH: &str = "/usr/share/gocode";

/// The built renderer.
pub(crate) struct Renderer {
    program: PathBuf,
}

/// What is to be rendered.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// Values files, later ones over earlier ones.
    pub(crate) values: Vec<PathBuf>,
    /// Values over those, as `a.b=c`.
    pub(crate) sets: Vec<String>,
    /// A file with the objects that look-ups find, as `kubectl get -o json` prints them.
    pub(crate) cluster: Option<PathBuf>,
    /// Version of Kubernetes.
    pub(crate) kube: &'a str,
    /// Namespace that the objects are in.
    pub(crate) namespace: &'a str,
    /// What manages the objects.
    pub(crate) service: &'a str,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            values: vec![],
            sets: vec![],
            cluster: None,
            kube: KUBERNETES,
            namespace: "xcloud",
            service: "Helm",
        }
    }
}

impl Renderer {
    /// Builds it.
    pub(crate) fn build() -> Result<Self> {
        let program = build_go("deploy/helm/render", "helm-render")?;
        Ok(Self { program })
    }

    /// The manifest, as YAML.
    pub(crate) fn manifest(&self, request: &Request<'_>) -> Result<String> {
        command::output(&mut self.command(request, "yaml"))
    }

    /// The objects in it.
    pub(crate) fn objects(&self, request: &Request<'_>) -> Result<Vec<Value>> {
        let json = command::output(&mut self.command(request, "json"))?;
        serde_json::from_str(&json).context("understanding the renderer's JSON")
    }

    /// The notes shown after an installation.
    pub(crate) fn notes(&self, request: &Request<'_>) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("-notes");
        arguments(&mut command, request);
        command::output(&mut command)
    }

    fn command(&self, request: &Request<'_>, format: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-o", format]);
        arguments(&mut command, request);
        command
    }
}

fn arguments(command: &mut Command, request: &Request<'_>) {
    for file in &request.values {
        command.arg("-f").arg(file);
    }
    for set in &request.sets {
        command.args(["-set", set]);
    }
    if let Some(file) = &request.cluster {
        command.arg("-cluster").arg(file);
    }
    command.args(["-kube-version", request.kube, "-service", request.service]);
    command.args(["-namespace", request.namespace]);
    command.arg(bpf::root().join("deploy/helm/xcloud"));
}

/// Runs the renderer's own tests.
pub(super) fn test() -> Result<Vec<String>> {
    let mut go = go("deploy/helm/render");
    command::output(go.args(["test", "."])).map(|_| vec![])
}

/// Builds a Go program of this repository.
pub(crate) fn build_go(source: &str, name: &str) -> Result<PathBuf> {
    let program = bpf::target().join("tools").join(name);
    let mut go = go(source);
    go.args(["build", "-o"]).arg(&program).arg(".");
    command::watch(&mut go).with_context(|| format!("building {source}"))?;
    Ok(program)
}

/// Go, with the libraries that are installed, and nothing from elsewhere.
fn go(source: &str) -> Command {
    let mut go = Command::new("go");
    go.current_dir(bpf::root().join(source))
        .envs([("GO111MODULE", "off"), ("GOPATH", GO_PATH), ("GOFLAGS", "")])
        .env("GOCACHE", bpf::target().join("go-cache"));
    go
}

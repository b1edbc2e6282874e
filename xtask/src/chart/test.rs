//! The chart's tests: every values file renders to objects that find each other, may no more than was said, and start
//! the real binary with flags that it has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    flags,
    judge::{self, containers, list, pod, text},
    publish,
    renderer::{self, Renderer, Request},
    testbeds,
};
use crate::{bpf, command};

/// Versions of Kubernetes that are rendered for: the oldest, the last without gRPC probes, and today's.
const VERSIONS: [&str; 3] = ["1.20.2", "1.23.17", super::KUBERNETES];
/// APIs that Kubernetes 1.20 has, and those of operators.
const OLD_APIS: [&str; 6] = [
    "v1",
    "apps/v1",
    "networking.k8s.io/v1",
    "rbac.authorization.k8s.io/v1",
    "cert-manager.io/v1",
    "monitoring.coreos.com/v1",
];
/// Secrets and maps that cases name and do not make.
const GIVEN: [&str; 6] = [
    "agent-certificate",
    "aggregator-certificate",
    "kubeconfig",
    "otlp-authority",
    "otlp-token",
    "provider-ranges",
];
const LEAST: [&str; 3] = ["BPF", "PERFMON", "NET_ADMIN"];
/// Where agents keep their figures: nobody else's programs and maps are in there.
const PINS: &str = "/sys/fs/bpf/xcloud";
/// What an agent may in a case, and which directories of the node it sees.
const RIGHTS: [(&str, &[&str], &[&str]); 4] = [
    ("plain", &LEAST, &[PINS, "/run/xcloud"]),
    ("values-eks", &LEAST, &[PINS, "/run/xcloud"]),
    (
        "values-gke",
        &["BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN"],
        &[PINS, "/run/xcloud", "/run/netns"],
    ),
    (
        "everything",
        &["BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_RESOURCE", "SYSLOG"],
        &[PINS, "/run/xcloud", "/run/netns", "/run/containerd"],
    ),
];
/// Values that must be refused, and a part of the reason.
const REFUSED: [(&[&str], &str); 18] = [
    (&["image.repository="], "image.repository: say where the image is"),
    (&["agent.securityMode=root"], "agent.securityMode"),
    (&["agents.enabled=true"], "agents"),
    (&["agent.healthPort=70000"], "agent.healthPort"),
    (&["agent.extraCapabilities=SYS_ADMIN"], "agent.extraCapabilities"),
    (&["aggregator.service.type=LoadBalancer"], "Set tls.method"),
    (&["aggregator.loadTests=true"], "Set tls.method"),
    (&["agent.config.pod-namespaces=true"], "agent.config.pod-namespaces would have no effect"),
    (&["aggregator.config.insecure=true"], "aggregator.config.insecure would have no effect"),
    (&["aggregator.enabled=false"], "agent.aggregator: say where"),
    (&["agent.aggregator=a:1"], "site.cluster: name this cluster"),
    (&["aggregator.persistence.size=1GB"], "aggregator.persistence.size"),
    (&["aggregator.persistence.size=1KiB"], "aggregator.persistence.size"),
    (&["agent.extraVolumes=ranges"], "agent.extraVolumes"),
    (&["aggregator.extraVolumeMounts=/ranges"], "aggregator.extraVolumeMounts"),
    (&["tls.method=existingSecret"], "name the secret with the a"),
    (&["otlp.endpoint=https://a:443"], "otlp.caSecret: name the secret"),
    (
        &["tls.method=helm", "aggregator.enabled=false", "agent.aggregator=a:1", "site.cluster=b"],
        "the aggregator is elsewhere",
    ),
];
/// Values, and what is told after an installation with them and without.
const TOLD: [(&[&str], &str); 2] = [
    (&["aggregator.service.type=LoadBalancer", "tls.method=helm"], "site.cluster is empty"),
    (&["agent.securityMode=privileged"], "agents are privileged"),
];

/// Runs all of them; `passes` makes a test that returns what is wrong, and tells how it went.
pub(crate) fn run(
    xcloud: &Path,
    mut passes: impl FnMut(&str, &str, &mut dyn FnMut() -> Result<Vec<String>>) -> Result<()>,
) -> Result<()> {
    let renderer = Renderer::build()?;
    passes("renderer", "the renderer does as Helm does", &mut renderer::test)?;
    passes("fresh", "what is made from the chart is committed", &mut || {
        let version = fs::read_to_string(bpf::root().join("deploy/helm/xcloud/Chart.yaml"))?;
        let wanted = format!("\nversion: {0}\nappVersion: {0}\n", env!("CARGO_PKG_VERSION"));
        ensure!(version.contains(&wanted), "Chart.yaml is not of version {wanted}");
        publish(&renderer, true).map(|()| vec![])
    })?;
    flags::refuses_nonsense(xcloud)?;
    passes("restarts", "pods are restarted for keys that take a restart only", &mut || {
        let helpers = bpf::root().join("deploy/helm/xcloud/templates/_helpers.tpl");
        flags::restarts(xcloud, &fs::read_to_string(helpers)?)
    })?;
    for path in cases()? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let about =
            "objects find each other, hold their rights, start the binary with flags it has";
        passes(&name, about, &mut || case(&renderer, xcloud, &name, &path))?;
    }
    passes("refused", "values that make no sense are refused with the reason", &mut || {
        Ok(REFUSED.iter().filter_map(|(sets, reason)| refused(&renderer, sets, reason)).collect())
    })?;
    passes("notes", "what is worth a warning is told, and nothing else", &mut || told(&renderer))?;
    let parsers = "Terraform's own parser finds the testbeds' files sound";
    passes("yaml", "yamllint passes all YAML", &mut testbeds::yaml)?;
    passes("testbed scripts", "bash and shellcheck pass them", &mut testbeds::scripts)?;
    passes("testbed clouds", parsers, &mut testbeds::terraform)?;
    passes("testbed values", "CNIs' charts have the values that are set", &mut testbeds::values)?;
    passes("testbed xcloud", "our own chart too", &mut || testbeds::xcloud(&renderer))
}

/// Values files of users and of tests.
pub(crate) fn cases() -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for directory in ["deploy/helm/cases", "deploy/helm/xcloud"] {
        for entry in fs::read_dir(bpf::root().join(directory))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let of_users = name.starts_with("values-") && name.ends_with(".yaml");
            if of_users || directory.ends_with("cases") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    ensure!(paths.len() >= 9, "only {} values files were found", paths.len());
    Ok(paths)
}

/// The request for a values file, with an image where the file names none.
pub(crate) fn request<'a>(path: Option<&Path>, sets: &[&str], kube: &'a str) -> Request<'a> {
    let own = path.is_none_or(|path| path.to_string_lossy().contains("/values-"));
    let image = own.then_some("image.repository=registry.example.com/xcloud");
    Request {
        values: path.map(Path::to_owned).into_iter().collect(),
        sets: image.iter().chain(sets).map(|&set| set.to_owned()).collect(),
        kube,
        ..Request::default()
    }
}

fn case(renderer: &Renderer, xcloud: &Path, name: &str, path: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for kube in VERSIONS {
        let request = request(Some(path), &[], kube);
        let objects = renderer.objects(&request)?;
        let told = judge::wrong(&objects, &GIVEN).into_iter();
        wrong.extend(told.map(|what| format!("Kubernetes {kube}: {what}")));
        wrong.extend(aggregator(&objects));
        if kube.starts_with("1.20") {
            wrong.extend(too_new(&objects));
        }
    }
    let request = request(Some(path), &[], super::KUBERNETES);
    let objects = renderer.objects(&request)?;
    match name {
        "everything" => wrong.extend(monitored(&objects)),
        "agents-only" => wrong.extend(watched(&objects)),
        _ => {}
    }
    if let Some((_, capabilities, mounts)) = RIGHTS.iter().find(|(case, ..)| *case == name) {
        wrong.extend(rights(&objects, capabilities, mounts));
    }
    if let Err(error) = flags::sound_file(xcloud, &objects) {
        wrong.push(format!("{error:#}"));
    }
    wrong.extend(flags::nowhere_to_write(&objects));
    let commands = flags::POD_IPS.iter().flat_map(|pod_ip| flags::commands(&objects, pod_ip));
    let refused = commands.filter_map(|one| flags::understood(xcloud, &one).err());
    wrong.extend(refused.map(|error| format!("{error:#}")));
    ensure!(renderer.notes(&request)?.contains("kubectl"), "NOTES.txt says nothing");
    lint(name, &renderer.manifest(&request)?)?;
    Ok(wrong)
}

/// The aggregator takes bytes from the network, so it may nothing.
fn aggregator(objects: &[Value]) -> Vec<String> {
    let pods = objects.iter().filter(|object| object["kind"] == "Deployment").filter_map(pod);
    let harmless = |pod: &&Value| {
        let (spec, security) = (&pod["spec"], &pod["spec"]["securityContext"]);
        let added =
            containers(pod).iter().any(|c| !c["securityContext"]["capabilities"]["add"].is_null());
        let host = list(&spec["volumes"]).iter().any(|volume| volume["hostPath"].is_object());
        security["runAsNonRoot"] == true
            && security["runAsUser"] == json!(65532)
            && spec["automountServiceAccountToken"] == false
            && spec["hostNetwork"].is_null()
            && spec["hostPID"].is_null()
            && !added
            && !host
    };
    pods.filter(|pod| !harmless(pod))
        .map(|_| "the aggregator has rights on its node".into())
        .collect()
}

/// Whether rules and dashboards came along.
fn monitored(objects: &[Value]) -> Vec<String> {
    let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    let mut wrong = Vec::new();
    let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule");
    if rules.is_none_or(|rules| list(&rules["spec"]["groups"]).is_empty()) {
        wrong.push("there are no alert rules".into());
    }
    // One more is the configuration.
    if count("PodMonitor") != 2 || count("ConfigMap") < 2 {
        wrong.push("PodMonitors or dashboards are missing".into());
    }
    wrong
}

/// Whether the only alerts are those that agents' own metrics can raise.
fn watched(objects: &[Value]) -> Vec<String> {
    let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule");
    let groups = rules.map_or(&[][..], |rules| list(&rules["spec"]["groups"]));
    let names: Vec<_> = groups.iter().map(|group| text(&group["name"])).collect();
    let alerts = groups.iter().flat_map(|group| list(&group["rules"])).count();
    let fit = names == ["xcloud-hooks"] && alerts == 1;
    (!fit)
        .then(|| format!("without an aggregator there are alerts {names:?}"))
        .into_iter()
        .collect()
}

/// Whether the agent has these rights and no others.
fn rights(objects: &[Value], capabilities: &[&str], mounts: &[&str]) -> Vec<String> {
    let Some(agent) = objects.iter().find(|o| o["kind"] == "DaemonSet").and_then(pod) else {
        return vec!["there is no DaemonSet".into()];
    };
    let added = &containers(agent)[0]["securityContext"]["capabilities"]["add"];
    let volumes = list(&agent["spec"]["volumes"]).iter();
    let seen: Vec<_> = volumes.filter_map(|v| v["hostPath"]["path"].as_str()).collect();
    let mut wrong = Vec::new();
    if *added != json!(capabilities) {
        wrong.push(format!("the agent may {added}, not {capabilities:?}"));
    }
    if seen != mounts {
        wrong.push(format!("the agent sees {seen:?} of the node, not {mounts:?}"));
    }
    wrong
}

/// What Kubernetes 1.20 does not know.
fn too_new(objects: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for object in objects {
        if !OLD_APIS.contains(&text(&object["apiVersion"])) {
            wrong.push(format!("{} is of {}", judge::name(object), object["apiVersion"]));
        }
        let probed = object.to_string().contains("\"grpc\":{\"port\"");
        if probed {
            wrong.push(format!("{} is probed by gRPC", judge::name(object)));
        }
    }
    wrong
}

/// Nothing if rendering fails for this reason.
fn refused(renderer: &Renderer, sets: &[&str], reason: &str) -> Option<String> {
    match renderer.objects(&request(None, sets, super::KUBERNETES)) {
        Ok(_) => Some(format!("{sets:?} was taken")),
        Err(error) if format!("{error:#}").contains(reason) => None,
        Err(error) => Some(format!("{sets:?}: not for {reason:?}, but {error:#}")),
    }
}

/// Warnings that are missing, or are told of values that are as they should be.
fn told(renderer: &Renderer) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let quiet = renderer.notes(&request(None, &["site.cluster=a"], super::KUBERNETES))?;
    for (sets, warning) in TOLD {
        if !renderer.notes(&request(None, sets, super::KUBERNETES))?.contains(warning) {
            wrong.push(format!("{sets:?}: nothing is told of {warning:?}"));
        }
        if quiet.contains(warning) {
            wrong.push(format!("{warning:?} is told for nothing"));
        }
    }
    Ok(wrong)
}

fn lint(name: &str, manifest: &str) -> Result<()> {
    let config = bpf::root().join("deploy/yamllint.yaml");
    let mut yamllint = Command::new("yamllint");
    yamllint.args(["--strict", "--format", "parsable", "--config-file"]).arg(config).arg("-");
    command::feed(&mut yamllint, manifest)
        .map(drop)
        .with_context(|| format!("the manifest of {name}"))
}

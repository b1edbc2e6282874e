//! The cluster, and the pod in it that is the aggregator.

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, Error,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{cli::kubectl::KubectlArgs, escape::clean};

/// Labels of the aggregator's pods.
const LABELS: &str = "app.kubernetes.io/name=xcloud,app.kubernetes.io/component=aggregator";
/// Name of the port it is asked at.
const PORT_NAME: &str = "grpc";
/// That port where no name says which.
const PORT: u16 = 7171;

/// A cluster and a namespace in it.
#[derive(Clone)]
pub(super) struct Cluster {
    pods: Api<Pod>,
    namespace: String,
    /// For people.
    context: String,
}

/// Where the aggregator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) pod: String,
    pub(super) port: u16,
}

impl Cluster {
    /// Reads the kubeconfig; nobody is asked yet.
    pub(super) async fn open(args: &KubectlArgs) -> Result<Self> {
        let hint = "name a kubeconfig with --kubeconfig or KUBECONFIG";
        let kubeconfig = match &args.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.with_context(|| format!("reading the kubeconfig ({hint})"))?;
        let current = kubeconfig.current_context.clone().unwrap_or_default();
        let context = args.context.clone().unwrap_or(current);
        let options =
            KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.with_context(|| format!("context {context:?} of the kubeconfig"))?;
        let client = Client::try_from(config).context("preparing to ask the API server")?;
        let pods = Api::namespaced(client, &args.namespace);
        Ok(Self { pods, namespace: args.namespace.clone(), context })
    }

    /// The pod that is the aggregator now.
    pub(super) async fn target(&self) -> Result<Target> {
        let pods = self.pods.list(&ListParams::default().labels(LABELS)).await;
        let pods = pods.map_err(|error| self.explain("listing pods", &error))?;
        choose(&pods.items).map_err(|why| anyhow!("no aggregator in {}: {why}", self.place()))
    }

    /// A connection to it.
    pub(super) async fn connect(&self) -> Result<tokio::io::DuplexStream> {
        let Target { pod, port } = self.target().await?;
        let ports = self.pods.portforward(&pod, &[port]).await;
        let doing = format!("forwarding to port {port} of pod {}", clean(&pod));
        let mut ports = ports.map_err(|error| self.explain(&doing, &error))?;
        ports.take_stream(port).with_context(|| format!("{doing}: there is no stream"))
    }

    fn place(&self) -> String {
        format!("namespace {} of context {:?}", self.namespace, self.context)
    }

    /// What failed, on what, why, and what to do.
    fn explain(&self, doing: &str, error: &Error) -> anyhow::Error {
        let place = self.place();
        let (why, advice) = match error {
            Error::Api(status) => (status.message.clone(), advice(status.code)),
            other => (innermost(other), "is the cluster up, and reached from here?"),
        };
        anyhow!("{doing} in {place}: {}; {advice}", clean(&why))
    }
}

const fn advice(code: u16) -> &'static str {
    match code {
        401 => "the API server does not know who you are: log in again",
        403 => "you need leave to list pods there, and to get and create pods/portforward",
        _ => "the API server refused",
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The oldest pod that is ready, since it has most data; why not if there is none.
fn choose(pods: &[Pod]) -> Result<Target> {
    let named = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
    let ready = pods.iter().filter(|pod| is_ready(pod));
    let Some(pod) = ready.min_by_key(|pod| pod.metadata.creation_timestamp.clone()) else {
        if pods.is_empty() {
            bail!("no pod has the labels {LABELS}; name its namespace with -n, or install xcloud");
        }
        let said: Vec<_> = pods
            .iter()
            .map(|pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                format!("pod {} is {}", clean(&named(pod)), clean(phase.unwrap_or("unknown")))
            })
            .collect();
        bail!("{}, and none is ready; `kubectl describe pod` says why", said.join(", "));
    };
    Ok(Target { pod: named(pod), port: port(pod) })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|one| one.type_ == "Ready" && one.status == "True");
    pod.metadata.deletion_timestamp.is_none() && ready.next().is_some()
}

fn port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(PORT_NAME));
    named.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, created: &str, ready: &str, port: u16) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"containers": [{"name": "a", "ports": [
                {"name": "health", "containerPort": 1}, {"name": "grpc", "containerPort": port}
            ]}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .expect("a pod")
    }

    #[test]
    fn the_oldest_ready_pod_is_taken_with_its_port() {
        let mut ending = pod("ending", "2026-01-01T00:00:00Z", "True", 1);
        ending.metadata.deletion_timestamp = ending.metadata.creation_timestamp.clone();
        let pods = [
            pod("young", "2026-01-05T00:00:00Z", "True", 7000),
            pod("old", "2026-01-03T00:00:00Z", "True", 7001),
            pod("oldest", "2026-01-02T00:00:00Z", "False", 7002),
            ending,
        ];
        let target = choose(&pods).expect("one is ready");
        assert_eq!(target, Target { pod: "old".into(), port: 7001 });
        let mut plain = pod("plain", "2026-01-02T00:00:00Z", "True", 1);
        plain.spec = None;
        assert_eq!(choose(&[plain]).expect("ready").port, PORT);
    }

    #[test]
    fn that_there_is_none_is_explained() {
        let none = choose(&[]).expect_err("none").to_string();
        assert!(none.contains("component=aggregator") && none.contains("-n"), "{none}");
        let waiting = choose(&[pod("a\x1b", "2026-01-01T00:00:00Z", "False", 1)]);
        let waiting = waiting.expect_err("not ready").to_string();
        assert!(waiting.contains("pod a\\x1b is Running, and none is ready"), "{waiting}");
    }
}

//! A pod as Kubernetes' API tells it, as far as it matters here.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kube::api::Object;
use serde::{Deserialize, Serialize};

use super::workload::Owner;

/// A pod of the API.
pub type ApiPod = Object<Spec, Status>;

/// What it should be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Whether it shares the node's network and so has no address of its own.
    pub host_network: bool,
}

/// What it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Where it stands.
    pub phase: String,
    /// Its address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// All of them.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// Its containers.
    pub container_statuses: Vec<Container>,
    /// Those that run before, or beside them.
    pub init_container_statuses: Vec<Container>,
}

/// One address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// One container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// What it does now.
    pub state: State,
    /// What it did before.
    pub last_state: State,
}

/// What a container does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// It runs.
    pub running: Option<Started>,
    /// It ran.
    pub terminated: Option<Started>,
}

/// Since when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Started {
    /// By the node's clock.
    pub started_at: Option<String>,
}

/// Where the API keeps a kubelet's own name for a pod of a file on its node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What names this life of it, as the node calls it.
#[must_use]
pub fn uid(pod: &ApiPod) -> Option<String> {
    let own = pod.metadata.annotations.as_ref().and_then(|all| all.get(MIRROR));
    own.or(pod.metadata.uid.as_ref()).cloned()
}

/// Its addresses; none when it is on the node's own network or has ended, since its addresses may be another's by then.
#[must_use]
pub fn addresses(pod: &ApiPod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if pod.spec.host_network || matches!(&status.phase[..], "Succeeded" | "Failed") {
        return Vec::new();
    }
    let all = status.pod_ips.iter().map(|one| &one.ip).chain(&status.pod_ip);
    let mut addresses: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The last time one of its containers started, since 1970 by the node's clock.
#[must_use]
pub fn ran(pod: &ApiPod) -> Option<Duration> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses);
    let states = containers.flat_map(|one| [&one.state, &one.last_state]);
    let started = states.flat_map(|state| state.running.iter().chain(&state.terminated));
    let times = started.filter_map(|started| since_1970(started.started_at.as_deref()?));
    times.max()
}

fn since_1970(text: &str) -> Option<Duration> {
    let time: SystemTime = humantime::parse_rfc3339(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()
}

/// The owner that controls it, and that one's uid.
#[must_use]
pub fn controller(pod: &ApiPod) -> Option<(Owner, String)> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some((Owner::new(&owner.kind, &owner.name), owner.uid.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> ApiPod {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "cart-1", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart", "uid": "2", "controller": true},
            ]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
            "status": status,
        }))
        .expect("a pod")
    }

    #[test]
    fn a_pod_has_all_its_addresses_and_ran_when_a_container_last_started() {
        let pod = pod(json!({
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "containerStatuses": [{
                "state": {"running": {"startedAt": "2026-11-26T06:00:10Z"}},
                "lastState": {"terminated": {"startedAt": "2026-11-26T06:00:00Z", "exitCode": 1}},
            }, {"state": {"waiting": {"reason": "ContainerCreating"}}}],
            "initContainerStatuses": [{"state": {"terminated": {"startedAt": null}}}],
        }));
        assert_eq!(
            addresses(&pod),
            ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().expect("one"))
        );
        assert_eq!(ran(&pod), Some(Duration::from_secs(1_795_672_810)));
        assert_eq!(controller(&pod), Some((Owner::new("ReplicaSet", "cart"), "2".into())));
    }

    #[test]
    fn a_pod_that_ended_or_is_on_the_nodes_network_has_no_address() {
        let ended = pod(json!({"phase": "Succeeded", "podIP": "10.0.0.1"}));
        assert_eq!(addresses(&ended), Vec::<IpAddr>::new());
        let mut host = pod(json!({"phase": "Running", "podIP": "192.0.2.1"}));
        host.spec.host_network = true;
        assert_eq!(addresses(&host), Vec::<IpAddr>::new());
        assert_eq!(addresses(&pod(json!({"phase": "Pending"}))), Vec::<IpAddr>::new());
    }

    #[test]
    fn odd_words_are_no_addresses_and_no_times() {
        let pod = pod(json!({
            "phase": "Running", "podIPs": [{"ip": "ten"}, {}],
            "containerStatuses": [{"state": {"running": {"startedAt": "noon"}}}],
        }));
        assert_eq!((addresses(&pod), ran(&pod)), (vec![], None));
    }
}

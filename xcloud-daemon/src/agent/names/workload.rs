//! From what owns a pod to what a user calls it. Pure.

use std::collections::BTreeMap;

use xcloud_proto::common::v1::Workload;

/// An object that owns another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its kind, e.g. `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// One of this kind and name.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }

    /// Whether it has, as a rule, an owner itself that users know it by.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(&self.kind[..], "ReplicaSet" | "Job")
    }
}

/// What is known of who owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Above {
    /// It was asked, and this one does.
    Owner(Owner),
    /// It was asked, and nobody does.
    Nobody,
    /// It could not be asked.
    NotAsked,
}

type Labels = BTreeMap<String, String>;

/// Label by which a Deployment marks its ReplicaSets and their pods.
const TEMPLATE: &str = "pod-template-hash";

/// Whose a pod is that Kubernetes' API told, by its controller and that one's own.
#[must_use]
pub fn by_owner(
    namespace: &str,
    pod: &str,
    labels: &Labels,
    controller: Option<&Owner>,
    above: &Above,
) -> Workload {
    let owner = match (controller, above) {
        (None, _) => Owner::new("Pod", pod),
        // The pod of a file on the node: its own name, without that of the node.
        (Some(owner), _) if owner.kind == "Node" => {
            let name = pod.strip_suffix(&format!("-{}", owner.name)).unwrap_or(pod);
            Owner::new("Node", name)
        }
        (Some(_), Above::Owner(above)) => above.clone(),
        (Some(owner), Above::NotAsked) if owner.kind == "ReplicaSet" => {
            deployment(&owner.name, labels).unwrap_or_else(|| owner.clone())
        }
        (Some(owner), Above::Nobody | Above::NotAsked) => owner.clone(),
    };
    workload(namespace, pod, owner)
}

/// Whose a pod is that a container runtime told, which knows no owners but has the labels that they put. What none of
/// them shows stays unknown.
#[must_use]
pub fn by_labels(namespace: &str, pod: &str, labels: &Labels) -> Workload {
    let has = |label: &str| labels.contains_key(label);
    let job =
        ["batch.kubernetes.io/job-name", "job-name"].iter().find_map(|name| labels.get(*name));
    let generated = || pod.rsplit_once('-').map(|(name, _)| name);
    let owner = if let Some(job) = job {
        Some(Owner::new("Job", job))
    } else if labels.get("statefulset.kubernetes.io/pod-name").is_some_and(|name| name == pod) {
        generated().map(|name| Owner::new("StatefulSet", name))
    } else if has("pod-template-generation") && has("controller-revision-hash") {
        generated().map(|name| Owner::new("DaemonSet", name))
    } else {
        generated().and_then(|replicas| deployment(replicas, labels))
    };
    workload(namespace, pod, owner.unwrap_or_else(|| Owner::new("", "")))
}

/// The Deployment of a ReplicaSet `NAME-HASH`.
fn deployment(replicas: &str, labels: &Labels) -> Option<Owner> {
    let hash = labels.get(TEMPLATE)?;
    let name = replicas.strip_suffix(hash)?.strip_suffix('-')?;
    Some(Owner::new("Deployment", name))
}

fn workload(namespace: &str, pod: &str, Owner { kind, name }: Owner) -> Workload {
    Workload { namespace: namespace.into(), kind, name, pod: pod.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn shown(of: &Workload) -> String {
        format!("{}/{}/{}/{}", of.namespace, of.kind, of.name, of.pod)
    }

    fn owned(
        pod: &str,
        with: &[(&str, &str)],
        owner: Option<(&str, &str)>,
        above: Above,
    ) -> String {
        let owner = owner.map(|(kind, name)| Owner::new(kind, name));
        shown(&by_owner("shop", pod, &labels(with), owner.as_ref(), &above))
    }

    #[test]
    fn a_pod_is_known_by_who_made_it() {
        let above = |kind, name| Above::Owner(Owner::new(kind, name));
        let hash = [("pod-template-hash", "5f6d8c")];
        let replicas = Some(("ReplicaSet", "cart-5f6d8c"));
        for (told, name) in [
            (
                owned("cart-5f6d8c-x2x7k", &hash, replicas, above("Deployment", "cart")),
                "shop/Deployment/cart/cart-5f6d8c-x2x7k",
            ),
            (
                owned("cart-5f6d8c-x2x7k", &hash, replicas, Above::NotAsked),
                "shop/Deployment/cart/cart-5f6d8c-x2x7k",
            ),
            (
                owned("cart-5f6d8c-x2x7k", &hash, replicas, above("Rollout", "cart")),
                "shop/Rollout/cart/cart-5f6d8c-x2x7k",
            ),
            (
                owned("cart-5f6d8c-x2x7k", &hash, replicas, Above::Nobody),
                "shop/ReplicaSet/cart-5f6d8c/cart-5f6d8c-x2x7k",
            ),
            (
                owned("cart-x2x7k", &[], Some(("ReplicaSet", "cart")), Above::NotAsked),
                "shop/ReplicaSet/cart/cart-x2x7k",
            ),
            (
                owned("tidy-1-abcde", &[], Some(("Job", "tidy-1")), above("CronJob", "tidy")),
                "shop/CronJob/tidy/tidy-1-abcde",
            ),
            (
                owned("tidy-1-abcde", &[], Some(("Job", "tidy-1")), Above::NotAsked),
                "shop/Job/tidy-1/tidy-1-abcde",
            ),
            (
                owned("db-0", &[], Some(("StatefulSet", "db")), Above::NotAsked),
                "shop/StatefulSet/db/db-0",
            ),
            (
                owned("etcd-node-1", &[], Some(("Node", "node-1")), Above::NotAsked),
                "shop/Node/etcd/etcd-node-1",
            ),
            (owned("debug", &[], None, Above::NotAsked), "shop/Pod/debug/debug"),
        ] {
            assert_eq!(told, name);
        }
    }

    #[test]
    fn by_labels_alone_what_they_do_not_show_stays_unknown() {
        for (pod, with, name) in [
            (
                "cart-5f6d8c-x2x7k",
                &[("pod-template-hash", "5f6d8c")][..],
                "shop/Deployment/cart/cart-5f6d8c-x2x7k",
            ),
            ("cart-x2x7k", &[("pod-template-hash", "5f6d8c")], "shop///cart-x2x7k"),
            ("db-0", &[("statefulset.kubernetes.io/pod-name", "db-0")], "shop/StatefulSet/db/db-0"),
            ("tidy-1-abcde", &[("job-name", "tidy-1")], "shop/Job/tidy-1/tidy-1-abcde"),
            (
                "logs-x2x7k",
                &[("pod-template-generation", "1"), ("controller-revision-hash", "a")],
                "shop/DaemonSet/logs/logs-x2x7k",
            ),
            ("debug", &[], "shop///debug"),
        ] {
            assert_eq!(shown(&by_labels("shop", pod, &labels(with))), name);
        }
    }
}

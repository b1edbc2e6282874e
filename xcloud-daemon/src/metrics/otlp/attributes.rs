//! Labels as attributes, by the semantic conventions where they have a name for one.

use super::message::{KeyValue, attribute};
use crate::metrics::family::Family;

/// The attributes that a sample's labels are; those that are empty are left out.
pub(super) fn attributes(family: &Family, labels: &[&str]) -> Vec<KeyValue> {
    let pairs = || family.labels.iter().copied().zip(labels.iter().copied());
    let given = pairs().filter(|(_, value)| !value.is_empty());
    let one = |(label, value)| Some(attribute(&name(label, &|label| of(pairs(), label))?, value));
    given.filter_map(one).collect()
}

fn of<'a>(mut pairs: impl Iterator<Item = (&'a str, &'a str)>, label: &str) -> &'a str {
    pairs.find(|(other, _)| *other == label).map_or("", |(_, value)| value)
}

/// What a label is called, at the end of the path that it is about; none where another one tells it.
fn name<'a>(label: &str, value: &dyn Fn(&str) -> &'a str) -> Option<String> {
    let Some((prefix, what)) = label.split_once('_') else {
        return Some(format!("xcloud.{label}"));
    };
    let end = match prefix {
        "near" | "source" => "source",
        "far" | "destination" => "destination",
        _ => return Some(format!("xcloud.{label}")),
    };
    let workload = || workload(value(&format!("{prefix}_workload_kind")));
    let what = match what {
        "cloud" => "cloud.provider",
        "region" => "cloud.region",
        "zone" => "cloud.availability_zone",
        "cluster" => "k8s.cluster.name",
        "node" => "k8s.node.name",
        "namespace" => "k8s.namespace.name",
        "workload" => workload().unwrap_or("xcloud.workload.name"),
        "workload_kind" if workload().is_some() => return None,
        "workload_kind" => "xcloud.workload.kind",
        "pod" => "k8s.pod.name",
        other => return Some(format!("{end}.xcloud.{other}")),
    };
    Some(format!("{end}.{what}"))
}

/// The conventions have an attribute for each kind of workload that Kubernetes itself has.
fn workload(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" => "k8s.deployment.name",
        "ReplicaSet" => "k8s.replicaset.name",
        "StatefulSet" => "k8s.statefulset.name",
        "DaemonSet" => "k8s.daemonset.name",
        "Job" => "k8s.job.name",
        "CronJob" => "k8s.cronjob.name",
        "ReplicationController" => "k8s.replicationcontroller.name",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::family;

    fn told(family: &Family, labels: &[&str]) -> String {
        let text = |one: KeyValue| {
            let value = one.value.and_then(|value| value.string_value).unwrap_or_default();
            format!("{}={value}", one.key)
        };
        attributes(family, labels).into_iter().map(text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_node_has_the_conventions_names() {
        let mut labels = [""; family::DATAPATH.labels.len()];
        labels[..5].copy_from_slice(&["aws", "us-east-1", "", "", "n1"]);
        labels[9..14].copy_from_slice(&["gcp", "unknown", "z", "c", "n2"]);
        labels[18..].copy_from_slice(&["ack", "wan"]);
        insta::assert_snapshot!(told(&family::DATAPATH, &labels), @r"
        source.cloud.provider=aws
        source.cloud.region=us-east-1
        source.k8s.node.name=n1
        destination.cloud.provider=gcp
        destination.cloud.region=unknown
        destination.cloud.availability_zone=z
        destination.k8s.cluster.name=c
        destination.k8s.node.name=n2
        xcloud.kind=ack
        xcloud.segment=wan
        ");
    }

    #[test]
    fn a_workload_is_called_by_its_kind_and_one_of_no_known_kind_says_it() {
        let mut labels = [""; family::EXCHANGE.labels.len()];
        labels[5..9].copy_from_slice(&["shop", "Deployment", "cart", "cart-1"]);
        labels[14..17].copy_from_slice(&["shop", "Rollout", "pay"]);
        labels[18] = "ack";
        insta::assert_snapshot!(told(&family::EXCHANGE, &labels), @r"
        source.k8s.namespace.name=shop
        source.k8s.deployment.name=cart
        source.k8s.pod.name=cart-1
        destination.k8s.namespace.name=shop
        destination.xcloud.workload.kind=Rollout
        destination.xcloud.workload.name=pay
        xcloud.kind=ack
        ");
    }

    #[test]
    fn bytes_and_losses_have_names_too() {
        let mut labels = [""; family::EGRESS_BYTES.labels.len()];
        labels[0] = "aws";
        labels[10] = "plain";
        insta::assert_snapshot!(told(&family::EGRESS_BYTES, &labels), @r"
        source.cloud.provider=aws
        xcloud.carriage=plain
        ");
        insta::assert_snapshot!(told(&family::LOST, &["kernel", "ring"]), @r"
        xcloud.hop=kernel
        xcloud.reason=ring
        ");
    }
}

//! Whether rendered objects find each other: volumes, accounts, ports, selectors. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::judge::{containers, list, name, pod, text};

/// What refers to something that is not there; secrets and maps in `given` are made by others.
pub(super) fn wrong(objects: &[Value], given: &[&str]) -> Vec<String> {
    let all = Objects { objects, given };
    objects.iter().flat_map(|object| all.wrong(object)).collect()
}

struct Objects<'a> {
    objects: &'a [Value],
    given: &'a [&'a str],
}

impl Objects<'_> {
    fn wrong(&self, object: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(pod) = pod(object) {
            wrong.extend(volumes(pod));
            wrong.extend(self.sources(pod));
            wrong.extend(ports(pod));
            if !matches(&object["spec"]["selector"]["matchLabels"], pod) {
                wrong.push("its selector does not match its pods".into());
            }
        }
        let spec = &object["spec"];
        match text(&object["kind"]) {
            "Service" => {
                wrong.extend(self.selected(&spec["selector"], list(&spec["ports"]), "targetPort"))
            }
            "PodMonitor" => wrong.extend(self.selected(
                &spec["selector"]["matchLabels"],
                list(&spec["podMetricsEndpoints"]),
                "port",
            )),
            "NetworkPolicy" => {
                wrong.extend(self.selected(&spec["podSelector"]["matchLabels"], &[], ""))
            }
            "PodDisruptionBudget" => {
                wrong.extend(self.selected(&spec["selector"]["matchLabels"], &[], ""))
            }
            "ClusterRoleBinding" => wrong.extend(self.bound(object)),
            _ => {}
        }
        wrong.into_iter().map(|what| format!("{}: {what}", name(object))).collect()
    }

    fn has(&self, kind: &str, named: &str) -> bool {
        self.objects.iter().any(|o| o["kind"] == kind && o["metadata"]["name"] == named)
    }

    /// Accounts, maps and secrets of a pod.
    fn sources(&self, pod: &Value) -> Vec<String> {
        let spec = &pod["spec"];
        let mut wanted = Vec::new();
        if let Some(account) = spec["serviceAccountName"].as_str() {
            wanted.push(("ServiceAccount", account));
        }
        for volume in list(&spec["volumes"]) {
            let sources = [
                ("ConfigMap", &volume["configMap"]["name"]),
                ("Secret", &volume["secret"]["secretName"]),
                ("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]),
            ];
            wanted.extend(
                sources.into_iter().filter_map(|(kind, name)| Some((kind, name.as_str()?))),
            );
        }
        let there = |kind, name| {
            let others = matches!(kind, "Secret" | "ConfigMap") && self.given.contains(&name);
            self.has(kind, name) || others || kind == "Secret" && self.promised(name)
        };
        wanted.retain(|(kind, name)| !there(*kind, *name));
        wanted.into_iter().map(|(kind, name)| format!("there is no {kind} {name}")).collect()
    }

    /// Whether cert-manager makes this secret.
    fn promised(&self, secret: &str) -> bool {
        let mut all = self.objects.iter();
        all.any(|o| o["kind"] == "Certificate" && o["spec"]["secretName"] == secret)
    }

    /// Whether a selector finds pods, and they have the ports.
    fn selected(&self, selector: &Value, ends: &[Value], key: &str) -> Vec<String> {
        let mut pods = self.objects.iter().filter_map(pod).filter(|pod| matches(selector, pod));
        let Some(pod) = pods.next() else { return vec!["selects no pod".into()] };
        let known = port_names(pod);
        let wanted = ends.iter().map(|end| text(&end[key]));
        let missing = wanted.filter(|wanted| !known.contains(wanted));
        missing.map(|port| format!("its pods have no port {port:?}")).collect()
    }

    fn bound(&self, binding: &Value) -> Vec<String> {
        let subjects =
            list(&binding["subjects"]).iter().map(|one| ("ServiceAccount", &one["name"]));
        let role = [("ClusterRole", &binding["roleRef"]["name"])];
        let wanted = role.into_iter().chain(subjects);
        let missing = wanted.filter(|(kind, name)| !self.has(kind, text(name)));
        missing.map(|(kind, name)| format!("there is no {kind} {name}")).collect()
    }
}

/// Every volume mounted is there, and every one that is there is mounted.
fn volumes(pod: &Value) -> Vec<String> {
    let there: BTreeSet<_> =
        list(&pod["spec"]["volumes"]).iter().map(|v| text(&v["name"])).collect();
    let mounts = containers(pod).into_iter().flat_map(|c| list(&c["volumeMounts"]));
    let mounted: BTreeSet<_> = mounts.map(|mount| text(&mount["name"])).collect();
    let odd = there.symmetric_difference(&mounted);
    odd.map(|volume| format!("volume {volume} is not both there and mounted")).collect()
}

/// Probes go to ports that containers tell of.
fn ports(pod: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for container in containers(pod) {
        let known: Vec<_> = list(&container["ports"]).iter().map(|p| &p["containerPort"]).collect();
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            for way in ["grpc", "tcpSocket"] {
                let port = &container[probe][way]["port"];
                if !port.is_null() && !known.contains(&port) {
                    wrong.push(format!("{probe} goes to port {port}, of which nothing is told"));
                }
            }
        }
    }
    wrong
}

fn port_names(pod: &Value) -> BTreeSet<&str> {
    let ports = containers(pod).into_iter().flat_map(|container| list(&container["ports"]));
    ports.map(|port| text(&port["name"])).collect()
}

fn matches(selector: &Value, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    selector.as_object().is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects() -> Vec<Value> {
        vec![
            json!({"kind": "ServiceAccount", "metadata": {"name": "account"}}),
            json!({"kind": "Deployment", "metadata": {"name": "d"}, "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
                    "serviceAccountName": "account",
                    "volumes": [{"name": "v", "secret": {"secretName": "given"}}],
                    "containers": [{
                        "ports": [{"name": "grpc", "containerPort": 1}],
                        "livenessProbe": {"grpc": {"port": 1}},
                        "volumeMounts": [{"name": "v"}]
                    }]
                }}
            }}),
            json!({"kind": "Service", "metadata": {"name": "s"},
                   "spec": {"selector": {"app": "a"}, "ports": [{"targetPort": "grpc"}]}}),
        ]
    }

    #[test]
    fn objects_that_find_each_other_pass() {
        assert_eq!(wrong(&objects(), &["given"]), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_is_not_there_is_told() {
        let pod = "/spec/template/spec";
        for (object, place, value, told) in [
            (1, "/spec/selector/matchLabels/app".into(), json!("b"), "does not match its pods"),
            (1, format!("{pod}/serviceAccountName"), json!("other"), "no ServiceAccount other"),
            (1, format!("{pod}/volumes/0/name"), json!("w"), "not both there and mounted"),
            (1, format!("{pod}/volumes/0/secret/secretName"), json!("x"), "no Secret x"),
            (1, format!("{pod}/containers/0/livenessProbe/grpc/port"), json!(2), "goes to port 2"),
            (2, "/spec/selector/app".into(), json!("b"), "selects no pod"),
            (2, "/spec/ports/0/targetPort".into(), json!("http"), "no port \"http\""),
        ] {
            let mut broken = objects();
            *broken[object].pointer_mut(&place).expect("there") = value;
            let said = wrong(&broken, &["given"]).join("; ");
            assert!(said.contains(told), "{place}: {said:?}");
        }
    }
}

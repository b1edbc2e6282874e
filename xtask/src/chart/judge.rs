//! What must hold of rendered objects, whatever the values. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::references;

/// Kinds without a namespace.
const CLUSTER_WIDE: [&str; 3] = ["Namespace", "ClusterRole", "ClusterRoleBinding"];

/// What is wrong with the objects; secrets and maps in `given` are made by others.
pub(super) fn wrong(objects: &[Value], given: &[&str]) -> Vec<String> {
    let mut wrong: Vec<_> = objects.iter().flat_map(named).collect();
    let mut seen = BTreeSet::new();
    for object in objects {
        if !seen.insert((text(&object["kind"]), text(&object["metadata"]["name"]))) {
            wrong.push(format!("{} is there twice", name(object)));
        }
    }
    for object in objects {
        if let Some(pod) = pod(object) {
            let tell = |what: String| format!("{}: {what}", name(object));
            wrong.extend(containers(pod).into_iter().flat_map(hardened).map(tell));
        }
    }
    wrong.extend(references::wrong(objects, given));
    wrong
}

fn named(object: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (kind, about) = (text(&object["kind"]), &object["metadata"]);
    if text(&object["apiVersion"]).is_empty() || kind.is_empty() {
        wrong.push(format!("an object without apiVersion or kind: {object}"));
    }
    if !(1..=63).contains(&text(&about["name"]).len()) {
        wrong.push(format!("{} has a name of odd length", name(object)));
    }
    if CLUSTER_WIDE.contains(&kind) == about["namespace"].is_string() {
        wrong.push(format!("{} and its namespace do not fit together", name(object)));
    }
    wrong
}

fn hardened(container: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (security, name) = (&container["securityContext"], text(&container["name"]));
    if security["readOnlyRootFilesystem"] != true {
        wrong.push(format!("{name} can write to its root"));
    }
    let held = security["allowPrivilegeEscalation"] == false
        && security["capabilities"]["drop"] == serde_json::json!(["ALL"]);
    if security["privileged"] != true && !held {
        wrong.push(format!("{name} keeps rights that it was not given"));
    }
    if !container["resources"]["limits"]["memory"].is_string() {
        wrong.push(format!("{name} has no limit of memory"));
    }
    let image = text(&container["image"]);
    let tagged = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if !tagged || image.ends_with(":latest") {
        wrong.push(format!("{name} runs an image of no certain version: {image}"));
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        if !container[probe].is_object() {
            wrong.push(format!("{name} has no {probe}"));
        }
    }
    wrong
}

/// The pod that an object makes.
pub(super) fn pod(object: &Value) -> Option<&Value> {
    let template = &object["spec"]["template"];
    template["spec"].is_object().then_some(template)
}

/// The containers of a pod.
pub(super) fn containers(pod: &Value) -> Vec<&Value> {
    list(&pod["spec"]["containers"]).iter().collect()
}

/// The members of a list; none where there is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What an object is called in complaints.
pub(super) fn name(object: &Value) -> String {
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"},
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {
                    "metadata": {"labels": {"app": "a"}},
                    "spec": {"containers": [{
                        "name": "a", "image": "registry.example.com:5000/a:1",
                        "securityContext": {
                            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]}
                        },
                        "resources": {"limits": {"memory": "1Gi"}},
                        "startupProbe": {}, "livenessProbe": {}, "readinessProbe": {}
                    }]}
                }
            }
        })
    }

    #[test]
    fn a_hardened_deployment_passes() {
        assert_eq!(wrong(&[deployment()], &[]), Vec::<String>::new());
    }

    #[test]
    fn each_loosening_is_told() {
        let container = "/spec/template/spec/containers/0";
        for (place, value, told) in [
            ("/securityContext/readOnlyRootFilesystem", json!(false), "write to its root"),
            ("/securityContext/allowPrivilegeEscalation", json!(true), "keeps rights"),
            ("/securityContext/capabilities/drop", json!([]), "keeps rights"),
            ("/resources/limits/memory", json!(null), "no limit of memory"),
            ("/image", json!("registry.example.com:5000/a"), "no certain version"),
            ("/image", json!("a:latest"), "no certain version"),
            ("/livenessProbe", json!(null), "no livenessProbe"),
        ] {
            let mut loose = deployment();
            *loose.pointer_mut(&format!("{container}{place}")).expect("there") = value;
            let said = wrong(&[loose], &[]).join("; ");
            assert!(said.contains(told), "{place}: {said:?}");
        }
    }

    #[test]
    fn an_object_that_is_there_twice_or_nowhere_is_told() {
        let said = wrong(&[deployment(), deployment()], &[]).join("; ");
        assert!(said.contains("there twice"), "{said}");
        let mut lost = deployment();
        lost["metadata"] = json!({"name": "a"});
        let said = wrong(&[lost], &[]).join("; ");
        assert!(said.contains("namespace do not fit"), "{said}");
    }
}

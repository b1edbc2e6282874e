//! The bill of materials, in the form of CycloneDX: every package that is in the binary or in its kernel programs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::oci;

/// The packages whose code ships.
const ROOTS: [&str; 2] = ["xcloud-daemon", "xcloud-ebpf"];

/// Makes it from what cargo says of the packages, and the lock file's checksums.
pub(super) fn make(metadata: &Value, lock: &str, epoch: u64) -> Result<String> {
    let packages = Packages::new(metadata)?;
    let checksums = checksums(lock)?;
    let shipped = packages.shipped()?;
    let components: Vec<_> =
        shipped.iter().map(|id| component(packages.by_id[id], &checksums)).collect();
    let dependencies: Vec<_> = shipped
        .iter()
        .map(|id| {
            let on: Vec<_> = packages.needed(id).map(|id| reference(packages.by_id[id])).collect();
            json!({"ref": reference(packages.by_id[id]), "dependsOn": on})
        })
        .collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": oci::time(epoch),
            "component": {
                "type": "application", "name": "xcloud", "version": env!("CARGO_PKG_VERSION"),
                "bom-ref": "xcloud",
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    let text = serde_json::to_string_pretty(&bill).context("writing the bill of materials")?;
    Ok(text + "\n")
}

struct Packages<'a> {
    by_id: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Packages<'a> {
    fn new(metadata: &'a Value) -> Result<Self> {
        let by_id = |list: &'a Value| -> Result<BTreeMap<&'a str, &'a Value>> {
            let list = list.as_array().context("`cargo metadata` lists no packages")?;
            Ok(list.iter().filter_map(|one| Some((one["id"].as_str()?, one))).collect())
        };
        Ok(Self {
            by_id: by_id(&metadata["packages"])?,
            nodes: by_id(&metadata["resolve"]["nodes"])?,
        })
    }

    /// What a package needs when it runs, neither to be built nor to be tested.
    fn needed(&self, id: &str) -> impl Iterator<Item = &'a str> {
        let all = self.nodes.get(id).and_then(|node| node["deps"].as_array());
        let runs = |one: &&Value| {
            one["dep_kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|k| k["kind"].is_null()))
        };
        all.into_iter().flatten().filter(runs).filter_map(|one| one["pkg"].as_str())
    }

    fn shipped(&self) -> Result<BTreeSet<&'a str>> {
        let mut shipped = BTreeSet::new();
        let mut open = Vec::new();
        for root in ROOTS {
            let mut all = self.by_id.iter();
            let found = all.find(|(_, package)| package["name"] == root);
            open.push(*found.with_context(|| format!("`cargo metadata` knows no {root}"))?.0);
        }
        while let Some(id) = open.pop() {
            // A procedural macro ran when the binary was built and is not in it.
            if !is_macro(self.by_id[id]) && shipped.insert(id) {
                open.extend(self.needed(id));
            }
        }
        Ok(shipped)
    }
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array();
    targets.is_some_and(|all| all.iter().any(|target| target["kind"] == json!(["proc-macro"])))
}

/// Checksums by name and version.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>> {
    let lock: toml::Table = lock.parse().context("understanding Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let packages = packages.context("Cargo.lock lists no packages")?;
    let text = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    let one = |package| {
        Some(((text(package, "name")?, text(package, "version")?), text(package, "checksum")?))
    };
    Ok(packages.iter().filter_map(one).collect())
}

fn reference(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let mut out = json!({
        "type": "library",
        "name": text("name"),
        "version": text("version"),
        "bom-ref": reference(package),
        "purl": reference(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // Older packages write `MIT/Apache-2.0`, which is no SPDX expression.
        out["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(sum) = checksums.get(&(text("name"), text("version"))) {
        out["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, kind: &str) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
               "targets": [{"kind": [kind]}]})
    }

    fn node(name: &str, deps: &[(&str, Value)]) -> Value {
        let deps =
            deps.iter().map(|(dep, kind)| json!({"pkg": dep, "dep_kinds": [{"kind": kind}]}));
        json!({"id": name, "deps": deps.collect::<Vec<_>>()})
    }

    #[test]
    fn what_ships_is_listed_and_what_only_builds_or_tests_is_not() {
        let (run, build, dev) = (Value::Null, json!("build"), json!("dev"));
        let metadata = json!({
            "packages": [
                package("xcloud-daemon", "lib"), package("xcloud-ebpf", "bin"), package("a", "lib"),
                package("b", "lib"), package("macro", "proc-macro"), package("builder", "lib"),
                package("tester", "lib"),
            ],
            "resolve": {"nodes": [
                node("xcloud-daemon", &[
                    ("a", run.clone()), ("macro", run.clone()), ("builder", build), ("tester", dev),
                ]),
                node("a", &[("b", run.clone())]),
                node("macro", &[("builder", run)]),
            ]},
        });
        let lock = "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n";
        let bill: Value =
            serde_json::from_str(&make(&metadata, lock, 0).expect("made")).expect("JSON");
        let components = bill["components"].as_array().expect("a list");
        let names: Vec<_> = components.iter().map(|one| one["name"].as_str()).collect();
        assert_eq!(names, [Some("a"), Some("b"), Some("xcloud-daemon"), Some("xcloud-ebpf")]);
        assert_eq!(components[1]["hashes"][0]["content"], "ff");
        assert_eq!(components[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@1.0.0"]));
    }
}

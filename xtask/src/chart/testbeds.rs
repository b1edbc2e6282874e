//! The testbeds' tests: what can be said of them without a cloud.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    flags, judge,
    renderer::{Renderer, Request, build_go},
};
use crate::{bpf, command};

/// Where the testbeds are.
fn directory() -> PathBuf {
    bpf::root().join("deploy/testbeds")
}

/// Scripts are sound as far as the shell and shellcheck see.
pub(super) fn scripts() -> Result<Vec<String>> {
    let mut paths = files(&directory(), "sh")?;
    paths.extend(files(&directory().join("cni"), "sh")?);
    ensure!(paths.len() >= 7, "only {} scripts were found", paths.len());
    for path in &paths {
        command::output(Command::new("bash").arg("-n").arg(path))?;
    }
    let mut shellcheck = Command::new("shellcheck");
    shellcheck.args(["--external-sources", "--source-path=SCRIPTDIR"]).args(&paths);
    command::output(&mut shellcheck).map(|_| vec![])
}

/// Terraform's own parser reads the files, finds them well-formed, and finds all that they refer to.
pub(super) fn terraform() -> Result<Vec<String>> {
    let program = build_go("deploy/testbeds/check", "hcl-check")?;
    let check = |path: &Path| command::output(Command::new(&program).arg(path));
    check(&directory().join("terraform"))?;
    let broken = bpf::target().join("tools/broken-terraform");
    fs::create_dir_all(&broken)?;
    fs::write(broken.join("a.tf"), "output \"a\" {\n  value = var.nowhere\n}\n")?;
    let refused = check(&broken);
    ensure!(refused.is_err(), "a variable that is not there was not noticed");
    Ok(vec![])
}

/// All YAML below `deploy` that is not a template.
pub(super) fn yaml() -> Result<Vec<String>> {
    let deploy = bpf::root().join("deploy");
    let mut paths = Vec::new();
    for part in ["", "helm/cases", "helm/xcloud", "testbeds", "testbeds/cni"] {
        paths.extend(files(&deploy.join(part), "yaml")?);
    }
    let mut yamllint = Command::new("yamllint");
    yamllint.args(["--strict", "--format", "parsable", "--config-file"]);
    yamllint.arg(deploy.join("yamllint.yaml")).args(&paths);
    command::output(&mut yamllint).map(|_| vec![])
}

/// CNIs are given only values that their charts have, of the release that the scripts install.
pub(super) fn values() -> Result<Vec<String>> {
    let cni = directory().join("cni");
    let known = yaml_to_json(&cni.join("charts.yaml"))?;
    let library = fs::read_to_string(directory().join("lib.sh"))?;
    let mut wrong = Vec::new();
    for (chart, about) in known.as_object().context("charts.yaml is no table")? {
        let version = about["version"].as_str().unwrap_or_default();
        let default = format!("{}_VERSION:-{version}}}", chart.to_uppercase());
        if !library.contains(&default) {
            wrong.push(format!("lib.sh does not install {chart} {version}"));
        }
        let there: BTreeSet<_> =
            about["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for path in files(&cni, "yaml")? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(chart.as_str()) || name == "calico-bgp.yaml" {
                continue;
            }
            let used = keys(&yaml_to_json(&path)?, "");
            let odd = used.into_iter().filter(|key| !covered(&there, key));
            wrong.extend(odd.map(|key| format!("{name}: {chart} {version} has no {key}")));
        }
    }
    Ok(wrong)
}

/// The testbeds' values for xcloud's own chart fit it, for the cluster with the aggregator and for one without.
pub(super) fn xcloud(renderer: &Renderer) -> Result<Vec<String>> {
    let chart = bpf::root().join("deploy/helm/xcloud");
    let of_cloud = |cloud: &str| chart.join(format!("values-{cloud}.yaml"));
    let own = |name: &str| directory().join(name);
    let elsewhere =
        ["aggregator.enabled=false", "agent.aggregator=a.example.com:7171", "site.cluster=b"];
    let mut wrong = Vec::new();
    for (values, sets, given) in [
        (vec![of_cloud("eks"), own("xcloud.yaml"), own("xcloud-aws.yaml")], &[][..], &[][..]),
        (vec![of_cloud("gke"), own("xcloud.yaml")], &elsewhere[..], &["xcloud-agent-tls"][..]),
        (vec![of_cloud("aks"), own("xcloud.yaml")], &elsewhere[..], &["xcloud-agent-tls"][..]),
    ] {
        let sets = sets.iter().chain(&["image.repository=registry.example.com/xcloud"]);
        let sets = sets.map(|&set| set.to_owned()).collect();
        let objects = renderer.objects(&Request { values, sets, ..Request::default() })?;
        wrong.extend(judge::wrong(&objects, given));
    }
    let endpoint = yaml_to_json(&directory().join("endpoint.yaml"))?;
    wrong.extend(flags::nowhere_to_write(&[endpoint]));
    Ok(wrong)
}

/// Whether a key, or a table that it is in, is among those that are there.
fn covered(there: &BTreeSet<&str>, key: &str) -> bool {
    there.iter().any(|known| {
        key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Paths to all values of a table, as `a.b`.
fn keys(table: &Value, above: &str) -> Vec<String> {
    match table.as_object() {
        Some(table) => {
            let inner = table.iter().flat_map(|(key, value)| {
                let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                keys(value, &path)
            });
            inner.collect()
        }
        None => vec![above.to_owned()],
    }
}

fn yaml_to_json(path: &Path) -> Result<Value> {
    let mut convert = Command::new(bpf::target().join("tools/helm-render"));
    let json = command::output(convert.args(["-json"]).arg(path))?;
    serde_json::from_str(&json).with_context(|| format!("understanding {}", path.display()))
}

fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_covered_by_itself_or_a_table_around_it() {
        let there = BTreeSet::from(["a.b", "pools"]);
        let used = keys(&json!({"a": {"b": 1, "c": 2}, "pools": [{"x": 1}], "ab": {"c": 3}}), "");
        let odd: Vec<_> = used.iter().filter(|key| !covered(&there, key)).collect();
        assert_eq!(odd, ["a.c", "ab.c"]);
        assert!(covered(&there, "pools.name") && !covered(&there, "a.bc"));
    }
}

//! Looks for traces of CNIs on the node. What cannot be read is taken as not there.

use std::{fs, path::Path};

use serde_json::Value;

use super::Traces;
use crate::kernel::{
    ifaces::Facts,
    rtnl::{esp_states, nftables},
    tc,
};

const CONFIGURATIONS: &str = "etc/cni/net.d";
/// What Cilium compiles its programs with, written anew at each of its starts.
const CILIUM: &str = "var/run/cilium/state/globals/node_config.h";
const FILES: [&str; 10] = [
    "/var/run/cilium/cilium.sock",
    "/var/run/aws-node/ipamd.sock",
    "/run/flannel/subnet.env",
    "/run/openvswitch/db.sock",
    "/var/run/ovn-kubernetes",
    "/var/lib/calico/nodename",
    "/sys/fs/bpf/cilium",
    "/sys/fs/bpf/tc/globals/cilium_calls",
    "/sys/fs/bpf/tc/globals/cali_v4_ct",
    "/sys/fs/bpf/globals/aws",
];

/// Looks below `root` for files, and in this network namespace for the rest.
#[must_use]
pub fn look(root: &Path, facts: &Facts) -> Traces {
    let (config, plugins) = configuration(&root.join(CONFIGURATIONS)).unwrap_or_default();
    let devices = facts.links.iter().map(|link| {
        let kind = if link.kind.is_empty() { "physical" } else { &link.kind };
        format!("{} {kind}{}", link.name, if link.up { " up" } else { "" })
    });
    let loaded = tc::Programs::loaded();
    let programs = facts.links.iter().flat_map(|link| {
        let names = tc::names(link.index, &loaded).into_iter();
        names.map(|name| format!("{} {name}", link.name))
    });
    let there = |path: &&str| root.join(path.trim_start_matches('/')).symlink_metadata().is_ok();
    Traces {
        config,
        plugins,
        devices: devices.collect(),
        programs: programs.collect(),
        files: FILES.iter().filter(|path| there(path)).map(|&path| path.to_owned()).collect(),
        tables: nftables().unwrap_or_default(),
        host_routing: host_routing(&root.join(CILIUM)),
        esp: esp_states().unwrap_or_default(),
    }
}

fn host_routing(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("#define") && words.next() == Some("ENABLE_HOST_ROUTING")
    })
}

/// Name and plugin types of the configuration that kubelet takes: the first by name.
fn configuration(directory: &Path) -> Option<(String, Vec<String>)> {
    let names = fs::read_dir(directory).ok()?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let config = |name: &String| {
        Path::new(name).extension().is_some_and(|e| e == "conf" || e == "conflist" || e == "json")
    };
    let name = names.filter(config).min()?;
    let json: Value =
        serde_json::from_str(&fs::read_to_string(directory.join(&name)).ok()?).ok()?;
    let chain = json["plugins"].as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
    let kinds = chain.iter().flat_map(|plugin| [&plugin["type"], &plugin["ipam"]["type"]]);
    Some((name, kinds.filter_map(Value::as_str).map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_configuration_by_name_counts_and_backups_do_not() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join(CONFIGURATIONS);
        fs::create_dir_all(&directory).expect("a directory");
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("a file");
        write("00-old.conflist.cilium_bak", r#"{"plugins":[{"type":"calico"}]}"#);
        write("10-aws.conflist", r#"{"plugins":[{"type":"aws-cni"},{"type":"cilium-cni"}]}"#);
        write("99-loopback.conf", r#"{"type":"loopback"}"#);
        let traces = look(root.path(), &Facts::default());
        assert_eq!(traces.config, "10-aws.conflist");
        assert_eq!(traces.plugins, ["aws-cni", "cilium-cni"]);
        assert_eq!(traces.files, [""; 0]);
    }

    #[test]
    fn what_cilium_compiles_its_programs_with_tells_host_routing() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(CILIUM);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let look = || look(root.path(), &Facts::default()).host_routing;
        assert!(!look(), "no file");
        for (text, wanted) in [
            ("#define ENABLE_NODEPORT 1\n#define ENABLE_HOST_ROUTING 1\n", true),
            ("#define ENABLE_HOST_ROUTING\n", true),
            ("#define ENABLE_NODEPORT 1\n", false),
            ("/* #define ENABLE_HOST_ROUTING 1 */\n#define ENABLE_HOST_ROUTING_X 1\n", false),
        ] {
            fs::write(&path, text).expect("a file");
            assert_eq!(look(), wanted, "{text}");
        }
    }
}

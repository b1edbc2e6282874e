use super::*;

/// What one mode leaves on a node, and what must be said of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    name: String,
    traces: Traces,
    plugin: Plugin,
    chained: Option<Plugin>,
    datapath: Datapath,
    #[serde(default)]
    wraps: Vec<Wrap>,
    pod_out: Sight,
    pod_in: Sight,
    uplink: Sight,
}

#[derive(Deserialize)]
struct Modes {
    mode: Vec<Mode>,
}

fn modes() -> Vec<Mode> {
    let modes: Modes = toml::from_str(include_str!("modes.toml")).expect("modes");
    modes.mode
}

#[test]
fn every_mode_is_recognised_and_says_what_is_visible() {
    for mode in modes() {
        let cni = recognise(&mode.traces);
        let said = (cni.plugin, cni.chained, cni.datapath, cni.wraps.clone());
        let wanted = (mode.plugin, mode.chained, mode.datapath, mode.wraps);
        assert_eq!(said, wanted, "{}", mode.name);
        let sights = visible(&cni).into_iter().map(|v| (v.hook, v.sight)).collect::<Vec<_>>();
        let wanted = [
            ("pod_out", mode.pod_out),
            ("uplink_out", mode.uplink),
            ("uplink_in", mode.uplink),
            ("pod_in", mode.pod_in),
            ("host_network", Sight::Nothing),
        ];
        assert_eq!(sights, wanted, "{}", mode.name);
        assert!(cni.evidence.iter().all(|reason| !reason.is_empty()), "{}", mode.name);
    }
}

#[test]
fn an_unknown_node_says_what_was_looked_at() {
    let devices = vec!["eth0 physical up".into(), "veth1 veth up".into()];
    let cni = recognise(&Traces { devices, ..Traces::default() });
    assert_eq!((cni.plugin, cni.datapath), (Plugin::Unknown, Datapath::Unknown));
    assert!(cni.evidence[0].contains("2 devices"), "{:?}", cni.evidence);
}

#[test]
fn devices_and_programs_have_names_that_the_kernel_keeps() {
    for mode in modes() {
        let devices = mode.traces.devices.iter().map(|device| name(device));
        // Filters are named by whoever puts them there, as long as they like.
        let programs = mode.traces.programs.iter().filter(|program| !program.contains('-'));
        let programs = programs.map(|program| program.split_once(' ').expect("on a device").1);
        for named in devices.chain(programs) {
            assert!(named.len() < 16, "{}: {named} is too long for the kernel", mode.name);
        }
    }
}

use std::io;

use insta::assert_snapshot;
use landlock::ABI;

use super::*;
use crate::{
    access::confine::LandlockStatus,
    kernel::{self, ifaces::LinkLayer, probe::Feature},
};

fn finding(feature: Feature, answer: Answer, detail: &str) -> Finding {
    Finding { feature, answer, detail: detail.into() }
}

fn decision(index: u32, name: &str, kind: &str, role: Option<Role>, reason: &str) -> Decision {
    Decision {
        index,
        name: name.into(),
        kind: kind.into(),
        link_layer: LinkLayer::Ethernet,
        leaves_by: vec![index],
        role,
        reason: reason.into(),
    }
}

#[test]
fn a_pods_own_end_is_told() {
    let end = || PodEnd {
        path: "/run/netns/cni-1".into(),
        namespace: 4_026_532_000,
        interface: "eth0".into(),
    };
    assert_snapshot!(inside("veth", Some(Ok(end())), true), @"hooked at eth0 inside the pod, /run/netns/cni-1, once packets go past this interface");
    assert_snapshot!(inside("netkit", Some(Ok(end())), true), @"netkit, so hooked at eth0 inside the pod, /run/netns/cni-1");
    assert_snapshot!(inside("veth", None, false), @"once packets go past this interface, not visible, as it cannot be hooked inside the pod: --pod-namespaces is false");
    assert_snapshot!(inside("netkit", Some(Err(anyhow::anyhow!("refused"))), true), @"not visible, as it cannot be hooked inside the pod: refused");
    assert_snapshot!(inside("veth", None, true), @"once packets go past this interface, seen at its sockets, as it cannot be hooked inside the pod: --pod-namespaces is false");
}

fn able() -> Check {
    let features = vec![
        finding(Feature::Btf, Answer::Yes, "kernel types are readable"),
        finding(Feature::Tcx, Answer::Yes, "tried"),
        finding(Feature::TpBtfNetDevStartXmit, Answer::Yes, "tried"),
        finding(
            Feature::LockdownAllows,
            Answer::Unknown,
            "/sys/kernel/security/lockdown: No such file or directory",
        ),
    ];
    let plan = Plan::new(&features, true);
    let decisions = vec![
        decision(1, "lo", "loopback", None, "loopback"),
        decision(2, "eth0", "physical", Some(Role::Uplink), "carries the default route"),
        decision(5, "cali8", "veth", Some(Role::Pod), "leads to the one host 10.1.0.2"),
    ];
    let traces = Traces {
        config: "10-calico.conflist".into(),
        plugins: vec!["calico".into()],
        devices: vec!["cali8 veth up".into(), "vxlan.calico vxlan up".into()],
        programs: vec!["cali8 cali_tc_preambl".into()],
        ..Traces::default()
    };
    let mut check = judge("6.18.44".into(), features, plan, decisions, &traces);
    check.stages = probes().map(|probe| stages::judge(probe, Ok(()))).collect();
    let status = LandlockStatus::Available { effective_abi: ABI::V7, kernel_abi: None };
    check.files = Some(files::judge(Ok(status)));
    check
}

/// Functions with and without a module, and the one that ends every stage.
fn probes() -> impl Iterator<Item = &'static kernel::stages::Probe> {
    let shown = ["__dev_queue_xmit", "nf_hook_slow", "wg_xmit"];
    kernel::stages::all().filter(move |probe| shown.contains(&probe.function))
}

fn unable() -> Check {
    let features = vec![
        finding(Feature::CapBpf, Answer::No, "CAP_BPF is not held"),
        finding(Feature::Tcx, Answer::No, "the kernel refused"),
        finding(Feature::Clsact, Answer::Yes, "tried"),
        finding(Feature::TpBtfNetDevStartXmit, Answer::No, "needs btf"),
        finding(Feature::RawTpNetDevStartXmit, Answer::No, "refused"),
    ];
    let plan = Plan::new(&features, true);
    let mut check = judge("5.15.0".into(), features, plan, vec![], &Traces::default());
    let refusals = [libc::EACCES, libc::EOPNOTSUPP, libc::ENOENT].map(io::Error::from_raw_os_error);
    let judged = probes().zip(refusals).map(|(probe, error)| stages::judge(probe, Err(error)));
    check.stages = judged.collect();
    check.files = Some(files::judge(Ok(LandlockStatus::NotEnabled)));
    check
}

#[test]
fn table_of_a_node_that_can_measure() {
    assert_snapshot!(render(&able(), Output::Table).expect("renders"));
}

#[test]
fn json_of_a_node_that_can_measure() {
    assert_snapshot!(render(&able(), Output::Json).expect("renders"));
}

#[test]
fn table_of_a_node_that_cannot() {
    assert_snapshot!(render(&unable(), Output::Table).expect("renders"));
}

#[test]
fn csv_of_a_node_that_cannot() {
    assert_snapshot!(render(&unable(), Output::Csv).expect("renders"));
}

#[test]
fn each_landlock_says_what_it_confines_and_none_what_to_do() {
    let of = |abi| LandlockStatus::Available { effective_abi: abi, kernel_abi: None };
    let newer = LandlockStatus::Available { effective_abi: ABI::V10, kernel_abi: Some(12) };
    let said = [of(ABI::V2), of(ABI::V4), newer, LandlockStatus::NotImplemented];
    let said = said.map(|status| files::judge(Ok(status)).detail);
    assert_snapshot!(said.join("\n"), @"
    ABI 2: an aggregator here opens nothing but its certificates, configuration, tables of sites, sockets and results of load tests, but can still cut other files short, which ABI 3 (Linux 6.2) forbids
    ABI 4: an aggregator here opens nothing but its certificates, configuration, tables of sites, sockets and results of load tests, but can still control devices, which ABI 5 (Linux 6.10) forbids
    ABI 12: an aggregator here opens nothing but its certificates, configuration, tables of sites, sockets and results of load tests
    this kernel does not have it (Linux 5.13 and newer do, with CONFIG_SECURITY_LANDLOCK), or a filter of system calls hides it, so an aggregator here may open whatever its user may: run it as a user of its own, with a root file system that is only to be read, as the chart does
    ");
    let refused = files::judge(Err(anyhow::anyhow!("refused")));
    assert_eq!((refused.landlock, &refused.detail[..]), (Answer::Unknown, "refused"));
}

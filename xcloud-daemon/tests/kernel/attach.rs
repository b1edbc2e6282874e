//! Each way to put the programs on hooks, by the agent's own code, in a network namespace that ends with the test.
//! `cargo xtask kernels` runs these one by one on each kernel, which may lack some.

use std::{panic, process::Command, thread};

use aya::programs::{SchedClassifier, TcAttachType};
use nix::sched::{CloneFlags, unshare};
use xcloud::kernel::{
    attach::Programs,
    ifaces::{Interface, LinkLayer, Role},
    pin::Owner,
    probe::{Answer, Feature, Finding, Plan, TcHook},
};
use xcloud_common::config::Config;

use crate::harness;

#[test]
#[ignore = "not every kernel has TCX"]
fn by_tcx() {
    attaches(&[Feature::Tcx], "uplink_out@lo");
}

#[test]
#[ignore = "not every kernel has clsact"]
fn by_clsact() {
    attaches(&[Feature::Clsact], "uplink_out@lo");
}

#[test]
#[ignore = "not every kernel has typed tracepoints"]
fn by_typed_tracepoint() {
    attaches(&[Feature::Clsact, Feature::TpBtfNetDevStartXmit], "uplink_out=tp_btf");
}

#[test]
#[ignore = "not every kernel has raw tracepoints"]
fn by_raw_tracepoint() {
    attaches(&[Feature::Clsact, Feature::RawTpNetDevStartXmit], "uplink_out=raw_tp");
}

/// Attaches as planned for a kernel that has just these features to a loopback device, first as a pod's interface,
/// then as an uplink, and takes all off again. Among the hooks must be the one that starts like `hook`.
fn attaches(features: &[Feature], hook: &str) {
    if !harness::available() {
        return;
    }
    let plan = plan(features);
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let bpffs = tempfile::tempdir().expect("a directory");
        let owner =
            Owner { agent_id: "attach".into(), boot_id: [1; 16], bpffs: bpffs.path().to_owned() };
        let mut programs = Programs::load(&plan, Config::default(), &owner).expect("loading");
        for role in [Role::Pod, Role::Uplink] {
            let attached = programs.attach(&loopback(role)).expect("attaching");
            assert_eq!(filters(plan.pod_hook), attached.len(), "{attached:?}");
        }
        let hooks = programs.hooks();
        assert!(hooks.iter().any(|one| one.starts_with(hook)), "{hooks:?}");
        programs.detach(1);
        assert_eq!(filters(plan.pod_hook), 0, "filters are left");
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}

/// What is planned for a kernel with these features and no others.
fn plan(features: &[Feature]) -> Plan {
    let answer = |feature| Finding {
        feature,
        answer: if features.contains(&feature) { Answer::Yes } else { Answer::No },
        detail: String::new(),
    };
    let asked = [
        Feature::Tcx,
        Feature::Clsact,
        Feature::TpBtfNetDevStartXmit,
        Feature::RawTpNetDevStartXmit,
    ];
    Plan::new(&asked.map(answer), true)
}

fn loopback(role: Role) -> Interface {
    Interface {
        index: 1,
        name: "lo".into(),
        role,
        link_layer: LinkLayer::Ethernet,
        kind: "loopback".into(),
        leaves_by: vec![1],
    }
}

/// Filters on the loopback device as the kernel lists them.
fn filters(hook: TcHook) -> usize {
    if hook == TcHook::Tcx {
        let of = |direction| SchedClassifier::query_tcx("lo", direction).expect("asking for TCX").1;
        return of(TcAttachType::Ingress).len() + of(TcAttachType::Egress).len();
    }
    let of = |direction| {
        let shown = Command::new("tc").args(["filter", "show", "dev", "lo", direction]).output();
        let shown = String::from_utf8(shown.expect("running tc").stdout).expect("text");
        shown.lines().filter(|line| line.contains("handle 0xc0fe")).count()
    };
    of("ingress") + of("egress")
}

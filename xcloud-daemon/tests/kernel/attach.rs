//! Each way to put the programs on hooks, by the agent's own code, in a network namespace that ends with the test.
//! `cargo xtask kernels` runs these one by one on each kernel, which may lack some.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{NlOptions, TcAttachOptions},
};
use nix::sched::{CloneFlags, unshare};
use xcloud::kernel::{
    attach::Programs,
    ifaces::{Interface, LinkLayer, Role},
    object,
    pin::Owner,
    podns::PodEnd,
    probe::{Answer, Feature, Finding, Plan, TcHook, probe},
    tc::Place,
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

#[test]
fn by_kprobe() {
    if harness::has_kprobes() {
        attaches(&[Feature::Clsact, Feature::KprobeDevHardStartXmit], "uplink_out=kprobe");
    }
}

#[test]
fn displaced_inside_a_pod_the_hooks_are_put_first_again() {
    if !harness::available() {
        return;
    }
    in_a_namespace(|| {
        let bpffs = tempfile::tempdir().expect("a directory");
        let plan = plan(&[Feature::Clsact, Feature::RawTpNetDevStartXmit]);
        let mut programs =
            Programs::load(&plan, Config::default(), &owner(bpffs.path())).expect("loading");
        let path = PathBuf::from("/proc/thread-self/ns/net");
        let namespace = fs::metadata(&path).expect("the namespace").ino();
        let namespace = u32::try_from(namespace).expect("32 bits");
        let end = PodEnd { path, namespace, interface: "lo".into() };
        programs.move_inside(&loopback(Role::Pod), &end).expect("moving inside");
        assert_eq!(programs.displaced(1).expect("asking"), []);
        let mut other = object::load().expect("loading the kernel object");
        let other: &mut SchedClassifier =
            other.program_mut("uplink_in").expect("there").try_into().expect("a TC program");
        other.load().expect("loading another program");
        let first = TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() });
        other.attach_with_options("lo", TcAttachType::Ingress, first).expect("attaching it");
        let displaced = programs.displaced(1).expect("asking");
        assert!(matches!(displaced[..], [("pod_in_inside", Place::Behind(_))]), "{displaced:?}");
        programs.put_first(1, &["pod_in_inside"]).expect("putting it first");
        assert_eq!(programs.displaced(1).expect("asking"), []);
        assert_eq!(filters(plan.pod_hook), 2, "one program at each of both hooks");
    });
}

#[test]
fn an_ingress_qdisc_is_no_clsact() {
    if !harness::available() {
        return;
    }
    in_a_namespace(|| {
        add_an_ingress_qdisc();
        let bpffs = tempfile::tempdir().expect("a directory");
        let plan = plan(&[Feature::Clsact]);
        let mut programs =
            Programs::load(&plan, Config::default(), &owner(bpffs.path())).expect("loading");
        for role in [Role::Pod, Role::Uplink] {
            let refused = programs.attach(&loopback(role)).expect_err("egress has no place");
            let refused = format!("{refused:#}");
            assert!(refused.contains("to lo: another program"), "{refused}");
            assert_eq!(filters(plan.pod_hook), 0, "filters are left");
        }
    });
}

#[test]
fn an_ingress_qdisc_takes_hooks_at_ingress() {
    if !harness::available() {
        return;
    }
    in_a_namespace(|| {
        add_an_ingress_qdisc();
        let bpffs = tempfile::tempdir().expect("a directory");
        let mut plan = plan(&[Feature::Clsact, Feature::RawTpNetDevStartXmit]);
        plan.queue_hook = false;
        let mut programs =
            Programs::load(&plan, Config::default(), &owner(bpffs.path())).expect("loading");
        assert_eq!(programs.attach(&loopback(Role::Uplink)).expect("attaching"), ["uplink_in"]);
        assert_eq!(programs.displaced(1).expect("asking"), []);
    });
}

#[test]
fn where_the_programs_load_kernel_memory_may_be_read() {
    if !harness::available() {
        return;
    }
    let findings = probe();
    let reads = findings.iter().find(|finding| finding.feature == Feature::LockdownAllows);
    assert_eq!(reads.expect("asked").answer, Answer::Yes, "{reads:?}");
}

fn add_an_ingress_qdisc() {
    let tc = Command::new("tc").args(["qdisc", "add", "dev", "lo", "ingress"]).status();
    assert!(tc.expect("running tc").success());
}

fn in_a_namespace(work: impl FnOnce() + Send) {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        work();
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}

fn owner(bpffs: &Path) -> Owner {
    Owner { agent_id: "attach".into(), boot_id: [1; 16], bpffs: bpffs.to_owned() }
}

/// Attaches as planned for a kernel that has just these features to a loopback device, first as a pod's interface,
/// then as an uplink, and takes all off again. Among the hooks must be the one that starts like `hook`.
fn attaches(features: &[Feature], hook: &str) {
    if !harness::available() {
        return;
    }
    let plan = plan(features);
    in_a_namespace(|| {
        let bpffs = tempfile::tempdir().expect("a directory");
        let mut programs =
            Programs::load(&plan, Config::default(), &owner(bpffs.path())).expect("loading");
        for role in [Role::Pod, Role::Uplink] {
            let attached = programs.attach(&loopback(role)).expect("attaching");
            assert_eq!(filters(plan.pod_hook), attached.len(), "{attached:?}");
        }
        let hooks = programs.hooks();
        assert!(hooks.iter().any(|one| one.starts_with(hook)), "{hooks:?}");
        programs.detach(1);
        assert_eq!(filters(plan.pod_hook), 0, "filters are left");
    });
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
        Feature::KprobeDevHardStartXmit,
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

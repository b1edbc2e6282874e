//! Hooks inside a pod that was found through a process, when that process ends and the pod goes on.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    panic,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::Duration,
};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use xcloud::kernel::{
    attach::Programs,
    ifaces::{Interface, LinkLayer, Role},
    pin::Owner,
    podns::PodEnd,
    probe::{Answer, Feature, Finding, Plan},
};
use xcloud_common::config::Config;

use crate::harness;

/// A process in a pod, which ends with the test.
struct Process(Child);

impl Process {
    /// Starts one by a command that becomes `sleep`.
    fn start(command: &[&str]) -> Self {
        let child = Command::new(command[0]).args(&command[1..]).args(["sleep", "600"]).spawn();
        Self(child.expect("a process"))
    }

    fn file(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    /// Its namespace, once that is another than this thread's and not `than` either.
    fn namespace(&self, other: &[u64]) -> u64 {
        for _ in 0..500 {
            let namespace = inode(self.file());
            if !other.contains(&namespace) {
                return namespace;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not move into a namespace of its own");
    }

    fn end(mut self) {
        self.0.kill().expect("killing it");
        self.0.wait().expect("its end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn inode(path: PathBuf) -> u64 {
    fs::metadata(path).expect("a namespace").ino()
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().expect("a shell");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Programs for a kernel with nothing but clsact: filters stay when nobody takes them off.
fn programs() -> Programs {
    let bpffs = tempfile::tempdir().expect("a directory");
    let owner =
        Owner { agent_id: "podns".into(), boot_id: [2; 16], bpffs: bpffs.path().to_owned() };
    let features = [Feature::Clsact, Feature::RawTpNetDevStartXmit];
    let there =
        features.map(|feature| Finding { feature, answer: Answer::Yes, detail: String::new() });
    Programs::load(&Plan::new(&there, true), Config::default(), &owner).expect("loading")
}

/// A node in this thread's own namespace, and a pod in another, hooked inside; the interface's index on the node.
fn hooked(programs: &mut Programs, through: &Process, namespace: u64) -> u32 {
    let pid = through.0.id();
    sh(&format!("ip link add pod0 type veth peer name eth0 netns {pid}; ip link set pod0 up"));
    let index = if_nametoindex("pod0").expect("the interface");
    let interface = Interface {
        index,
        name: "pod0".into(),
        role: Role::Pod,
        link_layer: LinkLayer::Ethernet,
        kind: "veth".into(),
        leaves_by: vec![index],
    };
    let namespace = u32::try_from(namespace).expect("32 bits");
    let end = PodEnd { path: through.file(), namespace, interface: "eth0".into() };
    programs.move_inside(&interface, &end).expect("moving inside");
    index
}

fn filters(pod: &Process) -> usize {
    let pid = pod.0.id();
    let shown = sh(&format!(
        "for way in ingress egress; do nsenter -t {pid} -n tc filter show dev eth0 $way; done"
    ));
    shown.lines().filter(|line| line.contains("handle 0xc0fe")).count()
}

fn in_a_namespace(work: impl FnOnce() + Send) {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        work();
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}

/// On a node of its own, a pod of two processes, hooked by way of the first.
fn in_a_pod_of_two(test: impl FnOnce(Programs, u32, Process, Process) + Send) {
    if !harness::available() {
        return;
    }
    let outside = inode("/proc/self/ns/net".into());
    in_a_namespace(|| {
        let here = inode("/proc/thread-self/ns/net".into());
        let first = Process::start(&["unshare", "-n"]);
        let namespace = first.namespace(&[outside, here]);
        let second = Process::start(&["nsenter", "-t", &first.0.id().to_string(), "-n"]);
        assert_eq!(second.namespace(&[outside, here]), namespace);
        let mut programs = programs();
        let index = hooked(&mut programs, &first, namespace);
        test(programs, index, first, second);
    });
}

#[test]
fn a_pod_outlives_the_process_it_was_found_by() {
    in_a_pod_of_two(|mut programs, index, first, second| {
        assert_eq!(filters(&second), 2);
        first.end();
        assert_eq!(programs.displaced(index).expect("looking into the pod"), []);
        let pid = second.0.id();
        sh(&format!("nsenter -t {pid} -n tc filter del dev eth0 ingress"));
        let displaced = programs.displaced(index).expect("looking into the pod");
        assert_eq!(displaced.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["pod_in_inside"]);
        programs.put_first(index, &["pod_in_inside"]).expect("putting it first");
        assert_eq!(filters(&second), 2);
        programs.detach(index);
        assert_eq!(filters(&second), 0, "filters are left in the pod");
    });
}

#[test]
fn taken_off_after_the_process_it_was_found_by_ended_nothing_stays_in_the_pod() {
    in_a_pod_of_two(|mut programs, index, first, second| {
        first.end();
        programs.detach(index);
        assert_eq!(filters(&second), 0, "filters are left in the pod");
    });
}

#[test]
fn a_namespace_with_the_same_number_that_is_not_the_pods_is_left_alone() {
    if !harness::available() {
        return;
    }
    in_a_namespace(|| {
        let here = u32::try_from(inode("/proc/thread-self/ns/net".into())).expect("32 bits");
        let gone = PathBuf::from("/proc/0/ns/net");
        let mut end = PodEnd { path: gone.clone(), namespace: here, interface: "lo".into() };
        let standing = Process::start(&["env"]);
        assert_eq!(inode(standing.file()), u64::from(here));
        end.follow(7);
        assert_eq!(end.path, gone, "lo is no other end of interface 7");
    });
}

//! What names cost in memory: `cargo bench --bench names`.
//!
//! At an agent, 250 pods on the node, as many as a kubelet runs at most, and then 10 000 that come and go one after the
//! other; at the aggregator, as many paths between nodes as between named workloads.

#[path = "common/limits.rs"]
mod limits;

use std::{net::Ipv4Addr, ops::Range, sync::Arc, time::Duration};

use xcloud::{
    agent::{
        clock::{Pretend, monotonic_ns},
        names::{Learnt, Names as Pods, sources::Source},
    },
    kernel::ifaces::{Event, Interface, LinkLayer, Role},
    measure::{
        Site,
        account::Totals,
        state::{Batch, Names, Opening, State, Stream},
        workload::Workload,
    },
};
use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::{self, Tuple},
};
use xcloud_proto::common::v1::Workload as WireWorkload;

const PODS: u32 = 250;
const CHURN: u32 = 10_000;
/// Names or nodes on each side; each pair is a path.
const ENDS: u32 = 64;
const SECOND_NS: u64 = 1_000_000_000;
const NOW_NS: u64 = 1_700_000_000 * SECOND_NS;

fn main() {
    agent();
    let plain = aggregator(false);
    let named = aggregator(true);
    println!("aggregator: {plain} bytes a path between nodes, {named} between named workloads");
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn agent() {
    let before = resident();
    let names = Pods::new(Pretend::new(0, 0.0, 0)).expect("a clock");
    names.heed(&Event::Changed);
    (0..PODS).for_each(|number| begin(&names, number));
    let all = resident() - before;
    println!("agent: {} KiB for {PODS} pods, {} named", all / 1024, named(&names, 0..PODS));
    for number in PODS..PODS + CHURN {
        let old = number - PODS;
        names.learn(Source::Api, Learnt::Gone(uid(old)));
        names.heed(&Event::Removed(old + 2));
        begin(&names, number);
        assert_eq!(named(&names, number..number + 1), 1, "pod {number}");
    }
    let all = resident() - before;
    let named = named(&names, CHURN..CHURN + PODS);
    println!("agent: {} KiB after {CHURN} more came and went, {named} named", all / 1024);
}

fn uid(number: u32) -> String {
    format!("0b6f3c1e-7a52-4d0a-9c11-{number:012}")
}

/// The address of a pod: of 65 536 the next one.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | (number % 0x1_0000))
}

fn begin(names: &Pods, number: u32) {
    let index = number + 2;
    names.heed(&Event::Added(Interface {
        index,
        name: format!("veth{index:08x}"),
        role: Role::Pod,
        link_layer: LinkLayer::Ethernet,
        kind: "veth".into(),
        leaves_by: vec![index],
    }));
    let name = format!("checkout-{}", number / 10);
    let workload = WireWorkload {
        namespace: "production-shop".into(),
        kind: "Deployment".into(),
        pod: format!("{name}-5f6d8c7b9d-{number:05}"),
        name,
    };
    names.learn(
        Source::Api,
        Learnt::Pod {
            uid: uid(number),
            created: number.into(),
            addresses: vec![address(number).into()],
            ending: false,
            ran_ago: Some(Duration::ZERO),
            workload: Arc::new(workload),
        },
    );
}

/// How many of these pods are named by a packet of now.
fn named(names: &Pods, pods: Range<u32>) -> usize {
    let first_ns = monotonic_ns().expect("a clock");
    let mut samples: Vec<_> = pods
        .map(|number| {
            let local = slot::address(address(number).to_ipv6_mapped().octets());
            let tuple = Tuple { local, ..Tuple::default() };
            Sample { pod_ifindex: number + 2, tuple, first_ns, ..sample(number) }
        })
        .collect();
    names.name(&mut samples).iter().filter(|one| one.workload.is_some()).count()
}

fn sample(end_seq: u32) -> Sample {
    let first_ns = 99 * SECOND_NS;
    Sample {
        first_ns,
        second_ns: first_ns + 40_000,
        third_ns: first_ns + 40_040_000,
        last_ns: first_ns + 40_080_000,
        queue_ns: first_ns + 10_000,
        end_seq,
        tsval: end_seq,
        answer: end_seq,
        pod_ifindex: 1,
        uplink_ifindex: 2,
        tuple: Tuple {
            local: [0, 0, 0xffff, 1],
            remote: [0, 0, 0xffff, 2],
            local_port: 40_000,
            remote_port: 80,
        },
        kinds: kind::ACK,
        flags: 0,
        shift: 0,
    }
}

/// Bytes of a path, of as many as there are pairs of ends; these are nodes, or workloads on two nodes.
fn aggregator(named: bool) -> u64 {
    let before = resident();
    let mut state = State::new(limits::limits());
    let nodes = if named { 1 } else { ENDS };
    let mut side = |side: &str| -> Vec<Sender> {
        (0..nodes).map(|node| Sender::new(&mut state, format!("{side}-{node}"))).collect()
    };
    let (mut near, mut far) = (side("near"), side("far"));
    for pair in 0..ENDS * ENDS {
        let (a, b) = (pair / ENDS, pair % ENDS);
        let ends = [(&mut near, a, 0), (&mut far, b, flag::FAR)];
        for (senders, end, flags) in ends {
            let sender = &mut senders[(end % nodes) as usize];
            sender.bring(&mut state, Sample { flags, ..sample(pair) }, named.then_some(end));
        }
    }
    let joined = state.join_counts().joined;
    assert_eq!(joined, u64::from(ENDS * ENDS), "each pair of ends is a path");
    (resident() - before) / joined
}

struct Sender {
    stream: Stream,
    sequence: u64,
}

impl Sender {
    fn new(state: &mut State, name: String) -> Self {
        let opening = Opening {
            site: Site { node: name.clone(), ..Site::default() },
            name,
            boot: [1; 16],
            version: String::new(),
            kernel_release: String::new(),
            hooks: Vec::new(),
            first_sequence: 1,
            predecessor: None,
        };
        let (stream, _) = state.open(NOW_NS, opening).expect("room");
        Self { stream, sequence: 0 }
    }

    fn bring(&mut self, state: &mut State, sample: Sample, workload: Option<u32>) {
        let workload = workload.map(|number| Workload {
            namespace: "production-shop".into(),
            kind: "Deployment".into(),
            name: format!("checkout-{number}"),
            pod: format!("checkout-{number}-5f6d8c7b9d-x2x7k"),
        });
        let names = Names {
            of_samples: workload.iter().map(|_| 1).collect(),
            workloads: workload.into_iter().collect(),
        };
        let sent_before = self.sequence;
        self.sequence += 1;
        let batch = Batch {
            sequence: self.sequence,
            sent_monotonic_ns: 100 * SECOND_NS,
            sent_before,
            totals: Totals { emitted: self.sequence, ..Totals::default() },
            samples: vec![sample],
            names,
        };
        state.take(NOW_NS, &self.stream, &batch, &mut |_| {}).expect("an honest batch");
    }
}

//! What a packet pays at each hook, over an empty program: `cargo xtask bench kernel`.
//!
//! Every call is one `BPF_PROG_TEST_RUN` with a packet of new sequence numbers and TSval, and caches are as a system
//! call leaves them. A hook gets its packets in bursts of 64 exchanges, as a driver hands them over. Rounds of all cases
//! are interleaved; a case's figure is the median over rounds of (its mean - the empty program's mean) with the range
//! that holds the middle 95 % of bootstrap medians.
//!
//! Where a sampled packet is the first to touch a slot, what it costs depends on where the slot is. Such cases are
//! measured twice: over a 32nd of the table, which stays in the caches, and over the whole of it, with other data in the caches.

#[path = "../tests/kernel/craft.rs"]
mod craft;
#[path = "../tests/kernel/harness.rs"]
mod harness;
#[path = "../tests/kernel/raw.rs"]
mod raw;

use std::{hint::black_box, time::Instant};

use craft::{DATA, Segment};
use harness::Kernel;
use xcloud::kernel::object::Extras;
use xcloud_common::{
    config::{Config, Tunnels},
    identity,
    slot::SLOTS,
};

const ROUNDS: usize = 60;
const CALLS: u32 = 448;
/// Packets that come to a hook one after the other, as a driver hands them over; NAPI's weight is 64.
const BURST: u32 = 64;
/// Bursts before the timed ones, which bring the hook and what it works on into the caches.
const WARM_UP: u32 = 8;

/// A hook, a kind of packet, and the budget for it.
struct Case {
    name: &'static str,
    hook: &'static str,
    budget_ns: u32,
    /// Untimed programs before the timed one, with the same exchange.
    before: &'static [(&'static str, Which)],
    packet: Which,
    /// Whether the exchange is one that sampling selects.
    selected: bool,
    ipv6: bool,
    /// The exchanges' slots are the table's first so many.
    slots: u32,
    /// Which programs.
    kernel: usize,
}

/// As they are where nothing is asked for.
const PLAIN: usize = 0;
/// Carriers are about that hide what they carry, so that buffers are kept in mind.
const HIDDEN: usize = 1;
/// What leaves is accounted for.
const ACCOUNT: usize = 2;

/// Where the design sets none.
const NO_BUDGET: u32 = u32::MAX;

/// Slots that stay in the caches: 64 KiB.
const FEW: u32 = SLOTS / 32;

#[derive(Clone, Copy, PartialEq)]
enum Which {
    Data,
    Ack,
    Udp,
    /// Data in VXLAN.
    Carried,
    /// WireGuard's data, in which nothing can be seen.
    Encrypted,
}

use Which::{Ack, Carried, Data, Encrypted, Udp};

const fn case(name: &'static str, hook: &'static str, budget_ns: u32, packet: Which) -> Case {
    Case {
        name,
        hook,
        budget_ns,
        before: &[],
        packet,
        selected: false,
        ipv6: false,
        slots: FEW,
        kernel: PLAIN,
    }
}

fn cases() -> Vec<Case> {
    let six = |case| Case { ipv6: true, ..case };
    let sampled = |case: Case, before| Case { selected: true, before, ..case };
    let first = |case: Case| Case { slots: SLOTS, ..sampled(case, &[]) };
    let hidden = |case| Case { kernel: HIDDEN, ..case };
    let account = |case| Case { kernel: ACCOUNT, ..case };
    let opened: &[_] = &[("pod_out", Data)];
    let left: &[_] = &[("pod_out", Data), ("uplink_out", Data)];
    let back: &[_] = &[("pod_out", Data), ("uplink_out", Data), ("uplink_in", Ack)];
    vec![
        case("UDP", "pod_out", 25, Udp),
        case("unsampled data", "pod_out", 25, Data),
        six(case("unsampled data, IPv6", "pod_out", 25, Data)),
        case("unsampled data", "uplink_queue", 25, Data),
        case("unsampled data", "uplink_out", 25, Data),
        case("unsampled ACK", "uplink_in", 25, Ack),
        case("unsampled ACK", "pod_in", 25, Ack),
        sampled(case("sampled data, opens", "pod_out", 80, Data), &[]),
        six(sampled(case("sampled data, opens, IPv6", "pod_out", 80, Data), &[])),
        sampled(case("sampled data", "uplink_queue", 80, Data), opened),
        sampled(case("sampled data", "uplink_out", 80, Data), opened),
        sampled(case("sampled ACK, hit", "uplink_in", 80, Ack), left),
        sampled(case("sampled ACK, miss", "uplink_in", 80, Ack), &[]),
        sampled(case("sampled ACK, hit, emits", "pod_in", 110, Ack), back),
        sampled(case("sampled ACK, miss", "pod_in", 80, Ack), &[]),
        case("unsampled data in VXLAN", "uplink_in", NO_BUDGET, Carried),
        sampled(case("sampled data in VXLAN, opens", "uplink_in", NO_BUDGET, Carried), &[]),
        hidden(case("WireGuard", "uplink_in", NO_BUDGET, Encrypted)),
        hidden(sampled(case("opens, WireGuard about", "pod_out", NO_BUDGET, Data), &[])),
        hidden(sampled(case("emits, WireGuard about", "pod_in", NO_BUDGET, Ack), back)),
        account(case("unsampled data, account", "uplink_out", NO_BUDGET, Data)),
        account(six(case("unsampled data, IPv6, account", "uplink_out", NO_BUDGET, Data))),
        account(case("UDP, account", "uplink_out", NO_BUDGET, Udp)),
        account(case("data in VXLAN, account", "uplink_out", NO_BUDGET, Carried)),
        first(case("opens, slot not in cache", "pod_out", 80, Data)),
        first(case("miss, slot not in cache", "uplink_in", 80, Ack)),
    ]
}

/// Sequence numbers never used before, on the wanted side of the sampling decision.
struct Fresh {
    seq: u32,
}

impl Fresh {
    /// A segment whose end is selected or not and has its slot where wanted, and whose own acknowledgement number is
    /// not selected.
    fn next(&mut self, case: &Case) -> Segment {
        let chosen = |seq| identity::selected(identity::hash(seq), SHIFT);
        let in_place = |seq| identity::hash(seq) & (SLOTS - 1) < case.slots;
        loop {
            self.seq = self.seq.wrapping_add(1_448);
            let segment = Segment {
                seq: self.seq,
                ack: self.seq ^ 0x5555_0000,
                tsval: self.seq / 7,
                ipv6: case.ipv6,
                ..DATA
            };
            let end = segment.end();
            if chosen(end) == case.selected && in_place(end) && !chosen(segment.ack) {
                return segment;
            }
        }
    }
}

/// One exchange in eight is selected, so that both sorts are quickly found.
const SHIFT: u32 = 3;

fn frame(which: Which, data: Segment) -> Vec<u8> {
    match which {
        Data => data.frame(),
        Ack => data.answered().frame(),
        Udp => craft::udp(),
        Carried => craft::vxlan(&data.frame()),
        Encrypted => craft::in_udp(51_820, &[4, 0, 0, 0, 7, 7, 7, 7], &[0x5a; 100]),
    }
}

fn mean_ns(kernel: &mut Kernel, case: &Case, fresh: &mut Fresh, memory: &Memory) -> f64 {
    let mut times = Vec::new();
    for round in 0..WARM_UP + CALLS / BURST {
        let burst: Vec<Segment> = (0..BURST).map(|_| fresh.next(case)).collect();
        for (hook, which) in case.before {
            for data in &burst {
                kernel.time(hook, &frame(*which, *data));
            }
        }
        let packets: Vec<_> = burst.iter().map(|data| frame(case.packet, *data)).collect();
        if case.slots == SLOTS {
            memory.evict();
        }
        let burst = packets.iter().map(|packet| kernel.time(case.hook, packet));
        times.extend(burst.filter(|_| round >= WARM_UP));
    }
    kernel.samples();
    trimmed(&mut times)
}

/// Mean without the highest 5 %, which are interrupts.
fn trimmed(times: &mut [u32]) -> f64 {
    times.sort_unstable();
    let kept = &times[..times.len() * 95 / 100];
    kept.iter().map(|&time| f64::from(time)).sum::<f64>() / kept.len() as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Middle 95 % of the medians of resampled rounds.
fn interval(values: &[f64], random: &mut u64) -> (f64, f64) {
    let mut draw = || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*random >> 33) as usize % values.len()
    };
    let mut medians: Vec<f64> = (0..1000)
        .map(|_| median(&mut (0..values.len()).map(|_| values[draw()]).collect::<Vec<_>>()))
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    (medians[25], medians[975])
}

/// 64 MiB, each word of which says where to read next.
struct Memory(Vec<usize>);

impl Memory {
    fn new() -> Self {
        const WORDS: usize = 8 << 20;
        // One cycle through all words (Hull and Dobell), whose steps no prefetcher foresees.
        Self((0..WORDS).map(|word| (word.wrapping_mul(5_637_605) + 1_234_567) % WORDS).collect())
    }

    /// What a read costs that no cache answers.
    fn read_ns(&self) -> f64 {
        const READS: u32 = 1 << 20;
        let start = Instant::now();
        black_box((0..READS).fold(0, |at, _| self.0[at]));
        start.elapsed().as_nanos() as f64 / f64::from(READS)
    }

    /// Fills the caches with other things: 16 MiB of them.
    fn evict(&self) {
        black_box(self.0[..2 << 20].iter().step_by(8).fold(0, |sum, word| sum ^ word));
    }
}

fn main() {
    if !harness::available() {
        return;
    }
    let accounting = Kernel::load_for(Extras { account: true, ..Extras::default() });
    let mut kernels = [Kernel::load(), Kernel::load(), accounting];
    let tunnels = Tunnels { vxlan: [craft::VXLAN_PORT, 0, 0, 0], ..Tunnels::default() };
    for kernel in &mut kernels {
        kernel.configure(Config { shift: SHIFT, tunnels, ..Config::default() });
    }
    kernels[HIDDEN].run("uplink_in", &frame(Encrypted, DATA));
    let empty = raw::Program::empty();
    let cases = cases();
    let mut fresh = Fresh { seq: 1 };
    let memory = Memory::new();
    let mut over = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, over) in cases.iter().zip(&mut over) {
            let packet = frame(case.packet, fresh.next(case));
            let mut times: Vec<u32> = (0..CALLS).map(|_| empty.run(&packet)).collect();
            let kernel = &mut kernels[case.kernel];
            over.push(mean_ns(kernel, case, &mut fresh, &memory) - trimmed(&mut times));
        }
    }
    let stats = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").unwrap_or_default();
    println!("bpf_stats_enabled: {}; {ROUNDS} rounds of {CALLS} calls", stats.trim());
    println!("one read of memory that no cache answers: {:.0} ns", memory.read_ns());
    println!("{:<14} {:<28} {:>6}  {:>15}  budget", "hook", "packet", "ns", "95 %");
    let mut random = 1;
    for (case, over) in cases.iter().zip(&mut over) {
        let (low, high) = interval(over, &mut random);
        let ns = median(over);
        let verdict = if ns <= f64::from(case.budget_ns) { "" } else { "  OVER" };
        let budget =
            if case.budget_ns == NO_BUDGET { "-".into() } else { case.budget_ns.to_string() };
        println!(
            "{:<14} {:<28} {ns:>6.1}  {low:>6.1} .. {high:>5.1}  {budget}{verdict}",
            case.hook, case.name
        );
    }
}

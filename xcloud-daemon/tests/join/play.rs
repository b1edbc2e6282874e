//! Plays a scenario: true times become stamps of each agent's clock, stamps become batches, batches go to the state.

use std::collections::BTreeMap;

use xcloud::measure::{
    Kind, Segment, Site,
    account::Totals,
    cell::Cell,
    join,
    state::{Batch, Limits, Names, Opening, State, Stream},
    store::{self, Range},
    workload::Keep,
};
use xcloud_common::{
    sample::{Sample, flag},
    slot::{Tuple, address},
};

use crate::scenario::{Agent, Batch as Sending, Exchanges, Path, Scenario};

/// When the story begins, by the true clock and the aggregator's, in nanoseconds since 1970.
const BEGIN_NS: u64 = 1_000_000_000_000_000_000;
/// What agents' monotonic clocks show then, but for how far they are ahead.
const UPTIME_NS: u64 = 100_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What an agent remembers between batches.
struct Sender<'a> {
    agent: &'a Agent,
    boot: u8,
    sequence: u64,
    sent: u64,
    stream: Option<Stream>,
}

pub(crate) fn play(scenario: &Scenario) {
    let mut state = State::new(Limits {
        join: join::Limits { window_ns: 10 * SECOND_NS, capacity: scenario.join_capacity },
        store: store::Limits {
            interval_ns: 10 * SECOND_NS,
            retention_ns: 3600 * SECOND_NS,
            max_paths: 100,
            max_bytes: usize::MAX,
            keep: Keep::Workload,
        },
        max_agents: 10,
    });
    let mut senders: BTreeMap<_, _> = scenario
        .agents
        .iter()
        .map(|agent| {
            (&agent.name[..], Sender { agent, boot: 1, sequence: 0, sent: 0, stream: None })
        })
        .collect();
    for sending in &scenario.batches {
        state.tick(BEGIN_NS + sending.at);
        let sender = senders.get_mut(&sending.agent[..]).expect("a batch of a known agent");
        send(&mut state, scenario, sending, sender);
        assert_balanced(&state);
    }
    state.tick(BEGIN_NS + scenario.ends);
    assert_balanced(&state);
    assert_join(&state, &scenario.expect.join);
    assert_paths(&state, &scenario.expect.paths);
}

fn send(state: &mut State, scenario: &Scenario, sending: &Sending, sender: &mut Sender<'_>) {
    if sending.restarted {
        *sender = Sender { boot: sender.boot + 1, sequence: 0, sent: 0, stream: None, ..*sender };
    }
    let now = BEGIN_NS + sending.at;
    let stream = *sender.stream.get_or_insert_with(|| {
        state.open(now, opening(sender.agent, sender.boot)).expect("a hello").0
    });
    let mut samples: Vec<_> = sending
        .carries
        .iter()
        .flat_map(|name| {
            let all = scenario.exchanges.iter().position(|one| one.name == *name);
            let index = all.expect("known exchanges");
            ends(&scenario.exchanges[index], index, sender.agent)
        })
        .collect();
    if sending.reversed {
        samples.reverse();
    }
    let observations: u64 = samples.iter().map(Sample::observations).sum();
    sender.sequence += 1;
    let batch = Batch {
        sequence: sender.sequence,
        sent_monotonic_ns: clock(sender.agent, sending.at),
        sent_before: sender.sent,
        totals: Totals { emitted: sender.sent + observations, ..Totals::default() },
        samples,
        names: Names::default(),
    };
    sender.sent += observations;
    for _ in 0..sending.times {
        let acked = state.take(now, &stream, &batch, &mut |_| {}).expect("an honest batch");
        assert_eq!(acked, sender.sequence);
    }
}

fn opening(agent: &Agent, boot: u8) -> Opening {
    Opening {
        name: agent.name.clone(),
        boot: [boot; 16],
        site: site(&agent.name),
        version: String::new(),
        kernel_release: String::new(),
        hooks: Vec::new(),
        first_sequence: 1,
        predecessor: None,
    }
}

fn site(name: &str) -> Site {
    let (cloud, node) = name.split_once('-').expect("a name like CLOUD-NODE");
    Site { cloud: cloud.into(), node: node.into(), ..Site::default() }
}

/// What an agent's clock shows at a true time.
fn clock(agent: &Agent, at: u64) -> u64 {
    let drift = at.cast_signed() * agent.clock_ppm / 1_000_000;
    (UPTIME_NS + agent.clock_ahead + at).strict_add_signed(drift)
}

/// One agent's ends of exchanges.
fn ends<'a>(
    exchanges: &'a Exchanges,
    index: usize,
    agent: &'a Agent,
) -> impl Iterator<Item = Sample> + 'a {
    let far = agent.name == exchanges.far;
    assert!(far || agent.name == exchanges.near, "{} has no end of these", agent.name);
    (0..exchanges.count).map(move |number| end(exchanges, index, number, agent, far))
}

fn end(exchanges: &Exchanges, index: usize, number: u32, agent: &Agent, far: bool) -> Sample {
    let takes = |segment: &str| exchanges.takes.get(segment).map_or(0, |time| time.0);
    let seen = |hook: &str| !exchanges.unseen.iter().any(|unseen| unseen == hook);
    let t1 = u64::from(number) * 1_000_000 + 1;
    let t2 = t1 + takes("near_cni_egress") + takes("near_queue");
    let t3 = t2 + takes("wan") / 2;
    let t4 = t3 + takes("far_cni_ingress");
    let t5 = t4 + takes("far_pod");
    let t6 = t5 + takes("far_cni_egress") + takes("far_queue");
    let t7 = t6 + takes("wan") - takes("wan") / 2;
    let t8 = t7 + takes("near_cni_ingress");
    let (times, hooks, queue) = if far {
        ([t3, t4, t5, t6], ["far_in", "far_out", "far_queue"], t6 - takes("far_queue"))
    } else {
        ([t1, t2, t7, t8], ["near_out", "near_in", "near_queue"], t2 - takes("near_queue"))
    };
    let stamp = |at: u64, hook: &str| if seen(hook) { clock(agent, at) } else { 0 };
    let first = u32::try_from(index).expect("few") * 100_000;
    let end_seq = exchanges.first_end.unwrap_or(first) + number;
    let resent = if exchanges.copy.is_some() { flag::RESENT } else { 0 };
    Sample {
        first_ns: clock(agent, times[0]),
        second_ns: stamp(times[1], hooks[0]),
        third_ns: stamp(times[2], hooks[1]),
        last_ns: clock(agent, times[3]),
        queue_ns: if seen(hooks[0]) || far { stamp(queue, hooks[2]) } else { 0 },
        end_seq,
        tsval: exchanges.copy.unwrap_or(1),
        answer: end_seq ^ u32::from(exchanges.first_answer_lost && !far),
        pod_ifindex: 1,
        uplink_ifindex: 2,
        tuple: tuple(exchanges, far),
        kinds: kinds(exchanges),
        flags: if far { flag::FAR | resent } else { resent },
        shift: 0,
    }
}

fn tuple(exchanges: &Exchanges, far: bool) -> Tuple {
    let place = |name: &str| address([name.as_bytes()[0]; 16]);
    let (near, nat) = (place(&exchanges.near), address([99; 16]));
    if far {
        let remote = if exchanges.nat { nat } else { near };
        Tuple { local: place(&exchanges.far), remote, local_port: 80, remote_port: 40_000 }
    } else {
        let remote = place(&exchanges.far);
        Tuple { local: near, remote, local_port: 40_000, remote_port: 80 }
    }
}

fn kinds(exchanges: &Exchanges) -> u8 {
    let bit = |name: &String| Kind::ALL.iter().find(|(.., one)| one == name).expect("a kind").1;
    exchanges.kinds.iter().map(bit).fold(0, |all, bit| all | bit)
}

fn assert_balanced(state: &State) {
    for agent in state.agents() {
        assert!(agent.account().balances(), "{}: {:?}", agent.name, agent.account());
    }
    let (account, counts) = (state.account(), state.join_counts());
    assert!(account.balances(), "{account:?}");
    assert_eq!((account.delivered, account.pending), (2 * counts.joined, counts.waiting));
}

fn assert_join(state: &State, expect: &BTreeMap<String, u64>) {
    let counts = state.join_counts();
    let seen = [
        ("received", counts.received),
        ("joined", counts.joined),
        ("near_alone", counts.near_alone),
        ("far_alone", counts.far_alone),
        ("other_answer", counts.other_answer),
        ("table_full", counts.table_full),
        ("ambiguous", counts.ambiguous),
        ("waiting", counts.waiting),
    ];
    let seen: BTreeMap<String, u64> = seen
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.into(), count))
        .collect();
    assert_eq!(&seen, expect);
}

fn assert_paths(state: &State, expect: &[Path]) {
    let store = state.store();
    let everything = Range { start_ns: 0, end_ns: u64::MAX };
    let (_, seen) = store.query(everything, |path| {
        let name = |id| format!("{}-{}", store.site(id).cloud, store.site(id).node);
        Some((name(path.near), path.far.map(name), path.kind.name().to_owned()))
    });
    let key = |path: &Path| (path.near.clone(), path.far.clone(), path.kind.clone());
    let mut wanted: Vec<_> = expect.iter().map(key).collect();
    wanted.sort();
    assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), wanted);
    for path in expect {
        assert_path(path, &seen[&key(path)]);
    }
}

fn assert_path(path: &Path, cell: &Cell) {
    let counts = &cell.counts;
    let missed = counts.at_both() - counts.recorded;
    assert_eq!((counts.recorded, missed), (path.recorded, path.missed), "{path:?}");
    let means: BTreeMap<_, _> =
        cell.segments().map(|(segment, times)| (segment.name(), times.mean_ns())).collect();
    let wanted: Vec<_> = path.means.keys().map(String::as_str).collect();
    assert_eq!(means.keys().copied().collect::<Vec<_>>(), wanted, "{path:?}");
    for (name, mean) in means {
        let off = mean.abs_diff(path.means[name].0);
        assert!(off <= path.within, "{name} is {mean} ns, off by {off}: {path:?}");
    }
    if let Some(tail) = cell.tail(0.99) {
        let unknown = tail.unattributed_ns.unsigned_abs();
        assert!(unknown.abs_diff(path.unknown) <= path.within, "{unknown} ns unknown: {path:?}");
        let parts: i64 = tail.segments().map(|(_, ns)| ns).sum();
        assert_eq!(parts + tail.unattributed_ns, tail.total_ns.cast_signed());
        assert!(tail.segments().all(|(one, _)| one != Segment::BeyondUplink || path.far.is_none()));
    }
}

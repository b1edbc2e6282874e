use xcloud_common::sample::flag;

use super::{
    super::{split::tests::stamped, workload::Keep},
    *,
};
use crate::sites::Sites;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000_000 * SECOND;
const SENT: u64 = 5_000 * SECOND;

fn state(max_paths: usize) -> State {
    State::new(Limits {
        join: join::Limits { window_ns: 10 * SECOND, capacity: 100 },
        store: store::Limits {
            interval_ns: 10 * SECOND,
            retention_ns: 100 * SECOND,
            max_paths,
            max_bytes: usize::MAX,
            keep: Keep::Workload,
        },
        max_agents: 2,
    })
}

fn opening(name: &str, boot: u8) -> Opening {
    Opening {
        name: name.into(),
        boot: [boot; 16],
        site: Site { node: name.into(), ..Site::default() },
        version: String::new(),
        kernel_release: String::new(),
        hooks: Vec::new(),
        first_sequence: 1,
        predecessor: None,
    }
}

fn batch(sequence: u64, sent_before: u64, samples: Vec<Sample>) -> Batch {
    let emitted = sent_before + samples.len() as u64;
    let totals = Totals { emitted, ..Totals::default() };
    Batch {
        sequence,
        sent_monotonic_ns: SENT,
        sent_before,
        totals,
        samples,
        names: Names::default(),
    }
}

fn end(flags: u8, end_seq: u32) -> Sample {
    let stamps = [40, 30, 20, 10].map(|back| SENT - back);
    Sample { end_seq, ..stamped(flags, stamps, 0) }
}

fn take(state: &mut State, now: u64, stream: &Stream, batch: &Batch) -> Result<u64, Refusal> {
    let taken = state.take(now, stream, batch, &mut |_| {});
    assert!(state.account().balances(), "{:?}", state.account());
    taken
}

#[test]
fn an_exchange_on_a_path_too_many_is_lost_by_the_store() {
    let mut state = state(1);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let (gcp, _) = state.open(NOW, opening("gcp", 1)).expect("room");
    take(&mut state, NOW, &aws, &batch(1, 0, vec![end(0, 1), end(flag::FAR, 2)])).expect("taken");
    take(&mut state, NOW, &gcp, &batch(1, 0, vec![end(flag::FAR, 1), end(0, 2)])).expect("taken");
    let account = state.account();
    assert_eq!((account.delivered, account.store, account.pending), (2, 2, 0));
}

#[test]
fn an_exchange_is_dated_by_its_age_not_by_the_agents_clock() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let mut old = batch(1, 0, vec![end(0, 1)]);
    old.sent_monotonic_ns += 50 * SECOND;
    take(&mut state, NOW, &aws, &old).expect("taken");
    state.tick(NOW + 10 * SECOND);
    assert_eq!(state.store().oldest_ns(), Some(NOW - 60 * SECOND));
}

#[test]
fn a_silent_agent_makes_room_and_its_account_stays() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    take(&mut state, NOW, &aws, &batch(1, 0, vec![end(0, 1)])).expect("taken");
    state.open(NOW, opening("gcp", 1)).expect("room");
    state.close(&aws);
    assert!(matches!(state.open(NOW, opening("new", 1)), Err(Refusal::Full(_))), "not silent yet");
    let later = NOW + 200 * SECOND;
    state.tick(later);
    state.open(later, opening("new", 1)).expect("room made");
    assert_eq!(
        state.agents().iter().map(|agent| &agent.name[..]).collect::<Vec<_>>(),
        ["gcp", "new"]
    );
    assert_eq!((state.account().emitted, state.account().join), (1, 1));
}

#[test]
fn batches_of_a_stream_that_was_replaced_are_refused() {
    let mut state = state(10);
    let (older, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let (newer, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let one = batch(1, 0, vec![end(0, 1)]);
    assert!(matches!(take(&mut state, NOW, &older, &one), Err(Refusal::Superseded(_))));
    state.close(&older);
    assert!(state.agents()[0].connected, "the newer stream is open");
    assert_eq!(take(&mut state, NOW, &newer, &one), Ok(1));
}

#[test]
fn what_the_far_node_selects_less_of_is_no_loss_of_the_path() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let (gcp, _) = state.open(NOW, opening("gcp", 1)).expect("room");
    let far = Sample { shift: 16, ..end(flag::FAR, 1) };
    take(&mut state, NOW, &gcp, &batch(1, 0, vec![far])).expect("taken");
    take(&mut state, NOW, &aws, &batch(1, 0, vec![end(0, 1), end(0, 2)])).expect("taken");
    state.tick(NOW + 20 * SECOND);
    let range = store::Range { start_ns: 0, end_ns: u64::MAX };
    let (_, paths) = state.store().query(range, |path| Some(*path));
    let counts: Vec<_> = paths.values().map(|cell| cell.counts).collect();
    let [counts] = counts[..] else { panic!("one path") };
    assert_eq!((counts.recorded, counts.thinned, counts.near_alone), (1, 1, 0));
    assert_eq!(counts.stands_for, 1 << 16);
}

fn toward(state: &mut State, stream: &Stream, sequence: u64, remote: [u8; 4]) -> Vec<String> {
    let octets = std::net::Ipv4Addr::from(remote).to_ipv6_mapped().octets();
    let mut sample = end(0, u32::try_from(sequence).expect("small"));
    sample.tuple.remote = xcloud_common::slot::address(octets);
    take(state, NOW, stream, &batch(sequence, sequence - 1, vec![sample])).expect("taken");
    state.tick(NOW + 20 * SECOND);
    let range = store::Range { start_ns: 0, end_ns: u64::MAX };
    let (_, paths) = state.store().query(range, |path| Some((path.far, path.toward)));
    let site = |id: &Option<u32>| {
        let site = id.map(|id| state.store().site(id));
        site.map_or_else(|| "unknown".into(), |site| format!("{}/{}", site.cloud, site.node))
    };
    paths.keys().filter(|(far, _)| far.is_none()).map(|(_, toward)| site(toward)).collect()
}

#[test]
fn where_data_went_that_no_far_node_saw_is_told_by_the_table_and_by_agents() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let (gcp, _) = state.open(NOW, opening("gcp", 1)).expect("room");
    assert_eq!(toward(&mut state, &aws, 1, [203, 0, 113, 1]), ["unknown"]);
    let address = |text: [u8; 4]| {
        let octets = std::net::Ipv4Addr::from(text).to_ipv6_mapped().octets();
        xcloud_common::slot::address(octets)
    };
    state.tell(&gcp, vec![], vec![], vec![address([203, 0, 113, 1]), address([10, 0, 0, 1])]);
    assert_eq!(toward(&mut state, &aws, 2, [203, 0, 113, 1]), ["unknown", "/gcp"]);
    assert_eq!(toward(&mut state, &aws, 3, [10, 0, 0, 1]), ["unknown", "/gcp"], "private");
    let table = "cidr,site,name\n203.0.113.0/24,azure/eastus,partner\n";
    state.set_sites(Sites::parse(table).expect("sites"));
    let all = toward(&mut state, &aws, 4, [203, 0, 113, 1]);
    assert_eq!(all, ["unknown", "/gcp", "azure/partner"], "the operator's word counts more");
}

#[test]
fn names_that_find_no_room_are_counted() {
    let mut state = state(1);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let workload = |name: &str| Workload { name: name.into(), ..Workload::default() };
    let names =
        Names { workloads: vec![workload("cart"), workload("pay")], of_samples: vec![1, 2, 0] };
    let samples = vec![end(0, 1), end(0, 2), end(0, 3)];
    take(&mut state, NOW, &aws, &Batch { names, ..batch(1, 0, samples) }).expect("taken");
    assert_eq!((state.unnamed(), state.store().workloads.len()), (1, 1));
}

#[test]
fn names_of_data_that_is_forgotten_are_forgotten_too() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    let workloads = vec![Workload { name: "cart".into(), ..Workload::default() }];
    let names = Names { workloads, of_samples: vec![1] };
    take(&mut state, NOW, &aws, &Batch { names, ..batch(1, 0, vec![end(0, 1)]) }).expect("taken");
    state.tick(NOW + 20 * SECOND);
    assert_eq!(state.store().workloads.len(), 1);
    state.tick(NOW + 1_000 * SECOND);
    assert_eq!(state.store().workloads.len(), 0);
}

#[test]
fn a_site_that_is_known_is_let_in_however_many_there_are() {
    let mut state = state(10);
    let at = |name: &str, zone: usize| Opening {
        site: Site { zone: zone.to_string(), ..Site::default() },
        ..opening(name, 1)
    };
    // Data of each is kept, so none can be forgotten.
    for zone in 0..8 {
        let (stream, _) = state.open(NOW, at("aws", zone)).expect("room");
        let sequence = zone as u64 + 1;
        let sample = end(0, u32::try_from(zone).expect("few"));
        take(&mut state, NOW, &stream, &batch(sequence, zone as u64, vec![sample])).expect("taken");
        state.tick(NOW + 20 * SECOND);
    }
    assert!(matches!(state.open(NOW, at("aws", 8)), Err(Refusal::Full(_))), "one too many");
    state.open(NOW, at("aws", 3)).expect("it is known");
    state.open(NOW, at("gcp", 7)).expect("it is known too");
}

#[test]
fn sites_that_nothing_bears_make_room_for_others() {
    let mut state = state(10);
    for node in 0..100 {
        let site = Site { node: node.to_string(), ..Site::default() };
        state.open(NOW, Opening { site, ..opening("aws", 1) }).expect("room");
    }
    assert!(state.store().sites() <= 8);
    let agent = state.agents()[0].identity.site;
    assert_eq!(state.store().site(agent).node, "99");
}

#[test]
fn sites_of_tables_take_no_agents_room_and_go_with_their_table() {
    let mut state = state(10);
    for round in 0..20 {
        let lines = (0..50).map(|n| format!("10.0.{n}.0/24,aws/r{round},n{n}\n"));
        let table = format!("cidr,site,name\n{}", lines.collect::<String>());
        state.set_sites(Sites::parse(&table).expect("sites"));
        state.set_ranges(1, Sites::parse(&table).expect("sites"));
    }
    assert_eq!(state.store().sites(), 50);
    state.open(NOW, opening("aws", 1)).expect("room");
    let address = xcloud_common::slot::address(
        std::net::Ipv4Addr::new(10, 0, 7, 1).to_ipv6_mapped().octets(),
    );
    let site = state.places.by_table(address).expect("it is in the table");
    assert_eq!(state.store().site(site).node, "n7");
}

#[test]
fn whom_an_opening_made_forget_is_told_once() {
    let mut state = state(10);
    let (aws, _) = state.open(NOW, opening("aws", 1)).expect("room");
    state.open(NOW, opening("gcp", 1)).expect("room");
    assert_eq!(state.take_forgotten(), None);
    state.close(&aws);
    state.open(NOW + 200 * SECOND, opening("new", 1)).expect("room made");
    assert_eq!((state.take_forgotten(), state.take_forgotten()), (Some(aws.agent), None));
}

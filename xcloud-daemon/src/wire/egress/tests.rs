use proptest::prelude::*;
use xcloud_common::egress::{Key, Kind, Sums as Counted};

use super::{super::outbox, *};
use crate::measure::{join, state::Limits, state::Opening, store, tier::Tier, workload::Keep};

fn row(peer: u8) -> EgressRow {
    EgressRow {
        uplink: "eth0".into(),
        interface: "veth1".into(),
        from_pod: true,
        source: vec![10, 0, 0, 1],
        destination: vec![10, 9, 0, peer],
        kind: EgressKind::Plain.into(),
        sums: None,
    }
}

fn sums(bytes: u64) -> EgressSums {
    EgressSums { wire_bytes: bytes, packets: bytes / 10, payload_bytes: bytes / 2 }
}

fn told(rows: &[(u8, u64)], totals: u64) -> Message {
    let rows =
        rows.iter().map(|(peer, bytes)| EgressRow { sums: Some(sums(*bytes)), ..row(*peer) });
    Message {
        counted_for_ns: 1_000,
        rows: rows.collect(),
        totals: Some(sums(totals)),
        addresses: vec![vec![192, 0, 2, 1]],
    }
}

/// Bytes of each path, most first; the rest has no destination.
fn paths(accounts: &Accounts) -> Vec<(Option<u8>, u64)> {
    let paths = accounts.nodes[&1].paths(|_| None);
    let of = |path: &EgressPath| {
        let row = path.row.as_ref().expect("a row");
        (row.destination.last().copied(), row.sums.expect("sums").wire_bytes)
    };
    paths.iter().map(of).collect()
}

#[test]
fn what_is_told_twice_counts_once_and_a_new_life_comes_on_top() {
    let mut accounts = Accounts::default();
    accounts.keep(1, [1; 16], told(&[(1, 100), (2, 50)], 170));
    assert_eq!(paths(&accounts), [(Some(1), 100), (Some(2), 50), (None, 20)]);
    for _ in 0..2 {
        accounts.keep(1, [1; 16], told(&[(2, 250)], 370));
    }
    assert_eq!(paths(&accounts), [(Some(2), 250), (Some(1), 100), (None, 20)]);
    accounts.keep(1, [2; 16], told(&[(1, 10)], 10));
    assert_eq!(paths(&accounts), [(Some(2), 250), (Some(1), 110), (None, 20)]);
    assert_eq!(accounts.nodes[&1].earlier.counted_for_ns, 1_000);
    assert_eq!(accounts.rows, 3);
}

#[test]
fn rows_without_room_are_in_the_rest() {
    let mut accounts = Accounts { rows: ALL_ROWS, ..Accounts::default() };
    accounts.keep(1, [1; 16], told(&[(1, 100)], 100));
    assert_eq!(paths(&accounts), [(None, 100)]);
}

#[test]
fn what_no_agent_sends_is_refused() {
    let damages: [fn(&mut Message); 8] = [
        |m| m.rows[0].sums = None,
        |m| m.rows[0].kind = 0,
        |m| m.rows[0].kind = EgressKind::Rest.into(),
        |m| m.rows[0].source = vec![1; 5],
        |m| m.rows[0].uplink = "e\x1b[31m".into(),
        |m| m.rows[0].interface = "x".repeat(65),
        |m| m.addresses = vec![vec![]],
        |m| m.rows = vec![EgressRow::default(); MOST_ROWS + 1],
    ];
    let refusals = damages.map(|damage| {
        let mut message = told(&[(1, 100)], 100);
        check(&message).expect("sound");
        damage(&mut message);
        check(&message).expect_err("refused")
    });
    insta::assert_snapshot!(refusals.join("\n"), @r"
    egress.rows: a row has no sums or no kind
    egress.rows: a row has no sums or no kind
    egress.rows: a row has no sums or no kind
    egress.rows: an address has 4 or 16 bytes
    egress.rows: an interface has a name that none can have
    egress.rows: an interface has a name that none can have
    egress.addresses: an address has 4 or 16 bytes
    egress has more rows or addresses than a node can have
    ");
}

#[test]
fn a_row_that_found_no_room_finds_none_later() {
    let mut accounts = Accounts { rows: ALL_ROWS, ..Accounts::default() };
    accounts.keep(1, [1; 16], told(&[(1, 100)], 100));
    accounts.rows = 0;
    accounts.keep(1, [1; 16], told(&[(1, 150), (2, 50)], 200));
    assert_eq!(paths(&accounts), [(None, 200)], "it counts in the rest already");
    accounts.keep(1, [2; 16], told(&[(1, 70)], 70));
    assert_eq!(paths(&accounts), [(None, 200), (Some(1), 70)], "a new life begins anew");
}

#[test]
fn who_is_forgotten_leaves_its_room_to_others() {
    let mut accounts = Accounts::default();
    for boot in [1, 2] {
        accounts.keep(1, [boot; 16], told(&[(boot, 100), (9, 1)], 101));
    }
    accounts.keep(2, [1; 16], told(&[(1, 100)], 100));
    assert_eq!(accounts.rows, 5);
    accounts.forget(1);
    accounts.forget(7);
    assert_eq!((accounts.rows, accounts.nodes.len()), (1, 1));
}

/// An aggregator that knows agent 0, and what left its node in all as it sums it.
struct Scraped {
    state: State,
    sums: sums::Sums,
}

impl Scraped {
    fn new() -> Self {
        let mut state = State::new(Limits {
            join: join::Limits { window_ns: 1, capacity: 1 },
            store: store::Limits {
                interval_ns: 1,
                retention_ns: 1,
                max_paths: 1,
                max_bytes: usize::MAX,
                keep: Keep::Nothing,
            },
            max_agents: 1,
        });
        let opening = Opening {
            name: "aws".into(),
            boot: [1; 16],
            site: Site::default(),
            version: String::new(),
            kernel_release: String::new(),
            hooks: vec![],
            first_sequence: 1,
            predecessor: None,
        };
        state.open(1, opening).expect("room");
        Self { state, sums: sums::Sums::new(Tier::Workload, 100) }
    }

    /// Bytes of rows, and beside them.
    fn look(&mut self, accounts: &mut Accounts) -> (u64, u64) {
        accounts.sum(&self.state, &mut self.sums);
        let bytes = |rest: bool| {
            let of =
                |line: &sums::Line| (line.labels.last().is_some_and(|kind| kind == "rest")) == rest;
            let lines = self.sums.lines();
            lines.iter().filter(|line| of(line)).map(|line| line.sums.wire_bytes).sum()
        };
        (bytes(false), bytes(true))
    }
}

/// What left by a node: so many destinations from the first, so many bytes each, and some bytes without a row.
fn leave(egress: &mut outbox::egress::Egress, first: u32, rows: u32, each: u64, rest: u64) -> u64 {
    let counted = |bytes: u64| Counted { wire_bytes: bytes, packets: bytes, payload_bytes: 0 };
    let key = |peer| Key::new([0, 0, 0, 1], [0, 0, 1, peer], 1, 2, Kind::Plain);
    let mut left: crate::kernel::egress::Left =
        (first..first + rows).map(|peer| (key(peer), counted(each))).collect();
    left.insert(Key::rest(2), counted(rest));
    egress.add(&left, 1, |_| outbox::egress::Labels::default());
    u64::from(rows) * each + rest
}

#[test]
fn a_scrape_between_two_messages_of_many_rows_counts_nothing_twice() {
    let (mut agent, mut wanted) = (outbox::egress::Egress::default(), 0);
    wanted += leave(&mut agent, 1, 3_000, 10, 50);
    // The aggregator starts again once in between, so all rows come to one that knows none.
    for _ in 0..2 {
        let (mut accounts, mut scraped) = (Accounts::default(), Scraped::new());
        agent.tell_again();
        let mut messages = 0;
        while let Some(message) = agent.next() {
            accounts.keep(0, [1; 16], message);
            let (rows, rest) = scraped.look(&mut accounts);
            assert!(rows + rest <= wanted && rest <= 50, "{rows} and {rest}");
            messages += 1;
        }
        assert_eq!((messages, scraped.look(&mut accounts)), (6, (wanted - 50, 50)));
    }
}

#[test]
fn rows_of_a_life_that_ended_before_their_totals_came_take_nothing_from_the_next() {
    let (mut accounts, mut scraped) = (Accounts::default(), Scraped::new());
    accounts.keep(0, [1; 16], Message { totals: None, ..told(&[(1, 100)], 0) });
    assert_eq!(scraped.look(&mut accounts), (100, 0));
    accounts.keep(0, [2; 16], told(&[(1, 10)], 30));
    assert_eq!(scraped.look(&mut accounts), (110, 20));
}

/// The next messages, at most so many.
fn tell(from: &mut outbox::egress::Egress, accounts: &mut Accounts, boot: u8, most: usize) {
    let messages = std::iter::from_fn(|| from.next()).take(most);
    messages.for_each(|message| accounts.keep(0, [boot; 16], message));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn sums_never_exceed_what_left_and_end_exact(
        steps in prop::collection::vec(
            ((0u32..900, 0u32..900, 0u64..5, 0u64..5), 0usize..4, 0u8..10), 1..12,
        ),
    ) {
        let (mut agent, mut accounts, mut scraped) =
            (outbox::egress::Egress::default(), Accounts::default(), Scraped::new());
        let (mut wanted, mut rest, mut boot) = (0, 0, 1);
        for ((first, rows, each, beside), messages, turn) in steps {
            wanted += leave(&mut agent, first, rows, each, beside);
            rest += beside;
            tell(&mut agent, &mut accounts, boot, messages);
            match turn {
                0 => agent.tell_again(),
                1 => {
                    tell(&mut agent, &mut accounts, boot, usize::MAX);
                    (agent, boot) = (outbox::egress::Egress::default(), boot + 1);
                }
                _ => {}
            }
            let (in_rows, without) = scraped.look(&mut accounts);
            prop_assert!(in_rows + without <= wanted && without <= rest, "{} {}", in_rows, without);
        }
        tell(&mut agent, &mut accounts, boot, usize::MAX);
        prop_assert_eq!(scraped.look(&mut accounts), (wanted - rest, rest));
    }
}

proptest! {
    #[test]
    fn whatever_comes_paths_add_up_to_the_totals(
        lives in prop::collection::vec((prop::collection::vec((0u8..20, 0u64..1000), 0..30), 0u64..100), 1..6),
    ) {
        let (mut accounts, mut wanted) = (Accounts::default(), 0);
        for (boot, (rows, beside)) in (0u8..).zip(lives) {
            let rows: BTreeMap<u8, u64> = rows.into_iter().collect();
            let rows: Vec<_> = rows.into_iter().collect();
            // Packets tell whether there is a rest, ten bytes each.
            let total = rows.iter().map(|(_, bytes)| bytes / 10 * 10).sum::<u64>() + beside * 10;
            let rows: Vec<_> = rows.iter().map(|(peer, bytes)| (*peer, bytes / 10 * 10)).collect();
            accounts.keep(1, [boot; 16], told(&rows, total));
            wanted += total;
        }
        prop_assert_eq!(paths(&accounts).iter().map(|(_, bytes)| bytes).sum::<u64>(), wanted);
    }
}

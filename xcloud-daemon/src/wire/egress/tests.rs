use proptest::prelude::*;

use super::*;

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
    let damages: [fn(&mut Message); 9] = [
        |m| m.totals = None,
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
    egress has no totals
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

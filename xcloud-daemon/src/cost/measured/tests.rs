use proptest::prelude::*;
use xcloud_proto::{common::v1::EgressSums, observer::v1::EgressPath};

use super::*;
use crate::cost::price::Consumption;

const TB: u64 = 1_000_000_000_000;

pub(crate) fn site(cloud: &str, region: &str, node: &str) -> Site {
    Site { cloud: cloud.into(), region: region.into(), node: node.into(), ..Site::default() }
}

pub(crate) fn path(interface: &str, kind: EgressKind, to: Option<Site>, bytes: u64) -> EgressPath {
    let sums =
        EgressSums { wire_bytes: bytes, packets: bytes / 1_000, payload_bytes: bytes / 10 * 9 };
    let row = EgressRow {
        uplink: "eth0".into(),
        interface: interface.into(),
        from_pod: !interface.is_empty(),
        source: vec![10, 1, 0, 2],
        destination: vec![198, 51, 100, 7],
        kind: kind.into(),
        sums: Some(sums),
    };
    EgressPath { row: Some(row), destination_site: to }
}

fn node(paths: Vec<EgressPath>) -> NodeEgress {
    let site = Some(site("aws", "us-east-1", "a"));
    NodeEgress { site, counted_for_ns: 3_600_000_000_000, paths }
}

fn priced(nodes: &[NodeEgress], sites: &Sites, per_month: bool) -> Measured {
    let before = Consumption { bytes: 0, month_to_date: 0, hours: MONTH_HOURS };
    let terms = Terms { path: None, via: &[], before };
    let tariffs = Tariffs::built_in().expect("sound");
    Counted::of(nodes, sites, per_month).priced(terms, &tariffs).expect("an answer")
}

/// By hand: 5 TB out of AWS are 100 GB for nothing and 4 900 x 0.09 = 441.
#[test]
fn what_goes_to_a_known_place_has_its_price_and_the_rest_is_shown_without() {
    let gcp = Some(site("gcp", "us-central1", "b"));
    let measured = priced(
        &[node(vec![
            path("veth1", EgressKind::Plain, gcp.clone(), 2 * TB),
            path("veth1", EgressKind::Plain, gcp, 3 * TB),
            path("veth2", EgressKind::Plain, None, TB),
            path("", EgressKind::Rest, None, 7),
        ])],
        &Sites::default(),
        false,
    );
    let [row] = &measured.month.rows[..] else { panic!("one row: {:?}", measured.month.rows) };
    assert_eq!((&*row.workload, &*row.to_site, row.bytes), ("a/veth1", "gcp/us-central1", 5 * TB));
    assert_eq!(
        (row.payload_bytes, measured.month.bill.total.exact()),
        (Some(TB / 10 * 45), "441".into())
    );
    let rest: Vec<_> =
        measured.unpriced.iter().map(|row| (&*row.workload, &*row.to_site, row.bytes)).collect();
    assert_eq!(rest, [("a/veth2", "unknown", TB), ("a/not told apart", "unknown", 7)]);
    assert_eq!(measured.unpriced[1].payload_bytes, None);
    assert_eq!(measured.nodes[0].bytes, 6 * TB + 7);
}

#[test]
fn a_file_says_where_addresses_are_that_nobody_saw() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sites.csv");
    std::fs::write(&file, "cidr,site\n198.51.100.0/24,azure/eastus\n").expect("writable");
    let sites = Sites::read(&file).expect("sites");
    let nodes = [node(vec![path("veth1", EgressKind::Plain, None, 1_000)])];
    let measured = priced(&nodes, &sites, false);
    assert_eq!(measured.month.rows[0].to_site, "azure/eastus");
    assert_eq!(measured.unpriced, []);
}

#[test]
fn a_place_without_a_price_and_a_node_without_a_site_are_named() {
    let nowhere = NodeEgress {
        site: Some(site("unknown", "", "c")),
        ..node(vec![path("veth9", EgressKind::Plain, Some(site("aws", "us-east-1", "a")), 5)])
    };
    let same = Some(site("aws", "us-east-1", "b"));
    let here = node(vec![path("veth1", EgressKind::Plain, same, 1_000)]);
    let measured = priced(&[nowhere, here], &Sites::default(), false);
    let why: Vec<_> = measured.unpriced.iter().map(|row| &*row.why).collect();
    assert!(why[0].contains("name their zones"), "{why:?}");
    assert!(why[1].contains("--region"), "{why:?}");
    assert_eq!(measured.unpriced[1].from_site, "unknown");
}

/// By hand: bytes of 90 minutes stand beside two hours of two ports, (2.25 + 2.328) x 2 = 9.156, and 1 GB x 0.02.
#[test]
fn ports_are_paid_for_as_long_as_was_counted() {
    let gcp = Some(site("gcp", "us-central1", "b"));
    let paths = vec![path("veth1", EgressKind::Plain, gcp, 1_000_000_000)];
    let nodes = [NodeEgress { counted_for_ns: 5_400_000_000_000, ..node(paths) }];
    let total = |per_month| {
        let counted = Counted::of(&nodes, &Sites::default(), per_month);
        let before = Consumption { bytes: 0, month_to_date: 0, hours: counted.hours() };
        let terms = Terms { path: Some("interconnect"), via: &[], before };
        let tariffs = Tariffs::built_in().expect("sound");
        counted.priced(terms, &tariffs).expect("an answer").month.bill.total.exact()
    };
    assert_eq!(total(false), "9.176");
    // A month has 486.666 times 90 minutes: 3 341.94 and 486.666666666 x 0.02.
    assert!(total(true).starts_with("3351.67333333"), "{}", total(true));
}

#[test]
fn a_month_at_the_rate_is_730_such_hours() {
    let gcp = Some(site("gcp", "us-central1", "b"));
    let nodes = [node(vec![path("veth1", EgressKind::Plain, gcp, 1_000_000)])];
    let measured = priced(&nodes, &Sites::default(), true);
    assert_eq!((measured.month.rows[0].bytes, measured.nodes[0].bytes), (730_000_000, 1_000_000));
    assert_eq!((of_month(5, 0), of_month(u64::MAX, 1)), (5, u64::MAX));
}

proptest! {
    #[test]
    fn every_byte_is_priced_or_named(bytes in prop::collection::vec((0u64..TB, 0u8..4), 0..20)) {
        let to = |which| match which {
            0 => Some(site("gcp", "us-central1", "b")),
            1 => Some(site("azure", "eastus", "c")),
            2 => Some(site("nowhere", "", "")),
            _ => None,
        };
        let paths = bytes.iter().map(|(bytes, which)| path("veth1", EgressKind::Plain, to(*which), *bytes));
        let measured = priced(&[node(paths.collect())], &Sites::default(), false);
        let priced: u64 = measured.month.rows.iter().map(|row| row.bytes).sum();
        let named: u64 = measured.unpriced.iter().map(|row| row.bytes).sum();
        prop_assert_eq!(priced + named, bytes.iter().map(|(bytes, _)| bytes).sum::<u64>());
    }
}

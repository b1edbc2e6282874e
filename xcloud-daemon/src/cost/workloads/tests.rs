use proptest::prelude::*;

use super::*;
use crate::cost::price::MONTH_HOURS;

const TB: u64 = 1_000_000_000_000;

fn usage(workload: &str, to: &str, bytes: u64) -> Usage {
    Usage {
        workload: workload.into(),
        from: "aws/us-east-1".parse().expect("a place"),
        to: to.parse().expect(to),
        bytes,
        packets: None,
        payload_bytes: None,
    }
}

fn month_of(usage: &[Usage], path: Option<&str>) -> Result<Month> {
    let before = Consumption { bytes: 0, month_to_date: 0, hours: MONTH_HOURS };
    month(usage, Terms { path, via: &[], before }, &Tariffs::built_in()?)
}

/// By hand: 20 TB out of AWS are 900 + 9 900 x 0.085 = 1 741.50, whoever sent them; three quarters of it is 1 306.125.
#[test]
fn workloads_share_the_tiers_of_the_account_by_bytes() {
    let rows = [usage("log", "azure/eastus", 5 * TB), usage("api", "gcp/us-central1", 15 * TB)];
    let month = month_of(&rows, None).expect("prices");
    assert_eq!(month.bill.total.exact(), "1741.5");
    let shares: Vec<_> = month.rows.iter().map(|row| (&*row.workload, row.usd.exact())).collect();
    assert_eq!(shares, [("api", "1306.125".into()), ("log", "435.375".into())]);
}

#[test]
fn a_port_is_paid_once_for_each_place() {
    let rows = [
        usage("a", "gcp/us-central1", 1),
        usage("b", "gcp/us-central1", 1),
        usage("c", "azure/eastus", 1),
    ];
    let month = month_of(&rows, Some("interconnect")).expect("prices");
    let ports = month.bill.lines.iter().filter(|line| line.charge == "aws-direct-connect-10g");
    assert_eq!(ports.count(), 2);
}

/// By hand: a month of two ports, (2.25 + 2.328) x 730 = 3 341.94, and 3 000 GB x 0.02 = 60; however many zones there are.
/// With what comes back, 1 TB = 931.322574615 GiB x 0.02 = 18.6264514923 more: the same two ports carry both.
#[test]
fn a_port_carries_all_zones_and_both_directions() {
    let zones = ["a", "b", "c"].map(|zone| usage("w", &format!("gcp/us-central1/{zone}"), TB));
    let there = month_of(&zones, Some("interconnect")).expect("prices");
    assert_eq!(there.bill.total.exact(), "3401.94");
    assert_eq!(there.bill.missing.len(), 1, "one attachment");
    let back = Usage {
        from: "gcp/us-central1/b".parse().expect("a place"),
        ..usage("w", "aws/us-east-1", TB)
    };
    let both = month_of(&[&zones[..], &[back]].concat(), Some("interconnect")).expect("prices");
    assert!(both.bill.total.exact().starts_with("3420.56645149"), "{}", both.bill.total.exact());
    assert_eq!(both.bill.missing.len(), 1, "one attachment");
}

/// By hand: a gateway for a month 0.045 x 730 = 32.85, and 2 GB x 0.045 = 0.09; the first 100 GB out are free.
#[test]
fn a_gateway_serves_all_that_leaves_its_region() {
    const GB: u64 = 1_000_000_000;
    let rows = [usage("a", "gcp/us-central1", GB), usage("b", "azure/eastus", GB)];
    let before = Consumption { bytes: 0, month_to_date: 0, hours: MONTH_HOURS };
    let terms = Terms { path: None, via: &["nat-gateway".into()], before };
    let month = month(&rows, terms, &Tariffs::built_in().expect("sound")).expect("prices");
    assert_eq!(month.bill.total.exact(), "32.94");
}

/// By hand: 12 TB out of two regions of AWS are one account's: 900 + 1 900 x 0.085 = 1 061.50.
#[test]
fn regions_of_one_cloud_share_the_tiers() {
    let west = Usage {
        from: "aws/us-west-2".parse().expect("a place"),
        ..usage("log", "azure/eastus", 6 * TB)
    };
    let month = month_of(&[usage("api", "gcp/us-central1", 6 * TB), west], None).expect("prices");
    assert_eq!(month.bill.total.exact(), "1061.5");
    let from: Vec<_> = month.rows.iter().map(|row| &*row.from_site).collect();
    assert_eq!(from, ["aws/us-east-1", "aws/us-west-2"]);
}

#[test]
fn a_row_without_a_price_is_named() {
    let error = month_of(&[usage("a", "aws/us-east-1", 1)], None).expect_err("no zone");
    assert!(format!("{error:#}").starts_with("row 1, a: "), "{error:#}");
}

proptest! {
    #[test]
    fn the_parts_are_the_bill(bytes in proptest::collection::vec(0u64..100 * TB, 1..20)) {
        let to = ["gcp/us-central1", "azure/eastus", "aws/us-west-2"];
        let rows: Vec<_> =
            bytes.iter().enumerate().map(|(at, bytes)| usage("w", to[at % 3], *bytes)).collect();
        let month = month_of(&rows, None).expect("prices");
        prop_assert_eq!(month.rows.iter().map(|row| row.usd).sum::<Money>(), month.bill.total);
    }
}

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

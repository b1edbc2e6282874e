use proptest::prelude::*;

use super::*;
use crate::cost::{route::Route, tariff::Tariffs, volume::Volume};

const TB: u64 = 1_000_000_000_000;

fn bill(from: &str, to: &str, path: Option<&str>, consumed: Consumption) -> Bill {
    let tariffs = Tariffs::built_in().expect("sound");
    let places = (from.parse().expect(from), to.parse().expect(to));
    let route = Route::new(places.0, places.1, path, &[]).expect("a route");
    price(&route.charges(&tariffs).expect("prices"), consumed)
}

fn of(bytes: u64) -> Consumption {
    Consumption { bytes, month_to_date: 0, hours: MONTH_HOURS }
}

/// The published example: 10 TB a month out of each of three clouds, said to cost 0.0842 USD per GB with one CNI and
/// 0.0689 with another. By hand, from the lists:
///
///   AWS    10 000 GB:     100 free, 9 900 x 0.09                            =   891.00
///   GCP    10^13 B / 2^30 = 9 313.225746154785 GiB:
///                         1 024 x 0.12 = 122.88
///                         8 289.225746154785 x 0.11 = 911.81483207702635    = 1 034.69483207702635
///   Azure  10 000 GB:     100 free, 9 900 x 0.087                           =   861.30
///   all                                                                       2 786.99483207702635
///   per GB of 30 000                                                              0.0929
///
/// So it is 10 % more than the dearer figure, and no CNI can reach the cheaper one: it lies below each cloud's price.
#[test]
fn the_published_example_by_hand() {
    let aws = bill("aws/us-east-1", "gcp/us-central1", None, of(10 * TB)).total;
    let gcp = bill("gcp/us-central1", "azure/eastus", None, of(10 * TB)).total;
    let azure = bill("azure/eastus", "aws/us-east-1", None, of(10 * TB)).total;
    assert_eq!(aws.exact(), "891");
    // 8 289.2257... GiB in full decimals: 2^30 divides no power of ten before 30 decimals.
    assert!(gcp.exact().starts_with("1034.694832077026"), "{}", gcp.exact());
    assert_eq!(azure.exact(), "861.3");
    let all = aws + gcp + azure;
    assert_eq!(all.to_string(), "2786.99");
    assert_eq!(format!("{:.4}", all.share(1_000_000_000, 30 * TB)), "0.0929");
    for cloud in [aws, gcp, azure] {
        assert!(cloud.share(1_000_000_000, 10 * TB).approximate() > 0.0689);
    }
}

/// Google's other network, by hand: 9 313.225746154785 GiB x 0.085 = 791.6241884231567.
#[test]
fn the_standard_tier_by_hand() {
    let path = Some("internet-standard");
    let standard = bill("gcp/us-central1", "aws/us-east-1", path, of(10 * TB));
    assert!(standard.total.exact().starts_with("791.62418842315"), "{}", standard.total.exact());
    assert_eq!(standard.lines[0].status, Status::ToBeChecked);
}

/// By hand, 200 TB out of AWS: 100 GB free, 10 000 x 0.09 = 900, 40 000 x 0.085 = 3 400, 100 000 x 0.07 = 7 000,
/// 49 900 x 0.05 = 2 495; together 13 795.
#[test]
fn each_tier_holds_for_its_own_part() {
    let bill = bill("aws/us-east-1", "gcp/us-central1", None, of(200 * TB));
    let amounts: Vec<_> =
        bill.lines.iter().map(|line| (&*line.what, line.usd.to_string())).collect();
    let wanted = [
        ("100 GB", "0.00"),
        ("10000 GB", "900.00"),
        ("40000 GB", "3400.00"),
        ("100000 GB", "7000.00"),
        ("49900 GB", "2495.00"),
    ];
    assert_eq!(amounts, wanted.map(|(what, usd)| (what, usd.to_owned())));
    assert_eq!(bill.total.exact(), "13795");
}

/// By hand: a month of two ports, (2.25 + 2.328) x 730 = 3 341.94, and 10 000 GB x 0.02 = 200.
#[test]
fn a_private_link_has_hours_bytes_and_a_part_that_is_not_known() {
    let bill = bill("aws/us-east-1", "gcp/us-central1", Some("interconnect"), of(10 * TB));
    assert_eq!(bill.total.exact(), "3541.94");
    assert_eq!(bill.missing.len(), 1);
    assert_eq!(bill.missing[0].per, "VLAN attachment");
}

#[test]
fn a_link_priced_by_capacity_costs_the_same_whatever_it_carries() {
    let path = Some("capacity-500m");
    let little = bill("aws/us-east-1", "gcp/us-central1", path, of(1));
    let much = bill("aws/us-east-1", "gcp/us-central1", path, of(100 * TB));
    assert_eq!(little, much);
    assert_eq!(little.missing.len(), 1, "the far end's price is not known");
}

proptest! {
    #[test]
    fn a_month_costs_the_same_at_once_or_in_two_parts(first in 0u64..300 * TB, second in 0u64..300 * TB) {
        for (from, to) in [("aws/us-east-1", "gcp/us-central1"), ("gcp/us-east1", "aws/us-east-1")] {
            let whole = bill(from, to, None, of(first + second)).total;
            let begun = bill(from, to, None, of(first)).total;
            let rest = Consumption { month_to_date: first, ..of(second) };
            prop_assert_eq!(begun + bill(from, to, None, rest).total, whole, "{} {}", Volume(first), Volume(second));
        }
    }
}

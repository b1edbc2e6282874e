//! From how many bytes a month on another way is cheaper.

use super::{
    price::{Consumption, price},
    route::Owed,
    tariff::Rate,
    volume::MOST_BYTES,
};

/// Fewest bytes a month from which on `other` costs no more than `usual`, looked for up to an exabyte; `None` if it never
/// does. 0 if it always does.
#[must_use]
pub fn break_even(usual: &[Owed<'_>], other: &[Owed<'_>], consumed: Consumption) -> Option<u64> {
    let cheaper = |bytes| {
        let total = |owed| price(owed, Consumption { bytes, ..consumed }).total;
        total(other) <= total(usual)
    };
    // Between two ends of tiers both amounts are straight lines, which cross once at most.
    let mut corners: Vec<u64> =
        [usual, other].into_iter().flatten().flat_map(|owed| corners(owed, consumed)).collect();
    corners.extend([0, MOST_BYTES]);
    corners.sort_unstable();
    let after = corners.iter().rposition(|bytes| !cheaper(*bytes));
    let Some(after) = after else { return Some(0) };
    let (mut dearer, mut enough) = (corners[after], *corners.get(after + 1)?);
    while enough - dearer > 1 {
        let middle = dearer + (enough - dearer) / 2;
        if cheaper(middle) { enough = middle } else { dearer = middle }
    }
    Some(enough)
}

fn corners(owed: &Owed<'_>, consumed: Consumption) -> Vec<u64> {
    let Rate::Volume(unit, tiers) = &owed.charge.rate else { return Vec::new() };
    let ends = tiers.iter().filter_map(|tier| tier.up_to);
    let bytes = ends.map(|units| units.saturating_mul(unit.bytes()));
    bytes
        .filter_map(|end| end.checked_sub(consumed.month_to_date))
        .filter(|b| *b < MOST_BYTES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{price::MONTH_HOURS, route::Route, tariff::Tariffs, volume::Volume};

    fn between(usual: &str, other: &str) -> Option<u64> {
        let tariffs = Tariffs::built_in().expect("sound");
        let [usual, other] = [usual, other].map(|path| {
            let ends = (
                "aws/us-east-1".parse().expect("a place"),
                "gcp/us-central1".parse().expect("a place"),
            );
            Route::new(ends.0, ends.1, Some(path), &[]).expect("a route")
        });
        let consumed = Consumption { bytes: 0, month_to_date: 0, hours: MONTH_HOURS };
        break_even(&usual.charges(&tariffs).ok()?, &other.charges(&tariffs).ok()?, consumed)
    }

    /// By hand: ports cost 3 341.94 a month, and 0.02 per GB. The internet's first 10 100 GB cost 900, then 0.085 each:
    /// 900 + 0.085 (x - 10 100) = 3 341.94 + 0.02 x, so 0.065 x = 3 300.44 and x = 50 776; but from 50 100 on a GB
    /// costs 0.07: 4 300 + 0.07 (x - 50 100) = 3 341.94 + 0.02 x, so 0.05 x = 2 548.94 and x = 50 978.8 GB.
    #[test]
    fn a_port_pays_from_here_on() {
        let bytes = between("internet", "interconnect").expect("it pays");
        assert_eq!(bytes, 50_978_800_000_000, "{}", Volume(bytes));
    }

    #[test]
    fn what_never_pays_and_what_always_does() {
        assert_eq!(between("capacity-500m", "internet"), None);
        assert_eq!(between("internet", "capacity-500m"), Some(0));
    }
}

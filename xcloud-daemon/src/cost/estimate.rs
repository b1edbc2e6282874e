//! What a load test is going to cost, told before it starts.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    money::Money,
    route::Route,
    tariff::{Rate, Tariffs},
    volume::Volume,
};

/// Bytes that a test moves, and what they cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Where from, and where to, as they were named.
    pub ends: (String, String),
    /// How many bytes.
    pub bytes: u64,
    /// At each charge's dearest tier, since what the account has sent this month is not known; `None` without a price.
    pub usd: Option<Money>,
}

/// Bytes that so many bits a second are over a time, rounded up.
#[must_use]
pub fn bytes_of(bits_per_second: u64, duration: Duration) -> u64 {
    const BIT_NANOSECONDS_PER_BYTE: u128 = 8 * 1_000_000_000;
    let bits = u128::from(bits_per_second).saturating_mul(duration.as_nanos());
    u64::try_from(bits.div_ceil(BIT_NANOSECONDS_PER_BYTE)).unwrap_or(u64::MAX)
}

/// What bytes from one place to another cost by the usual way, where the places are named `cloud/region`.
#[must_use]
pub fn estimate(from: &str, to: &str, bytes: u64, tariffs: &Tariffs) -> Estimate {
    let usd = || {
        let route = Route::new(from.parse().ok()?, to.parse().ok()?, None, &[]).ok()?;
        dearest(&route, bytes, tariffs)
    };
    Estimate { ends: (from.into(), to.into()), bytes, usd: usd() }
}

fn dearest(route: &Route, bytes: u64, tariffs: &Tariffs) -> Option<Money> {
    let owed = route.charges(tariffs).ok()?;
    let of_charge = |rate: &Rate| match rate {
        Rate::Volume(unit, tiers) => {
            tiers.iter().map(|tier| tier.price.of_bytes(bytes, *unit)).max().unwrap_or_default()
        }
        Rate::Hourly(..) => Money::default(),
    };
    Some(owed.iter().map(|one| of_charge(&one.charge.rate)).sum())
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = &self.ends;
        write!(f, "moves {} {from} -> {to}, ", Volume(self.bytes))?;
        match self.usd {
            Some(usd) => write!(f, "about {usd} USD"),
            None => f.write_str("at a price that is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(from: &str, to: &str, bytes: u64) -> String {
        estimate(from, to, bytes, &Tariffs::built_in().expect("sound")).to_string()
    }

    /// By hand: 1 Gbit/s for 6 minutes is 45 GB; AWS's dearest tier is 0.09, so 4.05.
    #[test]
    fn a_test_says_what_it_moves_and_costs() {
        let bytes = bytes_of(1_000_000_000, Duration::from_secs(360));
        assert_eq!(
            says("aws/us-east-1", "gcp/us-central1", bytes),
            "moves 45 GB aws/us-east-1 -> gcp/us-central1, about 4.05 USD"
        );
        assert_eq!(
            says("lab-a", "lab-b", 1_500),
            "moves 1.50 kB lab-a -> lab-b, at a price that is not known"
        );
    }

    #[test]
    fn no_rate_and_no_time_are_too_large() {
        assert_eq!(bytes_of(u64::MAX, Duration::MAX), u64::MAX);
        assert_eq!(bytes_of(1, Duration::from_nanos(1)), 1);
        assert_eq!(bytes_of(0, Duration::MAX), 0);
    }
}

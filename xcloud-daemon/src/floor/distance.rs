//! Shortest round trip between two regions.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// Metres a second in vacuum, over the refractive index of the glass in common single-mode fibre.
const FIBRE_METRES_PER_SECOND: f64 = 299_792_458.0 / 1.468;

/// Mean radius of the Earth in kilometres.
const EARTH_KM: f64 = 6371.0;

/// Where regions are.
#[derive(Clone, Debug, Deserialize)]
pub struct Regions {
    source: String,
    within_km: f64,
    #[serde(flatten)]
    clouds: BTreeMap<String, BTreeMap<String, [f64; 2]>>,
}

/// The shortest way between two regions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// Great circle, in kilometres.
    pub distance_km: f64,
    /// There and back in fibre laid along it, in nanoseconds. Real cables are longer, by 1.4 as a rule.
    pub rtt_ns: u64,
    /// The same with both ends as near to each other as the table's coarseness allows: less cannot be.
    pub impossible_below_ns: u64,
}

impl Regions {
    /// The table inside the program.
    ///
    /// # Errors
    /// None that passes the tests.
    pub fn built_in() -> Result<Self> {
        toml::from_str(include_str!("../../floor/regions.toml")).context("the table of regions")
    }

    /// Where the coordinates are from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The floor between two places; `None` where one is not in the table.
    #[must_use]
    pub fn floor(&self, from: &Place, to: &Place) -> Option<Floor> {
        let at = |place: &Place| self.clouds.get(&place.cloud)?.get(&place.region).copied();
        let distance_km = great_circle_km(at(from)?, at(to)?);
        let least_km = (distance_km - 2.0 * self.within_km).max(0.0);
        Some(Floor {
            distance_km,
            rtt_ns: round_trip_ns(distance_km),
            impossible_below_ns: round_trip_ns(least_km),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "half the Earth and back is 0.2 s"
)]
fn round_trip_ns(km: f64) -> u64 {
    (2.0 * km * 1000.0 / FIBRE_METRES_PER_SECOND * 1e9) as u64
}

fn great_circle_km(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [[north_a, east_a], [north_b, east_b]] = [a, b].map(|place| place.map(f64::to_radians));
    let (north, east) = ((north_b - north_a) / 2.0, (east_b - east_a) / 2.0);
    let chord = north.sin().powi(2) + north_a.cos() * north_b.cos() * east.sin().powi(2);
    2.0 * EARTH_KM * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn floor(from: &str, to: &str) -> Option<Floor> {
        let regions = Regions::built_in().expect("a sound table");
        regions.floor(&from.parse().expect(from), &to.parse().expect(to))
    }

    /// Published elsewhere for this pair: 1 578 km, 15.5 ms.
    #[test]
    fn light_needs_fifteen_milliseconds_from_virginia_to_iowa_and_back() {
        let floor = floor("aws/us-east-1", "gcp/us-central1").expect("both are in the table");
        assert!((1_550.0..1_600.0).contains(&floor.distance_km), "{floor:?}");
        assert!((15_200_000..15_700_000).contains(&floor.rtt_ns), "{floor:?}");
        assert!(
            floor.impossible_below_ns > 12_300_000,
            "a p99 of 12.3 ms is impossible: {floor:?}"
        );
        assert!(floor.impossible_below_ns < floor.rtt_ns);
    }

    #[test]
    fn neighbours_have_no_floor_and_unknown_places_none_at_all() {
        let near = floor("aws/us-east-1", "gcp/us-east4").expect("both are in the table");
        assert_eq!(near.impossible_below_ns, 0);
        assert_eq!(floor("aws/us-east-1", "gcp/moon1"), None);
        assert_eq!(floor("lab/a", "lab/b"), None);
    }

    #[test]
    fn every_region_is_on_earth_and_within_reach_of_every_other() {
        let regions = Regions::built_in().expect("a sound table");
        let all: Vec<_> = regions.clouds.values().flat_map(|cloud| cloud.values()).collect();
        assert!(all.len() > 70);
        for [north, east] in &all {
            assert!(north.abs() < 90.0 && east.abs() <= 180.0);
        }
    }

    proptest! {
        #[test]
        fn a_distance_is_the_same_both_ways(a in -90.0..90.0, b in -180.0..180.0, c in -90.0..90.0, d in -180.0..180.0) {
            let there = great_circle_km([a, b], [c, d]);
            prop_assert!((there - great_circle_km([c, d], [a, b])).abs() < 1e-6);
            prop_assert!((0.0..=20_016.0).contains(&there));
        }
    }
}

//! Which charges hold on the way from one place to another.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::tariff::{Charge, Rate, Side, Tariffs};
use crate::{place::Place, usage::usage};

/// Ways between two places of one cloud.
const INSIDE: [&str; 3] = ["inter-region", "inter-zone", "same-zone"];

/// A way that bytes take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Where they leave.
    pub from: Place,
    /// Where they arrive.
    pub to: Place,
    /// By what, e.g. `internet`, `interconnect`.
    pub path: String,
    /// What else processes them where they leave, e.g. `nat-gateway`.
    pub via: Vec<String>,
}

/// A charge and the end that pays it.
#[derive(Clone, Copy, Debug)]
pub struct Owed<'a> {
    /// The charge.
    pub charge: &'a Charge,
    /// The end.
    pub place: &'a Place,
    /// The other end; none of what serves all that leaves the place, as a NAT gateway does.
    pub other: Option<&'a Place>,
}

impl Route {
    /// The way between two places, the usual one unless a path is named.
    ///
    /// # Errors
    /// The path is not one between these places.
    pub fn new(from: Place, to: Place, path: Option<&str>, via: &[String]) -> Result<Self> {
        let usual = usual_path(&from, &to);
        let path = path.map_or_else(|| usual.unwrap_or_default().to_owned(), str::to_owned);
        if path.is_empty() {
            return Err(usage(format!(
                "{from} and {to} are one region: name their zones, as in {from}/ZONE, or say --path"
            )));
        }
        if INSIDE.contains(&&*path) && usual.is_some_and(|usual| usual != path) {
            return Err(usage(format!("{path} is no path from {from} to {to}")));
        }
        Ok(Self { from, to, path, via: via.to_vec() })
    }

    /// The charges of this way, in the order of the price lists.
    ///
    /// # Errors
    /// No price is known for it.
    pub fn charges<'a>(&'a self, tariffs: &'a Tariffs) -> Result<Vec<Owed<'a>>> {
        let mut owed = self.charges_of(&self.path, tariffs)?;
        for via in &self.via {
            let here = self.charges_of(via, tariffs)?;
            owed.extend(here.into_iter().map(|one| Owed { other: None, ..one }));
        }
        Ok(owed)
    }

    fn charges_of<'a>(&'a self, path: &str, tariffs: &'a Tariffs) -> Result<Vec<Owed<'a>>> {
        let on_path = tariffs.charges.iter().filter(|one| matches(&one.path, path));
        let owed: Vec<_> = on_path.flat_map(|charge| self.ends(charge)).collect();
        self.complete(path, &owed, tariffs)?;
        Ok(owed)
    }

    fn ends<'a>(&'a self, charge: &'a Charge) -> impl Iterator<Item = Owed<'a>> {
        let from =
            matches!(charge.side, Side::From | Side::Either).then_some((&self.from, &self.to));
        let to = matches!(charge.side, Side::To | Side::Either).then_some((&self.to, &self.from));
        let pays = |(place, other): &(&Place, &Place)| {
            charge.cloud == place.cloud
                && any(&charge.regions, &place.region)
                && any(&charge.to_regions, &other.region)
        };
        let ends = from.into_iter().chain(to).filter(pays);
        ends.map(move |(place, other)| Owed { charge, place, other: Some(other) })
    }

    /// A price by volume that holds for other regions only would leave the sum short in silence.
    fn complete(&self, path: &str, owed: &[Owed<'_>], tariffs: &Tariffs) -> Result<()> {
        let of_cloud = |one: &&Charge| one.cloud == self.from.cloud && one.side != Side::To;
        let by_volume = |one: &Charge| matches!(one.rate, Rate::Volume(..));
        let mut on_path =
            tariffs.charges.iter().filter(of_cloud).filter(|one| matches(&one.path, path));
        let elsewhere = on_path.clone().any(by_volume);
        let here = owed.iter().any(|one| one.charge.side != Side::To && by_volume(one.charge));
        if (elsewhere && !here) || on_path.next().is_none() {
            let known: BTreeSet<_> =
                tariffs.charges.iter().filter(of_cloud).map(|one| &*one.path).collect();
            return Err(usage(format!(
                "no price is known for {path} from {} to {}; there are prices of {} for: {}. Add one with --tariffs",
                self.from,
                self.to,
                self.from.cloud,
                if known.is_empty() { "nothing".into() } else { Vec::from_iter(known).join(", ") }
            )));
        }
        Ok(())
    }
}

fn usual_path(from: &Place, to: &Place) -> Option<&'static str> {
    if from.cloud != to.cloud {
        Some("internet")
    } else if from.region != to.region {
        Some("inter-region")
    } else if from.zone.is_empty() || to.zone.is_empty() {
        None
    } else {
        Some(if from.zone == to.zone { "same-zone" } else { "inter-zone" })
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, text))
}

/// A pattern is exact, or a beginning that ends in `*`.
fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(from: &str, to: &str, path: Option<&str>) -> Result<Route> {
        Route::new(from.parse().expect(from), to.parse().expect(to), path, &[])
    }

    fn ids(from: &str, to: &str, path: Option<&str>) -> Result<Vec<String>> {
        let tariffs = Tariffs::built_in()?;
        let route = route(from, to, path)?;
        let charges = route.charges(&tariffs)?;
        Ok(charges.iter().map(|one| one.charge.id.clone()).collect())
    }

    #[test]
    fn the_usual_path_follows_from_the_places() {
        let of = |from, to| route(from, to, None).expect("a route").path;
        assert_eq!(of("aws/us-east-1", "gcp/us-central1"), "internet");
        assert_eq!(of("aws/us-east-1", "aws/us-west-2"), "inter-region");
        assert_eq!(of("aws/us-east-1/a", "aws/us-east-1/b"), "inter-zone");
        assert_eq!(of("aws/us-east-1/a", "aws/us-east-1/a"), "same-zone");
    }

    #[test]
    fn both_ends_of_a_private_link_are_paid() {
        let both = ids("aws/us-east-1", "gcp/us-central1", Some("interconnect")).expect("prices");
        let aws = ["aws-direct-connect-10g", "aws-direct-connect-out"];
        let gcp = ["gcp-interconnect-10g", "gcp-interconnect-attachment"];
        assert_eq!(both, [aws, gcp].concat());
        let zones = ids("aws/us-east-1/a", "aws/us-east-1/b", None).expect("prices");
        assert_eq!(zones, ["aws-inter-zone-out", "aws-inter-zone-in"]);
    }

    #[test]
    fn a_way_without_a_price_is_an_error_that_says_what_there_is() {
        let wrong = [
            ("aws/ap-south-1", "gcp/us-central1", None, "no price is known for internet"),
            ("aws/ap-south-1", "gcp/us-central1", Some("interconnect"), "no price is known"),
            ("aws/us-east-1", "gcp/us-central1", Some("pigeon"), "inter-region, inter-zone"),
            ("oci/us-ashburn-1", "aws/us-east-1", None, "for: nothing"),
            ("gcp/us-central1", "gcp/asia-east1", None, "no price is known for inter-region"),
            ("aws/us-east-1", "aws/ap-northeast-1", None, "no price is known for inter-region"),
            ("azure/eastus", "azure/japaneast", None, "no price is known for inter-region"),
            ("azure/eastus", "azure/westeurope", None, "no price is known for inter-region"),
            ("aws/us-east-1", "aws/us-east-1", None, "name their zones"),
            ("aws/us-east-1", "gcp/us-central1", Some("inter-zone"), "is no path from"),
        ];
        for (from, to, path, says) in wrong {
            let error = ids(from, to, path).expect_err(from).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

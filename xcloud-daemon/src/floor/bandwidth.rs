//! What a provider lets an instance send.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{cost::tariff::Status, place::Place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    instance: Vec<Instance>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    cloud: String,
    name: String,
    inside_gbit: f64,
    inside_status: Status,
    outside_gbit: f64,
    outside_status: Status,
    source: String,
    read: String,
}

/// Instances whose bandwidth is known.
#[derive(Clone, Debug)]
pub struct Instances(Vec<Instance>);

/// The most an instance may send.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cap {
    /// Its type.
    pub instance: String,
    /// In bits a second.
    pub bits_per_second: f64,
    /// How sure that is.
    pub status: Status,
    /// Where it was read, and when.
    pub source: String,
}

impl Instances {
    /// The table inside the program.
    ///
    /// # Errors
    /// None that passes the tests.
    pub fn built_in() -> Result<Self> {
        let file: File = toml::from_str(include_str!("../../floor/instances.toml"))
            .context("the table of instances")?;
        Ok(Self(file.instance))
    }

    /// What the instance at one end may send to a place, by the facts of a run; `None` where its type is not told, or not in
    /// the table. Of several types in one fact, as of runs that were merged, the one that may send most.
    #[must_use]
    pub fn cap(&self, facts: &BTreeMap<String, String>, from: &str, to: &Place) -> Option<Cap> {
        let place: Place = from.parse().ok()?;
        let caps = names(facts, from)?.split(" | ").filter_map(|name| self.of(name, &place, to));
        caps.max_by(|a, b| a.bits_per_second.total_cmp(&b.bits_per_second))
    }

    fn of(&self, name: &str, from: &Place, to: &Place) -> Option<Cap> {
        let known = self.0.iter().find(|one| one.cloud == from.cloud && one.name == name)?;
        let inside = from.cloud == to.cloud && from.region == to.region;
        let (gbit, status) = if inside {
            (known.inside_gbit, known.inside_status)
        } else {
            (known.outside_gbit, known.outside_status)
        };
        Some(Cap {
            instance: known.name.clone(),
            bits_per_second: gbit * 1e9,
            status,
            source: format!("{}, {}", known.source, known.read),
        })
    }
}

/// The fact that is closest to an end: `instance.aws/us-east-1` before `instance.aws` before `instance`.
fn names<'a>(facts: &'a BTreeMap<String, String>, end: &'a str) -> Option<&'a str> {
    let wider = |place: &&'a str| place.rsplit_once('/').map(|(wider, _)| wider);
    let mut places = std::iter::successors(Some(end), wider);
    let closest = places.find_map(|place| facts.get(&format!("instance.{place}")));
    closest.or_else(|| facts.get("instance")).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_sends_less_out_of_its_cloud_than_inside() {
        let instances = Instances::built_in().expect("a sound table");
        let [virginia, iowa] =
            ["aws/us-east-1", "gcp/us-central1"].map(|place| place.parse().expect(place));
        let cap = |to| instances.of("m6i.4xlarge", &virginia, to).expect("known").bits_per_second;
        assert_eq!((cap(&iowa), cap(&virginia)), (5e9, 12.5e9));
        assert_eq!(instances.of("m6i.4xlarge", &iowa, &virginia), None, "not a type of that cloud");
    }

    #[test]
    fn each_end_has_the_instance_that_the_closest_fact_names() {
        let instances = Instances::built_in().expect("a sound table");
        let (aws, gcp) = ("aws/us-east-1/us-east-1a/node-1", "gcp/us-central1");
        let cap = |facts: &[(&str, &str)], from: &str, to: &str| {
            let facts = facts.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let cap = instances.cap(&facts.collect(), from, &to.parse().expect(to))?;
            Some((cap.instance, cap.bits_per_second))
        };
        let (virginia, iowa) = (("m6i.4xlarge".into(), 5e9), ("n2-standard-16".into(), 7e9));
        let by_cloud = [("instance.aws", "m6i.4xlarge"), ("instance.gcp", "n2-standard-16")];
        assert_eq!(cap(&by_cloud, aws, gcp), Some(virginia.clone()));
        assert_eq!(cap(&by_cloud, gcp, aws), Some(iowa.clone()));
        let merged = [("instance", "m6i.4xlarge | n2-standard-16")];
        assert_eq!(cap(&merged, aws, gcp), Some(virginia.clone()));
        assert_eq!(cap(&merged, gcp, aws), Some(iowa));
        let closest = [("instance.aws", "unknown"), ("instance.aws/us-east-1", "m6i.4xlarge")];
        assert_eq!(cap(&closest, aws, gcp), Some(virginia));
        assert_eq!(cap(&closest, "aws/us-east-2", gcp), None);
        assert_eq!(cap(&[], aws, gcp), None);
    }
}

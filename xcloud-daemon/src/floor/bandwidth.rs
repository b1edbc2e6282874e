//! What a provider lets an instance send.

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

    /// What an instance may send to a place; `None` where its type is not in the table.
    #[must_use]
    pub fn cap(&self, name: &str, from: &Place, to: &Place) -> Option<Cap> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_sends_less_out_of_its_cloud_than_inside() {
        let instances = Instances::built_in().expect("a sound table");
        let [virginia, iowa] =
            ["aws/us-east-1", "gcp/us-central1"].map(|place| place.parse().expect(place));
        let cap = |to| instances.cap("m6i.4xlarge", &virginia, to).expect("known").bits_per_second;
        assert_eq!((cap(&iowa), cap(&virginia)), (5e9, 12.5e9));
        assert_eq!(
            instances.cap("m6i.4xlarge", &iowa, &virginia),
            None,
            "not a type of that cloud"
        );
    }
}

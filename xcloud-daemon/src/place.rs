//! Where an end of a path is: `cloud/region/zone`; what follows, such as a node, is of no matter here.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::escape::is_harmful;

/// Longest text taken for a place.
const LONGEST: usize = 256;

/// A cloud, a region of it and, where known, a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Cloud provider, e.g. `aws`.
    pub cloud: String,
    /// Region of the cloud, e.g. `us-east-1`.
    pub region: String,
    /// Availability zone, or empty.
    pub zone: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(4, '/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let place = Self { cloud: part(), region: part(), zone: part() };
        let sound = |label: &str| !label.chars().any(|c| is_harmful(c) || c.is_whitespace());
        let named = !place.cloud.is_empty() && !place.region.is_empty();
        if named && sound(text) && text.len() <= LONGEST {
            Ok(place)
        } else {
            Err(format!("{text:?} is no place: it has to be CLOUD/REGION, as in aws/us-east-1"))
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cloud, self.region)?;
        if self.zone.is_empty() { Ok(()) } else { write!(f, "/{}", self.zone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_cloud_and_a_region() {
        let place: Place = "aws/us-east-1/us-east-1a/node-7".parse().expect("a place");
        assert_eq!(place.to_string(), "aws/us-east-1/us-east-1a");
        assert_eq!("gcp/us-central1".parse::<Place>().expect("a place").zone, "");
        for wrong in ["", "aws", "aws/", "/us-east-1", "aws/us east", "aws/\u{1b}[31m"] {
            let error = wrong.parse::<Place>().expect_err(wrong);
            assert!(error.contains("CLOUD/REGION"), "{error}");
        }
    }
}

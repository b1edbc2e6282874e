//! Where this node is: what flags say counts first, then the node's labels, the cloud's metadata service, the firmware.
//! What none of them says stays unknown.

use std::time::Duration;

use log::{info, warn};
use tokio::time::timeout;
use xcloud_proto::common::v1::Site;

mod dmi;
mod metadata;
mod node;

use super::{
    identity::{MAX_LABEL, label_fits},
    names::kubernetes,
};
use crate::cli::names::{Auto, NamesArgs};

/// How long all may take: an agent that starts must not wait for who does not answer.
const WITHIN: Duration = Duration::from_secs(2);
/// What the cloud is called while nobody says.
pub const UNKNOWN: &str = "unknown";

/// What a source says of where this node is; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Cloud provider.
    pub cloud: String,
    /// Region of it.
    pub region: String,
    /// Availability zone.
    pub zone: String,
}

impl Location {
    /// Takes from a source what is not known yet. One that tells of another cloud, or of another region, speaks of
    /// another place.
    fn add(&mut self, source: &str, other: Self) {
        for label in [&other.cloud, &other.region, &other.zone] {
            if let Err(error) = label_fits(source, label, MAX_LABEL) {
                warn!("location: {error:#}");
                return;
            }
        }
        let differs =
            |known: &str, told: &str| !known.is_empty() && !told.is_empty() && known != told;
        if differs(&self.cloud, &other.cloud) || differs(&self.region, &other.region) {
            warn!(
                "location: {source} says {other}, which contradicts {self}, so it does not count"
            );
            return;
        }
        let before = self.clone();
        for (known, told) in [
            (&mut self.cloud, other.cloud),
            (&mut self.region, other.region),
            (&mut self.zone, other.zone),
        ] {
            if known.is_empty() {
                *known = told;
            }
        }
        if *self != before {
            info!("location: {self}, by {source}");
        }
    }

    fn is_whole(&self) -> bool {
        ![&self.cloud, &self.region, &self.zone].into_iter().any(String::is_empty)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or = |label: &str| if label.is_empty() { UNKNOWN.to_owned() } else { label.to_owned() };
        write!(f, "cloud {}, region {}", or(&self.cloud), or(&self.region))?;
        write!(f, ", zone {}", or(&self.zone))
    }
}

/// Completes a site by what can be found out within two seconds.
pub async fn complete(site: Site, args: &NamesArgs) -> Site {
    let known = |label: String| if label == UNKNOWN { String::new() } else { label };
    let mut location =
        Location { cloud: known(site.cloud), region: known(site.region), zone: known(site.zone) };
    if !location.is_whole() {
        let (labels, service) = tokio::join!(
            timeout(WITHIN, of_node(args, &site.node)),
            timeout(WITHIN, of_service(args))
        );
        if let Some(told) = labels.unwrap_or_else(|_| late("Kubernetes' API")) {
            location.add("the node's labels", told);
        }
        if let Some((source, told)) = service.unwrap_or_else(|_| late("the metadata service")) {
            location.add(source, told);
        }
        if location.cloud.is_empty()
            && let Some(told) = dmi::read(&args.dmi)
        {
            location.add("the firmware", told);
        }
    }
    let Location { mut cloud, region, zone } = location;
    if cloud.is_empty() {
        info!("location: nobody says which cloud this is; --cloud, --region and --zone do");
        cloud = UNKNOWN.into();
    }
    Site { cloud, region, zone, ..site }
}

fn late<T>(who: &str) -> Option<T> {
    warn!("location: {who} did not answer within {WITHIN:?}");
    None
}

async fn of_node(args: &NamesArgs, name: &str) -> Option<Location> {
    let told = async {
        let Some(config) = kubernetes::config(args).await? else { return Ok(None) };
        node::ask(kubernetes::client(config)?, name).await.map(Some)
    };
    told.await.unwrap_or_else(|error: anyhow::Error| {
        warn!("location: {error:#}");
        None
    })
}

async fn of_service(args: &NamesArgs) -> Option<(&'static str, Location)> {
    if args.metadata == Auto::Off {
        return None;
    }
    metadata::ask(args.metadata_address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(cloud: &str, region: &str, zone: &str) -> Location {
        Location { cloud: cloud.into(), region: region.into(), zone: zone.into() }
    }

    #[test]
    fn what_is_not_known_is_added() {
        let mut known = location("aws", "", "");
        known.add("x", location("aws", "us-east-1", ""));
        known.add("y", location("", "", "us-east-1a"));
        assert_eq!(known, location("aws", "us-east-1", "us-east-1a"));
    }

    #[test]
    fn a_label_that_none_can_have_does_not_count() {
        let mut known = location("aws", "", "");
        known.add("x", location("aws", "us east", ""));
        known.add("x", location("aws", &"x".repeat(64), ""));
        assert_eq!(known, location("aws", "", ""));
    }

    #[test]
    fn a_source_of_another_place_does_not_count() {
        let mut known = location("aws", "us-east-1", "");
        known.add("x", location("gcp", "us-east-1", "b"));
        known.add("y", location("aws", "eu-west-1", "eu-west-1a"));
        assert_eq!(known, location("aws", "us-east-1", ""));
    }
}

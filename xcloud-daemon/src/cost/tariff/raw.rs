//! A price list as it is written.

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;

use super::{Charge, Rate, Side, Status, Tier, Unit};

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) schema: String,
    pub(super) cloud: String,
    pub(super) version: String,
    pub(super) charge: Vec<RawCharge>,
}

/// A charge: by volume (`unit` and `tiers`) or by the hour (`per` and `usd_per_hour`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCharge {
    pub(super) id: String,
    path: String,
    #[serde(default)]
    side: Side,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    to_regions: Vec<String>,
    unit: Option<Unit>,
    tiers: Option<Vec<RawTier>>,
    per: Option<String>,
    usd_per_hour: Option<String>,
    status: Status,
    source: String,
    read: String,
}

/// A tier; the last has no end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTier {
    up_to: Option<u64>,
    usd: String,
    status: Option<Status>,
}

impl RawCharge {
    pub(super) fn checked(self, cloud: &str) -> Result<Charge> {
        let rate = match (self.unit, self.tiers, self.per, self.usd_per_hour) {
            (Some(unit), Some(raw), None, None) => Rate::Volume(unit, tiers(raw, self.status)?),
            (None, None, Some(per), Some(usd)) => hourly(per, &usd, self.status)?,
            _ => bail!("it needs either unit and tiers, or per and usd_per_hour"),
        };
        Ok(Charge {
            id: self.id,
            cloud: cloud.into(),
            path: self.path,
            side: self.side,
            regions: self.regions,
            to_regions: self.to_regions,
            rate,
            status: self.status,
            source: self.source,
            read: self.read,
        })
    }
}

fn hourly(per: String, usd: &str, status: Status) -> Result<Rate> {
    match (usd, status) {
        ("unknown", Status::Unknown) => Ok(Rate::Hourly(per, None)),
        ("unknown", _) | (_, Status::Unknown) => {
            bail!("an unknown price has the status \"unknown\", and no other has")
        }
        (usd, _) => Ok(Rate::Hourly(per, Some(usd.parse().map_err(|why| anyhow!("{why}"))?))),
    }
}

fn tiers(raw: Vec<RawTier>, status: Status) -> Result<Vec<Tier>> {
    let count = raw.len();
    let mut tiers: Vec<Tier> = Vec::new();
    for (index, tier) in raw.into_iter().enumerate() {
        let below = tiers.last().and_then(|last| last.up_to).unwrap_or(0);
        match tier.up_to {
            None if index + 1 == count => {}
            Some(up_to) if index + 1 < count && up_to > below => {}
            _ => bail!("tiers go up, and the last alone has no up_to"),
        }
        let status = tier.status.unwrap_or(status);
        if status == Status::Unknown {
            bail!("a price by volume cannot be unknown: leave the charge out");
        }
        let price = tier.usd.parse().map_err(|why| anyhow!("{why}"))?;
        tiers.push(Tier { up_to: tier.up_to, price, status });
    }
    if tiers.is_empty() {
        bail!("it has no tier");
    }
    Ok(tiers)
}

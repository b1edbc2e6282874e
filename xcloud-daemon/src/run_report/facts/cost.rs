//! What a GB on a path costs by the built-in list.

use std::time::Duration;

use serde::Serialize;

use super::measured::Figure;
use crate::{
    cost::{
        estimate::{Estimate, bytes_of, estimate},
        money::Money,
        price::{Consumption, MONTH_HOURS, price},
        route::Route,
        tariff::{Status, Tariffs},
        volume::MOST_BYTES,
    },
    place::Place,
};

/// Bytes in a month for which the price is shown: 10 TB.
const MONTH: u64 = 10_000_000_000_000;

/// A list price.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Mean of a GB (10^9 bytes) on the wire, at 10 TB a month by the usual path.
    pub usd_per_gb: Money,
    /// That path.
    pub path: String,
    /// The least sure of its prices.
    pub status: Status,
    /// Of the price lists.
    pub tariffs: Vec<String>,
}

impl Cost {
    pub(super) fn of(from: Place, to: Place, tariffs: &Tariffs) -> Option<Self> {
        let route = Route::new(from, to, None, &[]).ok()?;
        let consumed = Consumption { bytes: MONTH, month_to_date: 0, hours: MONTH_HOURS };
        let bill = price(&route.charges(tariffs).ok()?, consumed);
        Some(Self {
            usd_per_gb: bill.total.share(1_000_000_000, MONTH),
            path: route.path,
            status: bill.lines.iter().map(|line| line.status).max()?,
            tariffs: tariffs.versions.clone(),
        })
    }
}

/// What the usual trial moved, by a throughput and its time; `None` of another figure.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below zero and beyond the largest are cut to what there is"
)]
pub(super) fn moved(
    [from, to]: [&str; 2],
    throughput: &Figure,
    seconds: &Figure,
    tariffs: &Tariffs,
) -> Option<Estimate> {
    let throughput = Some(throughput).filter(|one| one.unit == "bit/s")?;
    let duration = Duration::try_from_secs_f64(seconds.median).ok()?;
    let bytes = bytes_of(throughput.median as u64, duration).min(MOST_BYTES);
    Some(estimate(from, to, bytes, tariffs))
}

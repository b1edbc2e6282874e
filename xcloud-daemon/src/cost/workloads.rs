//! A month's bill, shared among the workloads that caused it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    money::Money,
    price::{Bill, Consumption, price},
    route::{Owed, Route},
    tariff::{Rate, Tariffs},
};
use crate::place::Place;

pub mod read;

/// What a workload sent to one place in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub workload: String,
    /// Where it leaves.
    pub from: Place,
    /// Where to.
    pub to: Place,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets, where known.
    pub packets: Option<u64>,
    /// Bytes of these that are payload, where known.
    pub payload_bytes: Option<u64>,
}

/// A workload's part of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub workload: String,
    /// Where to.
    pub to_site: String,
    /// By what way.
    pub path: String,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets, where known.
    pub packets: Option<u64>,
    /// Its part.
    pub usd: Money,
    /// Where it leaves.
    pub from_site: String,
    /// Bytes of these that are payload, where known.
    pub payload_bytes: Option<u64>,
}

/// The whole bill, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Month {
    /// Dearest first; together they are the bill.
    pub rows: Vec<Row>,
    /// The bill.
    pub bill: Bill,
}

/// How the rows are sent and charged.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// By what way; the usual one if none is named.
    pub path: Option<&'a str>,
    /// What else processes them.
    pub via: &'a [String],
    /// Sent before, and hours.
    pub before: Consumption,
}

/// A month's table. Tiers are the account's: each byte bears the average price of its charge. What is paid by the hour
/// is paid once between two regions by each end that pays, whichever way bytes go and to whichever zone, and shared by
/// bytes.
///
/// # Errors
/// No price is known for a row.
pub fn month(usage: &[Usage], terms: Terms<'_>, tariffs: &Tariffs) -> Result<Month> {
    let mut routes = Vec::new();
    for (number, row) in (1..).zip(usage) {
        let (from, to) = (row.from.clone(), row.to.clone());
        let route = Route::new(from, to, terms.path, terms.via)
            .with_context(|| format!("row {number}, {}", row.workload))?;
        routes.push(route);
    }
    let mut shares: BTreeMap<(&str, Option<Ends<'_>>), Share<'_>> = BTreeMap::new();
    for (at, route) in routes.iter().enumerate() {
        let row = &usage[at];
        let owed =
            route.charges(tariffs).with_context(|| format!("row {}, {}", at + 1, row.workload))?;
        for one in owed {
            let paid_once = matches!(one.charge.rate, Rate::Hourly(..));
            let ends = paid_once.then(|| (region(one.place), one.other.map(region)));
            let key = (&*one.charge.id, ends);
            let share = shares.entry(key).or_insert_with(|| Share { owed: one, rows: Vec::new() });
            share.rows.push(at);
        }
    }
    Ok(divided(usage, &routes, shares.into_values(), terms.before))
}

/// A cloud and a region of it.
type Region<'a> = (&'a str, &'a str);

/// The region that pays, and the one at the other end.
type Ends<'a> = (Region<'a>, Option<Region<'a>>);

fn region(place: &Place) -> Region<'_> {
    (&place.cloud, &place.region)
}

/// A charge and the rows that bear it.
struct Share<'a> {
    owed: Owed<'a>,
    rows: Vec<usize>,
}

fn divided<'a>(
    usage: &[Usage],
    routes: &[Route],
    shares: impl Iterator<Item = Share<'a>>,
    before: Consumption,
) -> Month {
    let mut paid = vec![Money::default(); usage.len()];
    let mut bill = Bill::default();
    for Share { owed, rows } in shares {
        let bytes = rows.iter().fold(0u64, |sum, at| sum.saturating_add(usage[*at].bytes));
        let mut part = price(&[owed], Consumption { bytes, ..before });
        let mut rest = part.total;
        for (at, left) in rows.iter().zip((0..rows.len()).rev()) {
            let mine = if left == 0 { rest } else { part.total.share(usage[*at].bytes, bytes) };
            rest = rest.less(mine);
            paid[*at] = paid[*at] + mine;
        }
        bill.total = bill.total + part.total;
        bill.lines.append(&mut part.lines);
        bill.missing.append(&mut part.missing);
    }
    let mut rows: Vec<Row> = usage
        .iter()
        .zip(routes)
        .zip(paid)
        .map(|((row, route), usd)| Row {
            workload: row.workload.clone(),
            to_site: row.to.to_string(),
            path: route.path.clone(),
            bytes: row.bytes,
            packets: row.packets,
            usd,
            from_site: row.from.to_string(),
            payload_bytes: row.payload_bytes,
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.usd));
    Month { rows, bill }
}

#[cfg(test)]
mod tests;

//! What a month's bytes on one route cost, line by line.

use serde::Serialize;

use super::{
    money::{Money, Price},
    route::Owed,
    tariff::{Charge, Rate, Status, Tier},
    volume::Unit,
};

/// Hours of an average month.
pub const MONTH_HOURS: u32 = 730;

/// What is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Consumption {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes charged before them in the same month.
    pub month_to_date: u64,
    /// Hours of each port, gateway or attachment.
    pub hours: u32,
}

/// One amount of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Name of the charge.
    pub charge: String,
    /// The place that pays.
    pub place: String,
    /// How much of what, e.g. `9900 GB`, `730 h of a port`.
    pub what: String,
    /// Price of one, in dollars.
    pub price: Price,
    /// The amount.
    pub usd: Money,
    /// How sure the price is.
    pub status: Status,
    /// Where it was read.
    pub source: String,
    /// When.
    pub read: String,
}

/// A charge without a known price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Name of the charge.
    pub charge: String,
    /// What is charged for.
    pub per: String,
    /// What is known.
    pub source: String,
}

/// All amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// What is known.
    pub lines: Vec<Line>,
    /// What has to be added.
    pub missing: Vec<Missing>,
    /// Sum of the lines.
    pub total: Money,
}

/// The bill for what was consumed.
#[must_use]
pub fn price(owed: &[Owed<'_>], consumed: Consumption) -> Bill {
    let mut bill = Bill::default();
    for one in owed {
        match &one.charge.rate {
            Rate::Volume(unit, tiers) => bill.lines.extend(by_volume(one, *unit, tiers, consumed)),
            Rate::Hourly(per, Some(price)) => {
                let what = format!("{} h of a {per}", consumed.hours);
                let usd = price.of_hours(consumed.hours);
                bill.lines.push(line(one, what, *price, usd, one.charge.status));
            }
            Rate::Hourly(per, None) => bill.missing.push(missing(one.charge, per)),
        }
    }
    bill.total = bill.lines.iter().map(|line| line.usd).sum();
    bill
}

fn by_volume<'a>(
    owed: &'a Owed<'_>,
    unit: Unit,
    tiers: &'a [Tier],
    consumed: Consumption,
) -> impl Iterator<Item = Line> + 'a {
    let (first, last) =
        (consumed.month_to_date, consumed.month_to_date.saturating_add(consumed.bytes));
    let mut below = 0;
    tiers.iter().filter_map(move |tier| {
        let end = tier.up_to.map_or(u64::MAX, |units| units.saturating_mul(unit.bytes()));
        let bytes = last.min(end).saturating_sub(first.max(below));
        below = end;
        let what = format!("{} {unit}", units(bytes, unit));
        let usd = tier.price.of_bytes(bytes, unit);
        (bytes > 0).then(|| line(owed, what, tier.price, usd, tier.status))
    })
}

/// Bytes in units, with as many of nine decimals as say something.
fn units(bytes: u64, unit: Unit) -> String {
    let (whole, rest) = (bytes / unit.bytes(), bytes % unit.bytes());
    let billionths = u128::from(rest) * 1_000_000_000 / u128::from(unit.bytes());
    let text = format!("{whole}.{billionths:09}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

fn line(owed: &Owed<'_>, what: String, price: Price, usd: Money, status: Status) -> Line {
    let Charge { id, source, read, .. } = owed.charge;
    let (charge, source, read) = (id.clone(), source.clone(), read.clone());
    Line { charge, place: owed.place.to_string(), what, price, usd, status, source, read }
}

fn missing(charge: &Charge, per: &str) -> Missing {
    Missing { charge: charge.id.clone(), per: per.into(), source: charge.source.clone() }
}

#[cfg(test)]
mod tests;

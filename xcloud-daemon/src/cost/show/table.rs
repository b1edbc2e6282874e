//! Cost for people.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::super::{
    command::{Answer, Change},
    measured::Measured,
    money::Money,
    price::{Bill, Line},
    tariff::Status,
    volume::Volume,
    workloads::Month,
};
use crate::{
    escape::{clean, fit},
    report::style::grouped,
};

pub(super) fn answer(answer: &Answer) -> String {
    let Answer { route, consumed, .. } = answer;
    let mut text = format!(
        "{} -> {} by {}: {} in a month",
        clean(&route.from.to_string()),
        clean(&route.to.to_string()),
        clean(&route.path),
        Volume(consumed.bytes)
    );
    for via in &route.via {
        let _ = write!(text, ", through {}", clean(via));
    }
    if consumed.month_to_date > 0 {
        let _ = write!(text, ", after {} this month", Volume(consumed.month_to_date));
    }
    text.push('\n');
    bill(&mut text, &answer.bill);
    per_gb(&mut text, &answer.bill, answer.usd_per_gb, answer.usd_per_payload_gb);
    for one in &answer.what_if {
        change(&mut text, one, answer);
    }
    let bills = std::iter::once(&answer.bill).chain(answer.what_if.iter().map(|one| &one.bill));
    sources(&mut text, bills.flat_map(|bill| &bill.lines), &answer.tariffs);
    text
}

fn change(text: &mut String, change: &Change, answer: &Answer) {
    let before = answer.bill.total;
    let percent = |usd: Money| {
        let whole = before.approximate();
        let known = whole > 0.0 && answer.bill.missing.is_empty();
        let share = usd.approximate() / whole * 100.0;
        if known { format!(" ({share:.2} %)") } else { String::new() }
    };
    let verdict = match (change.cheaper, change.difference) {
        (Some(true), Some(usd)) => format!("{usd} USD less{}", percent(usd)),
        (Some(false), _) if change.bill.total == before => "the same".into(),
        (Some(false), Some(usd)) => format!("{usd} USD more{}", percent(usd)),
        _ => format!(
            "cannot be said, the price is not known of {}",
            clean(&change.unknown.join(", "))
        ),
    };
    let _ = writeln!(text, "\nwhat if {}: {verdict}", clean(&change.change));
    bill(text, &change.bill);
    let _ = writeln!(text, "  {}", clean(&change.remark));
    let (now, then) = (answer.traffic.bytes, change.traffic.bytes);
    if now != then {
        let _ = writeln!(text, "  {} B then, {} B now", grouped(then), grouped(now));
    }
    match change.pays_from_bytes {
        Some(0) => text.push_str("  never dearer, whatever the volume\n"),
        Some(bytes) => {
            let _ = writeln!(text, "  pays from {} a month on", Volume(bytes));
        }
        None => {}
    }
}

pub(super) fn month(month: &Month, tariffs: &[String]) -> String {
    let mut text = format!(
        "{:<32} {:<28} {:<14} {:>10} {:>14} {:>14}\n",
        "workload", "to", "by", "bytes", "packets", "USD"
    );
    for row in &month.rows {
        let packets = row.packets.map(grouped).unwrap_or_default();
        let [workload, to, path] = [(&row.workload, 32), (&row.to_site, 28), (&row.path, 14)]
            .map(|(label, columns)| fit(&clean(label), columns));
        let (bytes, usd) = (Volume(row.bytes).to_string(), row.usd.to_string());
        let _ = writeln!(text, "{workload} {to} {path} {bytes:>10} {packets:>14} {usd:>14}");
    }
    text.push('\n');
    bill(&mut text, &month.bill);
    mean(&mut text, month);
    sources(&mut text, month.bill.lines.iter(), tariffs);
    text
}

pub(super) fn measured(measured: &Measured, tariffs: &[String]) -> String {
    let mut text = String::new();
    for node in &measured.nodes {
        let _ = writeln!(
            text,
            "{}: {} counted in {}",
            clean(&node.node),
            Volume(node.bytes),
            humantime::format_duration(Duration::from_secs(node.counted_for_s))
        );
    }
    if measured.per_month {
        text.push_str("below, what a month at this rate would be\n");
    }
    let _ = writeln!(
        text,
        "\n{:<34} {:<26} {:<26} {:<13} {:>9} {:>9} {:>14} {:>12}",
        "workload", "from", "to", "by", "wire", "payload", "packets", "USD"
    );
    let mut line = |labels: [&str; 4], bytes, payload: Option<u64>, packets, usd: &str| {
        let widths = [34, 26, 26, 13].into_iter();
        let labels = labels.iter().zip(widths).map(|(label, width)| fit(&clean(label), width));
        let labels = labels.collect::<Vec<_>>().join(" ");
        let payload =
            payload.map_or_else(|| "unknown".into(), |payload| Volume(payload).to_string());
        let (bytes, packets) = (Volume(bytes).to_string(), grouped(packets));
        let _ = writeln!(text, "{labels} {bytes:>9} {payload:>9} {packets:>14} {usd:>12}");
    };
    for row in &measured.month.rows {
        let labels = [&*row.workload, &row.from_site, &row.to_site, &row.path];
        let packets = row.packets.unwrap_or_default();
        line(labels, row.bytes, row.payload_bytes, packets, &row.usd.to_string());
    }
    for row in &measured.unpriced {
        let labels = [&*row.workload, &row.from_site, &row.to_site, ""];
        line(labels, row.bytes, row.payload_bytes, row.packets, "not priced");
    }
    text.push('\n');
    bill(&mut text, &measured.month.bill);
    mean(&mut text, &measured.month);
    let mut unpriced: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &measured.unpriced {
        *unpriced.entry(&row.why).or_default() += row.bytes;
    }
    for (why, bytes) in unpriced {
        let _ = writeln!(text, "  without {}: {}", Volume(bytes), clean(why));
    }
    sources(&mut text, measured.month.bill.lines.iter(), tariffs);
    text
}

/// Of all rows together; of payload only where it is known of each.
fn mean(text: &mut String, month: &Month) {
    const GB: u64 = 1_000_000_000;
    let sum = |bytes: u64, more: u64| bytes.saturating_add(more);
    let wire = month.rows.iter().map(|row| row.bytes).fold(0, sum);
    let payload = month.rows.iter().try_fold(0, |all, row| Some(sum(all, row.payload_bytes?)));
    if wire > 0 {
        let share = |bytes| month.bill.total.share(GB, bytes);
        let payload = payload.filter(|bytes| *bytes > 0);
        per_gb(text, &month.bill, share(wire), payload.map(share));
    }
}

fn per_gb(text: &mut String, bill: &Bill, wire: Money, payload: Option<Money>) {
    let at_least = at_least(bill);
    let _ = write!(text, "  {at_least}{wire:.4} USD per GB on the wire");
    if let Some(usd) = payload {
        let _ = write!(text, ", {at_least}{usd:.4} USD per GB of payload");
    }
    text.push('\n');
}

fn at_least(bill: &Bill) -> &'static str {
    if bill.missing.is_empty() { "" } else { "at least " }
}

fn bill(text: &mut String, bill: &Bill) {
    for line in &bill.lines {
        let (what, usd) = (clean(&line.what), line.usd.to_string());
        let charge = clean(&line.charge);
        let each = line.price.to_string();
        let doubt = if line.status == Status::Listed { "" } else { "  to be checked" };
        let _ = writeln!(text, "  {charge:<36} {what:>32} x {each:<7} {usd:>12} USD{doubt}");
    }
    for one in &bill.missing {
        let (charge, per) = (clean(&one.charge), clean(&one.per));
        let _ = writeln!(text, "  {charge:<36} price not known: {per}; add it with --tariffs");
    }
    let total = format!("{}{}", at_least(bill), bill.total);
    let _ = writeln!(text, "  {:<36} {total:>54} USD", "total");
}

fn sources<'a>(text: &mut String, lines: impl Iterator<Item = &'a Line>, tariffs: &[String]) {
    let versions: Vec<_> = tariffs.iter().map(|version| clean(version)).collect();
    let _ = writeln!(text, "\nlist prices before tax and discounts: {}", versions.join(", "));
    let mut told: Vec<&str> = Vec::new();
    for line in lines {
        if !told.contains(&&*line.charge) {
            told.push(&line.charge);
            let [charge, read, source] =
                [&line.charge, &line.read, &line.source].map(|one| clean(one));
            let _ = writeln!(text, "  {charge}: {}, {read}: {source}", line.status);
        }
    }
}

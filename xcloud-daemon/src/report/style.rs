//! Figures and words for people, and what a terminal can take.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};

use super::{Site, Workload};
pub use crate::escape::clean;
use crate::escape::shorten;

/// Longest label shown in full.
const LABEL_COLUMNS: usize = 64;

/// Whether to use colour: on a terminal, unless `NO_COLOR` is set.
#[must_use]
pub fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Writes to standard output. A reader that has seen enough is no error; returns whether there still is one.
///
/// # Errors
/// Writing fails otherwise.
pub fn print(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("writing to standard output"),
    }
}

/// Text in bold.
#[must_use]
pub fn bold(text: &str, color: bool) -> String {
    if color { format!("\x1b[1m{text}\x1b[0m") } else { text.into() }
}

/// Text that steps back.
#[must_use]
pub fn dim(text: &str, color: bool) -> String {
    if color { format!("\x1b[2m{text}\x1b[0m") } else { text.into() }
}

/// A site's labels, most general first.
#[must_use]
pub fn place(site: &Site) -> String {
    // A zone's name nearly always begins with its region's.
    let region = if site.zone.starts_with(&site.region) { "" } else { &site.region };
    let region = if site.zone.is_empty() { &site.region } else { region };
    let labels = [&site.cloud, region, &site.zone, &site.cluster, &site.node];
    let named = labels.into_iter().filter(|label| !label.is_empty());
    let named: Vec<_> = named.map(|label| shorten(&clean(label), LABEL_COLUMNS)).collect();
    if named.is_empty() { "(no labels)".into() } else { named.join(" ") }
}

/// A workload's names, most general first: `shop/cart`, and the pod where pods are told apart.
#[must_use]
pub fn workload(workload: &Workload) -> String {
    let names = [&workload.namespace, &workload.name, &workload.pod];
    let known: Vec<_> = names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| shorten(&clean(name), LABEL_COLUMNS))
        .collect();
    known.join("/")
}

/// A site, and whose pods there where that is told.
#[must_use]
pub fn end(site: &Site, whose: Option<&Workload>) -> String {
    let whose = whose.map(workload).filter(|name| !name.is_empty());
    whose.map_or_else(|| place(site), |name| format!("{} {name}", place(site)))
}

/// A time in three significant digits.
#[must_use]
pub fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "us"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// A time below zero too.
#[must_use]
pub fn signed_time(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "" }, time(ns.unsigned_abs()))
}

/// A number with its digits in groups of three.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A share in percent; never 100 % unless it is all.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let tenths = (ratio * 1000.0).floor() / 10.0;
    if ratio >= 1.0 { "100 %".into() } else { format!("{tenths:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let shown = [0, 999, 1_000, 12_340, 999_499, 999_500, 40_150_000, 1_500_000_000].map(time);
        let wanted =
            ["0 ns", "999 ns", "1.00 us", "12.3 us", "999 us", "1.00 ms", "40.1 ms", "1.50 s"];
        assert_eq!(shown, wanted);
        assert_eq!(signed_time(-1_500), "-1.50 us");
    }

    #[test]
    fn numbers_are_grouped_and_shares_not_rounded_up() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([1.0, 0.9999, 0.0].map(percent), ["100 %", "99.9 %", "0.0 %"]);
    }

    #[test]
    fn an_end_is_a_place_and_whose_pods_are_there() {
        let site = Site { cloud: "aws".into(), node: "a".into(), ..Site::default() };
        let cart = Workload {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: "cart\u{1b}".into(),
            pod: String::new(),
        };
        assert_eq!(end(&site, Some(&cart)), "aws a shop/cart\\x1b");
        assert_eq!(end(&site, Some(&Workload::default())), "aws a");
        assert_eq!(end(&site, None), "aws a");
    }

    #[test]
    fn a_place_says_no_label_twice() {
        let site = |region: &str, zone: &str| Site {
            cloud: "aws".into(),
            region: region.into(),
            zone: zone.into(),
            node: "a".into(),
            ..Site::default()
        };
        assert_eq!(place(&site("us-east-1", "us-east-1b")), "aws us-east-1b a");
        assert_eq!(place(&site("us-east-1", "")), "aws us-east-1 a");
        assert_eq!(place(&site("", "")), "aws a");
        assert_eq!(place(&Site::default()), "(no labels)");
    }
}

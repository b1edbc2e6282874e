//! For people.

use std::fmt::Write as _;

use super::{
    comparison::{Comparison, Estimate},
    report::{Report, Side},
    stats::verdict::Verdict,
};
use crate::report::style::{bold, clean, dim, signed_time};

/// Columns of figures; the one without a name is the interval.
const COLUMNS: [&str; 8] = ["A", "B", "B to A", "", "p", "finds", "needs", "trials"];

type Cells = [String; COLUMNS.len()];

/// The report as text.
#[must_use]
pub fn table(report: &Report, color: bool) -> String {
    let mut text = String::new();
    for (name, side) in [("A", &report.a), ("B", &report.b)] {
        let _ = writeln!(text, "{name}: {}", described(side));
    }
    let names = report.comparisons.iter().map(|one| clean(&one.name()));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for pair in report.comparisons.chunk_by(|one, two| key(one) == key(two)) {
        let (test, from, to) = key(&pair[0]);
        let title = format!("{} {} -> {}", clean(test), clean(from), clean(to));
        let _ = writeln!(text, "\n{}", bold(&title, color));
        let (context, judged): (Vec<_>, Vec<_>) =
            pair.iter().partition(|one| one.verdict == Verdict::NotJudged);
        let ordered: Vec<_> = judged.iter().chain(&context).copied().collect();
        let rows: Vec<Cells> =
            [header(report)].into_iter().chain(ordered.iter().map(|one| cells(one))).collect();
        let mut lines = aligned(&rows).into_iter();
        let head = lines.next().unwrap_or_default() + "  verdict";
        let _ = writeln!(text, "  {:width$}{}", "", dim(&head, color));
        for (at, (one, line)) in ordered.into_iter().zip(lines).enumerate() {
            if at == judged.len() {
                let _ = writeln!(text, "  {}", dim("context, not judged", color));
            }
            let name = clean(&one.name());
            let _ = writeln!(text, "  {name:width$}{line}  {}", verdict(one, color).trim_end());
        }
    }
    text.push('\n');
    for line in method(report) {
        let _ = writeln!(text, "{}", dim(&line, color));
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "{} {}", bold("warning:", color), clean(warning));
    }
    text
}

fn verdict(one: &Comparison, color: bool) -> String {
    match one.verdict {
        // Its heading says so.
        Verdict::NotJudged => String::new(),
        Verdict::Better | Verdict::Worse | Verdict::Equivalent => bold(one.verdict.words(), color),
        Verdict::NoDifferenceShown | Verdict::NotEnoughTrials => one.verdict.words().into(),
    }
}

fn key(one: &Comparison) -> (&str, &str, &str) {
    (&one.test, &one.from, &one.to)
}

fn described(side: &Side) -> String {
    let trials = if side.trials == 1 { "trial" } else { "trials" };
    format!(
        "{}, {} {trials}, {}",
        clean(&side.label),
        side.trials,
        clean(&side.tools.join(" and "))
    )
}

fn header(report: &Report) -> Cells {
    let level = format!("{} % interval", digits((1.0 - report.alpha) * 100.0));
    COLUMNS.map(|name| if name.is_empty() { level.clone() } else { name.into() })
}

/// Each column as wide as its widest cell.
fn aligned(rows: &[Cells]) -> Vec<String> {
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0) + 2;
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    rows.iter()
        .map(|row| row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect())
        .collect()
}

fn cells(one: &Comparison) -> Cells {
    let [a, b] = [(one.a, one.at_least[0]), (one.b, one.at_least[1])].map(|(value, at_least)| {
        format!("{}{}", if at_least { ">= " } else { "" }, figure(value, &one.unit))
    });
    let (difference, interval) = shift(one);
    let p = one.p_adjusted.map_or_else(|| "-".into(), probability);
    let finds = one.detectable.map(|share| format!("{} %", digits(share * 100.0)));
    let needs = one.trials_needed.map(|trials| trials.to_string());
    let [finds, needs] = [finds, needs].map(|cell| cell.unwrap_or_else(|| "-".into()));
    [a, b, difference, interval, p, finds, needs, format!("{} + {}", one.trials[0], one.trials[1])]
}

/// The difference and its interval: as a ratio where there is one, otherwise as it is.
#[must_use]
pub fn shift(one: &Comparison) -> (String, String) {
    let Some(ratio) = one.ratio else {
        let figure = |value: f64| signed(value, |value| figure(value, &one.unit));
        return both(one.difference, figure, "");
    };
    let percent = |ratio: f64| signed((ratio - 1.0) * 100.0, digits);
    both(ratio, percent, " %")
}

fn both(estimate: Estimate, show: impl Fn(f64) -> String, unit: &str) -> (String, String) {
    let interval = estimate.interval.map_or_else(
        || "-".into(),
        |interval| format!("{} to {}{unit}", show(interval.low), show(interval.high)),
    );
    (show(estimate.value) + unit, interval)
}

fn signed(value: f64, show: impl Fn(f64) -> String) -> String {
    let shown = show(value);
    if value > 0.0 && shown != "0" { format!("+{shown}") } else { shown }
}

/// Three significant digits, at most two decimals.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

fn probability(p: f64) -> String {
    if p < 0.000_1 {
        "< 0.0001".into()
    } else if p < 0.01 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

/// A value with its unit.
#[expect(clippy::cast_possible_truncation, reason = "saturates, far from any time measured")]
fn figure(value: f64, unit: &str) -> String {
    if unit == "ns" {
        return signed_time(value.round() as i64);
    }
    // What is counted, in braces, is in the figure's name.
    let counted = unit.split_once('}').filter(|_| unit.starts_with('{')).map(|(_, rest)| rest);
    let unit = match counted.unwrap_or(unit) {
        "1" => String::new(),
        "By" => "B".into(),
        "By/s" => "B/s".into(),
        // UCUM's brackets.
        other => clean(other.trim_matches(['[', ']'])),
    };
    let (scaled, prefix) = match value.abs() {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{} {prefix}{unit}", digits(scaled)).trim_end().into()
}

fn method(report: &Report) -> Vec<String> {
    let design = if report.paired { "pairs" } else { "independent trials" };
    let level = digits(report.alpha * 100.0);
    let effect = digits(report.effect * 100.0);
    let mut lines = vec![
        format!(
            "{design}; p holds the chance of even one false alarm among all {} at {level} % (Holm; of a distribution's \
             quantiles, the largest); intervals are each by itself",
            report.families
        ),
        format!(
            "finds: the smallest difference found with 80 % probability; needs: trials of each run to find {effect} %"
        ),
    ];
    if let Some(equiv) = report.equiv {
        lines.push(format!(
            "equivalent: shown to differ by less than {} %, two one-sided tests at {level} % each",
            digits(equiv * 100.0)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_their_unit() {
        let shown = [
            figure(9.414e9, "bit/s"),
            figure(12_340_000.0, "ns"),
            figure(110_932.19, "{request}/s"),
            figure(3.0, "{segment}"),
            figure(0.023, "1"),
            figure(-1_500.0, "ns"),
        ];
        assert_eq!(shown, ["9.41 Gbit/s", "12.3 ms", "111 k/s", "3", "0.02", "-1.50 us"]);
    }

    #[test]
    fn a_shift_has_its_sign() {
        let shown = [0.0, -0.001, 2.0, -2.5, 123.4].map(|value| signed(value, digits));
        assert_eq!(shown, ["0", "0", "+2", "-2.5", "+123"]);
        assert_eq!([0.5, 0.0079, 1e-9].map(probability), ["0.500", "0.0079", "< 0.0001"]);
    }
}

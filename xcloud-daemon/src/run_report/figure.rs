//! Figures in the units people read.

use crate::report::style::{grouped, time};

/// A value in a UCUM unit.
#[must_use]
pub fn figure(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return "no number".into();
    }
    match unit {
        "ns" => signed(value, |ns| time(whole(ns))),
        "bit/s" => signed(value, |value| scaled(value, "bit/s")),
        "By" => signed(value, |value| scaled(value, "B")),
        "By/s" => signed(value, |value| scaled(value, "B/s")),
        "1" | "" => plain(value),
        unit => {
            let name: String =
                unit.chars().filter(|c| !matches!(c, '{' | '}' | '[' | ']')).collect();
            format!("{} {name}", plain(value))
        }
    }
}

fn signed(value: f64, show: impl Fn(f64) -> String) -> String {
    format!("{}{}", if value < 0.0 { "-" } else { "" }, show(value.abs()))
}

fn scaled(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut value = value;
    let mut step = 0;
    while value >= 999.5 && step + 1 < PREFIXES.len() {
        value /= 1000.0;
        step += 1;
    }
    format!("{} {}{unit}", three_digits(value), PREFIXES[step])
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        0.0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn plain(value: f64) -> String {
    if value.abs() >= 999.5 {
        signed(value, |value| grouped(whole(value.round())))
    } else if value.fract() == 0.0 {
        format!("{value}")
    } else if value.abs() < 0.01 {
        format!("{value:.2e}")
    } else {
        signed(value, three_digits)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; what is too large becomes the largest"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let shown = [
            figure(9.412e9, "bit/s"),
            figure(12_340_000.0, "ns"),
            figure(-1_500.0, "ns"),
            figure(45e9, "By"),
            figure(1_994.4, "{request}/s"),
            figure(-0.5, "[ppm]"),
            figure(0.25, "1"),
            figure(7.0, "1"),
            figure(f64::NAN, "1"),
            figure(1e300, "ns"),
        ];
        let wanted = [
            "9.41 Gbit/s",
            "12.3 ms",
            "-1.50 us",
            "45.0 GB",
            "1 994 request/s",
            "-0.50 ppm",
            "0.25",
            "7",
            "no number",
            "18446744074 s",
        ];
        assert_eq!(shown, wanted);
    }
}

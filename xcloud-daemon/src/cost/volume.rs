//! Numbers of bytes as people and price lists write them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most bytes taken: an exabyte, so that no amount of money overflows.
pub const MOST_BYTES: u64 = 1_000_000_000_000_000_000;

/// What a price is per.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// 10^9 bytes.
    GB,
    /// 2^30 bytes.
    GiB,
}

impl Unit {
    /// How many bytes it is.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::GB => 1_000_000_000,
            Self::GiB => 1 << 30,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GB => "GB",
            Self::GiB => "GiB",
        })
    }
}

/// A number of bytes, typed as `10TB` or `9.5GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Volume(pub u64);

const SUFFIXES: [(&str, u64); 11] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("B", 1),
];

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no volume: a number and one of B, kB, MB, GB, TB, PB, KiB .. PiB; at most 1000 PB"
            )
        };
        let number = |(suffix, factor): &(&str, u64)| {
            text.strip_suffix(suffix).map(|number| (number.trim_end(), *factor))
        };
        let (number, factor) = SUFFIXES.iter().find_map(number).unwrap_or((text, 1));
        let bytes = scaled(number, factor).filter(|bytes| *bytes <= MOST_BYTES);
        bytes.map(Self).ok_or_else(wrong)
    }
}

/// A decimal number times a factor; nothing if that is no whole number.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 19 || part.len() > 15 {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(part.len()).ok()?);
    let value = format!("{whole}{part}").parse::<u128>().ok()?.checked_mul(factor.into())?;
    if value % scale == 0 { u64::try_from(value / scale).ok() } else { None }
}

impl fmt::Display for Volume {
    /// In three or four digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
        let mut value = self.0 as f64;
        let mut name = 0;
        while value >= 999.95 && name + 1 < NAMES.len() {
            value /= 1000.0;
            name += 1;
        }
        let decimals =
            if name == 0 || value.fract() == 0.0 { 0 } else { 1 + usize::from(value < 9.995) };
        write!(f, "{value:.decimals$} {}", NAMES[name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        text.parse::<Volume>().expect(text).0
    }

    #[test]
    fn decimal_and_binary_units_are_told_apart() {
        assert_eq!(bytes("10TB"), 10_000_000_000_000);
        assert_eq!(bytes("9.5 GiB"), 10_200_547_328);
        assert_eq!(bytes("1500"), 1500);
        assert_eq!(bytes("0.5kB"), 500);
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        let long = "9".repeat(40);
        let odd = ["10GBGB", "10BB", "10GiBGiB", "0.5B", "10 T", "1e9", "2000PB", &long];
        for wrong in ["", "TB", "-1GB", "1.2.3GB"].into_iter().chain(odd) {
            assert!(wrong.parse::<Volume>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn volumes_are_shown_short() {
        let shown = [0, 999, 1_500, 45_000_000_000, 10_000_000_000_000, 999_999_999_999]
            .map(|b| Volume(b).to_string());
        assert_eq!(shown, ["0 B", "999 B", "1.50 kB", "45 GB", "10 TB", "1.00 TB"]);
    }
}

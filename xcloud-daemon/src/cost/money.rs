//! US dollars without rounding.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Serialize, Serializer};

use super::volume::Unit;

/// Atoms in a millionth of a dollar: the smallest number that the bytes of a GB and of a GiB both divide, so that any
/// number of bytes at any price is a whole number of atoms.
const ATOMS_PER_MICRO: u128 = (1 << 30) * 5u128.pow(9);

/// Atoms in a dollar.
const ATOMS_PER_USD: u128 = ATOMS_PER_MICRO * 1_000_000;

/// Decimals that any amount needs at most: 30 for the bytes of a GiB, 6 for the price.
const DECIMALS: usize = 36;

/// Millionths of a dollar in the highest price taken, so that no sum of amounts overflows.
const HIGHEST_PRICE: u64 = 1_000_000_000;

/// An amount of US dollars, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u128);

impl Money {
    /// What `part` of `whole` bytes has to bear of this amount, rounded down to an atom.
    #[must_use]
    pub const fn share(self, part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self(0);
        }
        let (part, whole) = (part as u128, whole as u128);
        let rest = (self.0 % whole).saturating_mul(part) / whole;
        Self((self.0 / whole).saturating_mul(part).saturating_add(rest))
    }

    /// This amount less another, or nothing if that is larger.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// As a number of dollars, for figures beside which rounding does not matter.
    #[must_use]
    pub const fn approximate(self) -> f64 {
        self.0 as f64 / ATOMS_PER_USD as f64
    }

    /// All decimals.
    #[must_use]
    pub fn exact(self) -> String {
        let mut rest = self.0 % ATOMS_PER_USD;
        let mut text = format!("{}.", self.0 / ATOMS_PER_USD);
        for _ in 0..DECIMALS {
            rest *= 10;
            text += &(rest / ATOMS_PER_USD).to_string();
            rest %= ATOMS_PER_USD;
        }
        text.trim_end_matches('0').trim_end_matches('.').into()
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Money {
    /// With two decimals unless told otherwise, rounded half up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(2).min(12);
        let step = ATOMS_PER_USD / 10u128.pow(u32::try_from(decimals).unwrap_or(12));
        let steps = self.0 / step + u128::from(self.0 % step * 2 >= step);
        let digits = format!("{steps:0width$}", width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        if part.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{part}") }
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

/// A price in millionths of a dollar for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

impl Price {
    /// What so many bytes cost.
    #[must_use]
    pub fn of_bytes(self, bytes: u64, unit: Unit) -> Money {
        let per_byte = u128::from(self.0) * (ATOMS_PER_MICRO / u128::from(unit.bytes()));
        Money(per_byte.saturating_mul(bytes.into()))
    }

    /// What so many hours cost.
    #[must_use]
    pub fn of_hours(self, hours: u32) -> Money {
        Money(u128::from(self.0) * u128::from(hours) * ATOMS_PER_MICRO)
    }
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no price: at most 1000 dollars, six decimals");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 4 || part.len() > 6 {
            return Err(wrong());
        }
        let micros = format!("{whole}{part:0<6}").parse().map_err(|_| wrong())?;
        if micros > HIGHEST_PRICE { Err(wrong()) } else { Ok(Self(micros)) }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of_hours(1).exact())
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> Price {
        text.parse().expect("a price")
    }

    #[test]
    fn a_byte_costs_what_it_costs() {
        assert_eq!(price("0.09").of_bytes(1, Unit::GB).exact(), "0.00000000009");
        // 0.11 / 2^30.
        let byte = price("0.11").of_bytes(1, Unit::GiB).exact();
        assert_eq!(byte, "0.00000000010244548320770263671875");
        assert_eq!(price("2.25").of_hours(730).exact(), "1642.5");
    }

    #[test]
    fn amounts_are_rounded_half_up_only_when_shown() {
        let half = price("0.005").of_hours(1);
        assert_eq!(format!("{half} {half:.0} {half:.4}"), "0.01 0 0.0050");
        assert_eq!(price("999.995").of_hours(1).to_string(), "1000.00");
        assert_eq!(Money::default().to_string(), "0.00");
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for wrong in ["", ".", "-1", "1e3", "0.1234567", "1000.000001", "99999", "1,5", "٣"] {
            assert!(wrong.parse::<Price>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_paid_together_or_apart_cost_the_same(
            micros in 0..=HIGHEST_PRICE, a in 0u64..1 << 59, b in 0u64..1 << 59,
        ) {
            for unit in [Unit::GB, Unit::GiB] {
                let of = |bytes| Price(micros).of_bytes(bytes, unit);
                prop_assert_eq!(of(a) + of(b), of(a + b));
            }
        }

        #[test]
        fn shares_are_never_more_than_the_whole(atoms in 0u128..1 << 110, a in 0u64..1 << 59, b in 1u64..1 << 59) {
            let whole = Money(atoms);
            let (first, second) = (whole.share(a, a + b), whole.share(b, a + b));
            prop_assert!(first + second <= whole);
            prop_assert!(whole.less(first + second) <= Money(1));
        }

        #[test]
        fn the_price_of_a_gb_is_never_too_much_to_tell(atoms: u128, whole: u64) {
            let shown = Money(atoms).share(1_000_000_000, whole).to_string();
            prop_assert!(!shown.is_empty());
        }

        #[test]
        fn a_price_is_read_as_it_is_shown(micros in 0..=HIGHEST_PRICE) {
            prop_assert_eq!(Price(micros).to_string().parse::<Price>(), Ok(Price(micros)));
        }
    }
}

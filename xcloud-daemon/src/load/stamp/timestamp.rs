//! Times as STAMP packets carry them: 64 bits, in one of two formats, with an estimate of the clock's error.

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// From NTP's year 1900 to Unix's 1970, in seconds.
const NTP_EPOCH: i64 = 2_208_988_800;
/// Half of what 32 bits of seconds hold.
const HALF_ERA: i64 = 1 << 31;

/// How a timestamp's 64 bits are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Seconds since 1900 and a binary fraction.
    Ntp,
    /// Seconds since 1970 and nanoseconds.
    Ptp,
}

impl Format {
    /// A time since 1970 in this format; seconds wrap every 136 years.
    #[must_use]
    pub fn encode(self, unix_ns: i64) -> u64 {
        let (seconds, nanoseconds) = (unix_ns.div_euclid(SECOND_NS), unix_ns.rem_euclid(SECOND_NS));
        let nanoseconds = nanoseconds.unsigned_abs();
        let (seconds, low) = match self {
            // Rounded up, so that reading rounds down to the same nanosecond.
            Self::Ntp => (seconds + NTP_EPOCH, (nanoseconds << 32).div_ceil(1_000_000_000)),
            Self::Ptp => (seconds, nanoseconds),
        };
        (seconds.rem_euclid(1 << 32).unsigned_abs() << 32) | low
    }

    /// The time since 1970 that lies nearest to `around_ns`, so that no wrap of the seconds is seen.
    #[must_use]
    pub fn decode(self, bits: u64, around_ns: i64) -> i64 {
        let (high, low) = (bits >> 32, bits & 0xffff_ffff);
        let high = i64::try_from(high).unwrap_or(0);
        let (seconds, nanoseconds) = match self {
            Self::Ntp => (high - NTP_EPOCH, (low * 1_000_000_000) >> 32),
            Self::Ptp => (high, low.min(999_999_999)),
        };
        let around = around_ns.div_euclid(SECOND_NS);
        let distance = (seconds - around + HALF_ERA).rem_euclid(1 << 32) - HALF_ERA;
        let nanoseconds = i64::try_from(nanoseconds).unwrap_or(0);
        (around + distance).saturating_mul(SECOND_NS).saturating_add(nanoseconds)
    }
}

/// What a sender says about its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEstimate {
    /// The clock is disciplined by an outer source.
    pub synchronized: bool,
    /// The format of its timestamps.
    pub format: Format,
    /// Power of two of the error.
    pub scale: u8,
    /// Factor of the error; 0 means that the field says nothing.
    pub multiplier: u8,
}

impl ErrorEstimate {
    /// The smallest estimate that is not below `error_ns`.
    #[must_use]
    pub fn new(synchronized: bool, format: Format, error_ns: u64) -> Self {
        let mut units = (u128::from(error_ns) << 32).div_ceil(1_000_000_000).max(1);
        let mut scale = 0;
        while units > u128::from(u8::MAX) {
            units = units.div_ceil(2);
            scale += 1;
        }
        let multiplier = u8::try_from(units).unwrap_or(u8::MAX);
        Self { synchronized, format, scale, multiplier }
    }

    /// The field.
    #[must_use]
    pub fn encode(self) -> u16 {
        let flags =
            (u16::from(self.synchronized) << 15) | (u16::from(self.format == Format::Ptp) << 14);
        flags | (u16::from(self.scale & 0x3f) << 8) | u16::from(self.multiplier)
    }

    /// What the field says.
    #[must_use]
    pub fn decode(bits: u16) -> Self {
        let [high, multiplier] = bits.to_be_bytes();
        Self {
            synchronized: high & 0x80 != 0,
            format: if high & 0x40 == 0 { Format::Ntp } else { Format::Ptp },
            scale: high & 0x3f,
            multiplier,
        }
    }

    /// The error in nanoseconds.
    #[must_use]
    pub fn error_ns(self) -> u64 {
        let error = ((u128::from(self.multiplier) << self.scale) * 1_000_000_000) >> 32;
        u64::try_from(error).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-25.
    const NOW: i64 = 1_795_600_000 * SECOND_NS;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(ns in 0..4 * NOW, apart in -60_000_000_000_000_000..60_000_000_000_000_000i64) {
            for format in [Format::Ntp, Format::Ptp] {
                prop_assert_eq!(format.decode(format.encode(ns), ns + apart), ns);
            }
        }

        #[test]
        fn any_bits_are_some_time(bits: u64, around: i64) {
            for format in [Format::Ntp, Format::Ptp] {
                let _ = format.decode(bits, around);
            }
        }

        #[test]
        fn any_field_is_some_estimate(bits: u16) {
            let estimate = ErrorEstimate::decode(bits);
            prop_assert_eq!(estimate.encode(), bits);
            let _ = estimate.error_ns();
        }

        #[test]
        fn an_estimate_is_not_below_the_error(error in 0u64..1 << 40) {
            let said = ErrorEstimate::new(true, Format::Ntp, error).error_ns();
            prop_assert!(said + 1 >= error && said <= error + error / 64 + 1, "{} for {}", said, error);
        }
    }

    #[test]
    fn the_formats_are_those_of_the_standards() {
        assert_eq!(Format::Ntp.encode(SECOND_NS / 2), (2_208_988_800 << 32) | (1 << 31));
        assert_eq!(Format::Ptp.encode(SECOND_NS / 2), 500_000_000);
        // One second: 2^32 units, which are 128 times 2^25.
        assert_eq!(ErrorEstimate::new(true, Format::Ptp, 1_000_000_000).encode(), 0xd980);
    }
}

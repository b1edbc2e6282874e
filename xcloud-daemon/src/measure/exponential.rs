//! A distribution for others' systems: 16 buckets an octave of seconds, as Prometheus's native histograms have at
//! schema 4 and OpenTelemetry's exponential ones at scale 4.
//!
//! A value is sorted in by its nanoseconds, so no bucket is off. What is lost is where in its bucket a value lies: a
//! quantile read from the buckets is known within a factor of 2^(1/16), 4.4 %; the bucket's geometric middle is at most
//! 2.2 % off.

use std::sync::LazyLock;

use super::{bytes, histogram::HIGHEST_NS};

/// Prometheus's schema and OpenTelemetry's scale.
pub const SCALE: i32 = 4;

/// Buckets that double the bound.
const PER_OCTAVE: i32 = 1 << SCALE;

/// Most buckets that reach into an octave of nanoseconds, whose bounds lie elsewhere.
const IN_OCTAVE: usize = 18;

/// Number of the bucket that holds one nanosecond, the smallest value above zero.
const LOWEST: i32 = -478;

/// Powers of two, in seconds, that are bounds of the classic buckets: 7.6 us to 16 s.
const CLASSIC_OCTAVES: std::ops::RangeInclusive<i32> = -17..=4;

/// Highest value in nanoseconds of every bucket, from [`LOWEST`] on.
static UPPER_NS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    (LOWEST..).map(upper_ns).take_while(|ns| *ns < HIGHEST_NS).chain([HIGHEST_NS]).collect()
});

/// Where in [`UPPER_NS`] the bucket of each power of two of nanoseconds is.
static OCTAVES: LazyLock<Vec<usize>> = LazyLock::new(|| {
    (0..u64::BITS).map(|octave| UPPER_NS.partition_point(|upper| *upper < 1 << octave)).collect()
});

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and used up to ten minutes only"
)]
fn upper_ns(number: i32) -> u64 {
    (upper(number) * 1e9).floor() as u64
}

/// Highest value in seconds of a bucket, by its number.
#[must_use]
pub fn upper(number: i32) -> f64 {
    (f64::from(number) / f64::from(PER_OCTAVE)).exp2()
}

/// Number of the bucket of a value above zero: the bucket reaches from above `upper(number - 1)` to `upper(number)`.
/// What is beyond ten minutes counts as that.
#[must_use]
pub fn number(ns: u64) -> i32 {
    let ns = ns.clamp(1, HIGHEST_NS);
    let from = OCTAVES[ns.ilog2() as usize];
    let to = (from + IN_OCTAVE).min(UPPER_NS.len());
    let place = from + UPPER_NS[from..to].partition_point(|upper| *upper < ns);
    LOWEST + i32::try_from(place).unwrap_or(i32::MAX - PER_OCTAVE)
}

/// Counts by bucket, with exact count and sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exponential {
    /// Number of the first bucket in `counts`.
    first: i32,
    counts: Vec<u64>,
    zero: u64,
    count: u64,
    sum_ns: u128,
}

impl Exponential {
    /// Adds one value in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.count += 1;
        self.sum_ns += u128::from(ns);
        if ns == 0 {
            self.zero += 1;
        } else {
            *self.place(number(ns)) += 1;
        }
    }

    /// The count of a bucket, made room for.
    fn place(&mut self, number: i32) -> &mut u64 {
        if self.counts.is_empty() {
            self.first = number;
        }
        let below = usize::try_from(self.first - number).unwrap_or(0);
        if below > 0 {
            self.counts.splice(..0, std::iter::repeat_n(0, below));
            self.first = number;
        }
        let at = usize::try_from(number - self.first).unwrap_or(0);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        &mut self.counts[at]
    }

    /// Bytes of its buckets.
    #[must_use]
    pub const fn heap(&self) -> usize {
        bytes::vector(&self.counts)
    }

    /// Number of values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Number of values of zero.
    #[must_use]
    pub const fn zero(&self) -> u64 {
        self.zero
    }

    /// Sum in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Number of the first bucket in use, and the counts from there on.
    #[must_use]
    pub fn buckets(&self) -> (i32, &[u64]) {
        (self.first, &self.counts)
    }

    /// Upper bounds in seconds and counts of all values up to there: classic buckets, without the last, which holds all.
    pub fn classic(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let (mut at, mut sum) = (0, self.zero);
        CLASSIC_OCTAVES.map(move |octave| {
            let end = usize::try_from(octave * PER_OCTAVE + 1 - self.first).unwrap_or(0);
            let end = end.clamp(at, self.counts.len());
            sum += self.counts[at..end].iter().sum::<u64>();
            at = end;
            (f64::from(octave).exp2(), sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn values() -> impl Strategy<Value = Vec<u64>> {
        vec((0u64..HIGHEST_NS, 0u32..40).prop_map(|(ns, shift)| ns >> shift), 1..300)
    }

    fn of(values: &[u64]) -> Exponential {
        let mut distribution = Exponential::default();
        values.iter().for_each(|ns| distribution.record(*ns));
        distribution
    }

    /// The bounds, in seconds, of the bucket that holds a quantile.
    fn quantile(distribution: &Exponential, rank: u64) -> (f64, f64) {
        let (first, counts) = distribution.buckets();
        let mut seen = distribution.zero();
        if seen >= rank {
            return (0.0, 0.0);
        }
        let reached = counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let number =
            first + i32::try_from(reached.expect("a rank within the count")).expect("small");
        (upper(number - 1), upper(number))
    }

    proptest! {
        #[test]
        fn an_exact_quantile_lies_in_its_bucket_and_within_the_error_stated(
            values in values(), at in any::<prop::sample::Index>(),
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let at = at.index(sorted.len());
            let exact = sorted[at] as f64 / 1e9;
            let (low, high) = quantile(&of(&values), at as u64 + 1);
            // A rounding of the bounds to floating point is no error of the conversion.
            prop_assert!(low * (1.0 - 1e-12) <= exact && exact <= high * (1.0 + 1e-12));
            if exact > 0.0 {
                let middle = (low * high).sqrt();
                prop_assert!((middle / exact - 1.0).abs() < 0.022, "{middle} for {exact}");
            }
        }

        #[test]
        fn count_sum_and_buckets_agree(values in values()) {
            let distribution = of(&values);
            let (_, counts) = distribution.buckets();
            let in_buckets: u64 = counts.iter().sum();
            prop_assert_eq!(distribution.zero() + in_buckets, values.len() as u64);
            prop_assert_eq!(distribution.count(), values.len() as u64);
            let sum = values.iter().sum::<u64>() as f64 / 1e9;
            prop_assert!((distribution.sum() - sum).abs() <= sum * 1e-12);
        }

        #[test]
        fn a_classic_bucket_counts_all_values_up_to_its_bound(values in values()) {
            for (bound, count) in of(&values).classic() {
                let exact = values.iter().filter(|ns| **ns as f64 <= bound * 1e9).count();
                prop_assert_eq!(count, exact as u64, "up to {}", bound);
            }
        }

        #[test]
        fn the_order_of_values_does_not_matter(values in values()) {
            let reversed: Vec<_> = values.iter().rev().copied().collect();
            prop_assert_eq!(of(&values), of(&reversed));
        }
    }

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        assert_eq!(number(1), LOWEST);
        assert_eq!(number(1_000_000_000), 0);
        assert_eq!(number(1_000_000_001), 1);
        assert_eq!(number(500_000_000), -16);
        assert_eq!(number(u64::MAX), number(HIGHEST_NS));
        assert_eq!(number(HIGHEST_NS), 148);
    }

    #[test]
    fn classic_buckets_begin_where_no_pod_is_faster_and_end_where_nobody_waits() {
        let bounds: Vec<_> = Exponential::default().classic().map(|(bound, _)| bound).collect();
        assert_eq!((bounds[0], bounds[bounds.len() - 1]), (2f64.powi(-17), 16.0));
        assert!(bounds.contains(&0.125));
    }
}

//! A distribution kept small: only buckets that hold something, with HdrHistogram's own bucket bounds at three
//! significant digits. An interval of a path has ten of these; as arrays they would take 250 KB each.

use hdrhistogram::{
    Histogram,
    serialization::{Serializer as _, V2Serializer},
};

use super::bytes;

pub mod dense;

/// Significant digits kept.
pub const DIGITS: u8 = 3;

/// Highest value a distribution tells apart: ten minutes in nanoseconds.
pub const HIGHEST_NS: u64 = 600_000_000_000;

/// Half of HdrHistogram's sub-buckets at three digits, as a power of two.
const HALF_BITS: u32 = 10;

/// A bucket's number: the octave in the upper bits, its 1 024 equal parts below.
pub type Bucket = u16;

/// The bucket of a value in nanoseconds.
#[must_use]
pub fn bucket(ns: u64) -> Bucket {
    let ns = ns.min(HIGHEST_NS);
    let shift = u64::BITS - (ns >> (HALF_BITS + 1)).leading_zeros();
    Bucket::try_from((u64::from(shift) << HALF_BITS) + (ns >> shift)).unwrap_or(Bucket::MAX)
}

/// Lowest value of a bucket in nanoseconds.
#[must_use]
pub fn lowest(bucket: Bucket) -> u64 {
    let (shift, part) = parts(bucket);
    part << shift
}

/// Highest value of a bucket in nanoseconds.
#[must_use]
pub fn highest(bucket: Bucket) -> u64 {
    let (shift, part) = parts(bucket);
    ((part + 1) << shift) - 1
}

fn parts(bucket: Bucket) -> (u32, u64) {
    let shift = (u32::from(bucket) >> HALF_BITS).saturating_sub(1);
    (shift, u64::from(bucket) - (u64::from(shift) << HALF_BITS))
}

/// Counts by bucket, with exact count, sum and largest value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    /// Ascending by bucket.
    buckets: Vec<(Bucket, u32)>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Sparse {
    /// Adds one value in nanoseconds. Returns where its bucket is among those in use, and whether it is new.
    pub fn record(&mut self, ns: u64) -> (usize, bool) {
        let bucket = bucket(ns);
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => {
                self.buckets[at].1 = self.buckets[at].1.saturating_add(1);
                (at, false)
            }
            Err(at) => {
                self.buckets.insert(at, (bucket, 1));
                (at, true)
            }
        }
    }

    /// All values of several.
    #[must_use]
    pub fn merged<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let in_use: usize = all.clone().map(|one| one.buckets.len()).sum();
        let mut merged = Self::default();
        for one in all.clone() {
            merged.count += one.count;
            merged.sum_ns += one.sum_ns;
            merged.max_ns = merged.max_ns.max(one.max_ns);
        }
        let entries = all.flat_map(|one| one.buckets.iter().copied());
        merged.buckets =
            if in_use < WORTH_AN_ARRAY { sum_sorted(entries) } else { sum_in_array(entries) };
        merged
    }

    /// The buckets in use, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.buckets.iter().map(|(bucket, _)| *bucket)
    }

    /// Bytes of its buckets.
    #[must_use]
    pub const fn heap(&self) -> usize {
        bytes::vector(&self.buckets)
    }

    /// Gives memory back that growth reserved.
    pub fn shrink(&mut self) {
        self.buckets.shrink_to_fit();
    }

    /// Number of values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Largest value in nanoseconds, exact.
    #[must_use]
    pub const fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Mean in nanoseconds, exact but for rounding down; 0 without values.
    #[must_use]
    pub fn mean_ns(&self) -> u64 {
        let mean = self.sum_ns.checked_div(self.count.into()).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// Where the bucket that holds a quantile from 0 to 1 is among those in use; `None` without values.
    #[must_use]
    pub fn position_at(&self, quantile: f64) -> Option<usize> {
        let wanted = rank(quantile, self.count);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|(_, count)| {
            seen += u64::from(*count);
            seen >= wanted
        });
        reached.or_else(|| self.buckets.len().checked_sub(1))
    }

    /// The bucket that holds a quantile from 0 to 1; `None` without values.
    #[must_use]
    pub fn bucket_at(&self, quantile: f64) -> Option<Bucket> {
        self.position_at(quantile).map(|at| self.buckets[at].0)
    }

    /// A quantile in nanoseconds as HdrHistogram gives it, never above the largest value; 0 without values.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.bucket_at(quantile).map_or(0, |bucket| highest(bucket).min(self.max_ns))
    }

    /// The same as an HdrHistogram.
    #[must_use]
    pub fn to_hdr(&self) -> Histogram<u64> {
        let mut histogram =
            Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).expect("constant bounds are valid");
        for (bucket, count) in &self.buckets {
            histogram.saturating_record_n(lowest(*bucket), (*count).into());
        }
        histogram
    }

    /// HdrHistogram V2 encoding.
    #[must_use]
    pub fn to_hdr_v2(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.to_hdr(), &mut bytes)
            .expect("a histogram of this size fits in memory");
        bytes
    }
}

/// How many values lie at or below a quantile: HdrHistogram's rule.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a count"
)]
fn rank(quantile: f64, count: u64) -> u64 {
    ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1)
}

/// From this many entries on, adding them up in an array of all buckets beats sorting them: an hour of a busy path has
/// hundreds of thousands, a quiet one's interval has a few.
const WORTH_AN_ARRAY: usize = 4096;

fn sum_sorted(entries: impl Iterator<Item = (Bucket, u32)>) -> Vec<(Bucket, u32)> {
    let mut sorted: Vec<_> = entries.collect();
    sorted.sort_unstable_by_key(|(bucket, _)| *bucket);
    sorted.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    sorted
}

fn sum_in_array(entries: impl Iterator<Item = (Bucket, u32)>) -> Vec<(Bucket, u32)> {
    let mut counts = vec![0u32; usize::from(bucket(HIGHEST_NS)) + 1];
    for (bucket, count) in entries {
        let sum = &mut counts[usize::from(bucket)];
        *sum = sum.saturating_add(count);
    }
    (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn values() -> impl Strategy<Value = Vec<u64>> {
        vec((0u64..HIGHEST_NS, 0u32..40).prop_map(|(ns, shift)| ns >> shift), 0..200)
    }

    fn of(values: &[u64]) -> Sparse {
        let mut sparse = Sparse::default();
        values.iter().for_each(|ns| {
            sparse.record(*ns);
        });
        sparse
    }

    proptest! {
        #[test]
        fn buckets_are_hdrhistograms(ns in 0u64..HIGHEST_NS, shift in 0u32..40) {
            let histogram = Sparse::default().to_hdr();
            let ns = ns >> shift;
            prop_assert_eq!(lowest(bucket(ns)), histogram.lowest_equivalent(ns));
            prop_assert_eq!(highest(bucket(ns)), histogram.highest_equivalent(ns));
        }

        #[test]
        fn quantiles_are_hdrhistograms(values in values(), quantile in 0.001..=1.0) {
            let mut histogram = Sparse::default().to_hdr();
            values.iter().for_each(|ns| histogram.record(*ns).expect("in range"));
            let sparse = of(&values);
            for quantile in [quantile, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let wanted = histogram.value_at_quantile(quantile).min(sparse.max_ns());
                prop_assert_eq!(sparse.quantile_ns(quantile), wanted);
            }
        }

        #[test]
        fn merged_is_the_same_as_recorded_in_one(a in values(), b in values(), c in values()) {
            let (first, second, third) = (of(&a), of(&b), of(&c));
            let left = Sparse::merged([&Sparse::merged([&first, &second].into_iter()), &third].into_iter());
            let outer = Sparse::merged([&Sparse::merged([&third, &second].into_iter()), &first].into_iter());
            let all = of(&[a, b, c].concat());
            prop_assert_eq!(&left, &all);
            prop_assert_eq!(&outer, &all);
        }

        #[test]
        fn the_encoding_is_read_by_hdrhistogram(values in values()) {
            let sparse = of(&values);
            let decoded: Histogram<u64> = Deserializer::new()
                .deserialize(&mut &sparse.to_hdr_v2()[..])
                .expect("decodable");
            prop_assert_eq!(decoded.len(), sparse.count());
            prop_assert_eq!(decoded.value_at_quantile(0.9).min(sparse.max_ns()), sparse.quantile_ns(0.9));
        }
    }

    #[test]
    fn both_ways_to_add_up_agree() {
        let entries = || {
            (1..10_000u64)
                .map(|step| (bucket(step * step * step), u32::try_from(step).unwrap_or(0)))
        };
        assert!(sum_sorted(entries()) == sum_in_array(entries()));
    }

    #[test]
    fn what_is_beyond_the_highest_value_counts_as_that() {
        let sparse = of(&[u64::MAX]);
        assert_eq!(sparse.bucket_at(1.0), Some(bucket(HIGHEST_NS)));
        assert_eq!(sparse.max_ns(), u64::MAX);
    }
}

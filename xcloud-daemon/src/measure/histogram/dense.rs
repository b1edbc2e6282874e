//! A distribution that is being recorded: an array of all buckets, so that a value costs one increment and no
//! allocation.

use super::{Bucket, HIGHEST_NS, Sparse, bucket};

/// Counts of all buckets.
#[derive(Clone, Debug)]
pub struct Dense {
    counts: Vec<u32>,
    /// The buckets in use lie between these two.
    span: Option<(Bucket, Bucket)>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Dense {
    fn default() -> Self {
        let counts = vec![0; usize::from(bucket(HIGHEST_NS)) + 1];
        Self { counts, span: None, count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Dense {
    /// Adds one value in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        let bucket = bucket(ns);
        let count = &mut self.counts[usize::from(bucket)];
        *count = count.saturating_add(1);
        self.span = Some(match self.span {
            Some((low, high)) => (low.min(bucket), high.max(bucket)),
            None => (bucket, bucket),
        });
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// What was recorded since the last call.
    pub fn take(&mut self) -> Sparse {
        let mut buckets = Vec::new();
        if let Some((low, high)) = self.span.take() {
            for bucket in low..=high {
                let count = std::mem::take(&mut self.counts[usize::from(bucket)]);
                if count > 0 {
                    buckets.push((bucket, count));
                }
            }
        }
        Sparse {
            buckets,
            count: std::mem::take(&mut self.count),
            sum_ns: std::mem::take(&mut self.sum_ns),
            max_ns: std::mem::take(&mut self.max_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn holds_what_the_sparse_one_holds(first in vec(any::<u64>(), 0..50), second in vec(0u64..1_000_000, 0..50)) {
            let mut dense = Dense::default();
            for values in [first, second] {
                let mut sparse = Sparse::default();
                for ns in values {
                    dense.record(ns);
                    sparse.record(ns);
                }
                prop_assert_eq!(dense.take(), sparse);
            }
        }
    }
}

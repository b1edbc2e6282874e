//! What is kept of one path, kind and interval: distributions of the total and of every segment, and for every bucket
//! of the total what its exchanges were made of.

use super::{
    SEGMENTS, Segment, bytes,
    histogram::Sparse,
    split::Split,
    tail::{Sums, Tail},
};

/// Exchanges of one path and kind. Merging is associative and commutative, over time and over paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How many there were.
    pub counts: Counts,
    total: Sparse,
    /// Empty where the segment was never measured.
    segments: [Sparse; SEGMENTS],
    /// One entry for each bucket in use of `total`.
    tail: Vec<Sums>,
}

/// Numbers of exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Seen by both ends and joined; on a path without far node: seen by the near end.
    pub recorded: u64,
    /// Only the near end came though the far node was known and had selected the exchange too.
    pub near_alone: u64,
    /// Only the near end came, since the far node selects fewer.
    pub thinned: u64,
    /// Only the far end came though the near node was known and had selected the exchange too.
    pub far_alone: u64,
    /// Both ends came but named different answering packets.
    pub other_answer: u64,
    /// Of those recorded, with a WAN time below zero.
    pub negative_wan: u64,
    /// Exchanges that those recorded stand for: one selected in `2^shift` stands for `2^shift`.
    pub stands_for: u64,
}

impl Counts {
    /// Adds an exchange, one of `2^shift`.
    pub(super) fn add(&mut self, split: &Split, shift: u8) {
        self.recorded += 1;
        self.stands_for = self.stands_for.saturating_add(1 << shift.min(63));
        self.negative_wan += split.measured().filter(|(_, ns)| *ns < 0).count() as u64;
    }

    fn merge(&mut self, other: &Self) {
        self.recorded += other.recorded;
        self.near_alone += other.near_alone;
        self.thinned += other.thinned;
        self.far_alone += other.far_alone;
        self.other_answer += other.other_answer;
        self.negative_wan += other.negative_wan;
        self.stands_for = self.stands_for.saturating_add(other.stands_for);
    }

    /// Exchanges the near end saw, joined or not.
    #[must_use]
    pub const fn near(&self) -> u64 {
        self.recorded + self.near_alone + self.other_answer + self.thinned
    }

    /// The near end's exchanges that were selected at the far end too. An end that only the far node saw is none: after
    /// segmentation on the way there are more ends than the near node ever saw.
    #[must_use]
    pub const fn at_both(&self) -> u64 {
        self.recorded + self.near_alone + self.other_answer
    }
}

impl Cell {
    /// Adds an exchange, one of `2^shift`.
    pub fn record(&mut self, split: &Split, shift: u8) {
        self.counts.add(split, shift);
        for (segment, ns) in split.measured() {
            self.segments[segment as usize].record(u64::try_from(ns).unwrap_or(0));
        }
        match self.total.record(split.total_ns) {
            (at, false) => self.tail[at].add(split),
            (at, true) => self.tail.insert(at, Sums::of(split)),
        }
    }

    /// All exchanges of several.
    #[must_use]
    pub fn merged(cells: &[&Self]) -> Self {
        let mut merged = Self {
            counts: Counts::default(),
            total: Sparse::merged(cells.iter().map(|cell| &cell.total)),
            segments: std::array::from_fn(|at| {
                Sparse::merged(cells.iter().map(|cell| &cell.segments[at]))
            }),
            tail: Vec::new(),
        };
        merged.tail.resize(merged.total.buckets().count(), Sums::default());
        for cell in cells {
            merged.counts.merge(&cell.counts);
            let mut places = merged.total.buckets().zip(&mut merged.tail);
            for (bucket, sums) in cell.total.buckets().zip(&cell.tail) {
                // Both ascend, and the merged total has every bucket of each cell.
                if let Some((_, place)) = places.find(|(at, _)| *at == bucket) {
                    place.merge(sums);
                }
            }
        }
        merged
    }

    /// Bytes of its distributions.
    #[must_use]
    pub fn heap(&self) -> usize {
        let segments: usize = self.segments.iter().map(Sparse::heap).sum();
        self.total.heap() + segments + bytes::vector(&self.tail)
    }

    /// Gives memory back that growth reserved.
    pub fn shrink(&mut self) {
        self.total.shrink();
        self.segments.iter_mut().for_each(Sparse::shrink);
        self.tail.shrink_to_fit();
    }

    /// Distribution of the whole time.
    #[must_use]
    pub const fn total(&self) -> &Sparse {
        &self.total
    }

    /// Distributions of the segments that were measured, in the order of travel. A WAN time below zero is in them as
    /// zero.
    pub fn segments(&self) -> impl Iterator<Item = (Segment, &Sparse)> {
        Segment::ALL
            .iter()
            .zip(&self.segments)
            .filter(|(_, distribution)| distribution.count() > 0)
            .map(|(one, distribution)| (one.0, distribution))
    }

    /// What the exchanges in the bucket of a quantile of the total are made of; `None` without exchanges.
    #[must_use]
    pub fn tail(&self, quantile: f64) -> Option<Tail> {
        self.total.position_at(quantile).map(|at| self.tail[at].mean())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use xcloud_common::{sample::flag, slot::LIFETIME_NS};

    use super::{
        super::{histogram::bucket, split::tests::stamped},
        *,
    };

    fn splits() -> impl Strategy<Value = Vec<(Split, u8)>> {
        let one = (
            [0u64..1 << 34, 0..1 << 34, 0..1 << 34],
            [0u64..1 << 33, 0..1 << 33, 0..1 << 33],
            any::<[bool; 3]>(),
            0u8..17,
        )
            .prop_map(|(near, far, hooks, shift)| {
                let near = stamps(near, hooks[0]);
                let far = stamps(far, hooks[1]);
                let near = stamped(0, near, 0);
                let split = if hooks[2] {
                    Split::joined(&near, &stamped(flag::FAR, far, 0))
                } else {
                    Split::near_alone(&near)
                };
                (split, shift)
            });
        vec(one, 1..60)
    }

    fn stamps(steps: [u64; 3], whole: bool) -> [u64; 4] {
        let first = LIFETIME_NS;
        let second = first + steps[0];
        let third = second + steps[1];
        [first, if whole { second } else { 0 }, third, third + steps[2]]
    }

    fn of(splits: &[(Split, u8)]) -> Cell {
        let mut cell = Cell::default();
        splits.iter().for_each(|(split, shift)| cell.record(split, *shift));
        cell
    }

    proptest! {
        #[test]
        fn merged_is_the_same_as_recorded_in_one(a in splits(), b in splits(), c in splits()) {
            let (first, second, third) = (of(&a), of(&b), of(&c));
            let left = Cell::merged(&[&Cell::merged(&[&first, &second]), &third]);
            let right = Cell::merged(&[&third, &Cell::merged(&[&second, &first])]);
            let all = of(&[a, b, c].concat());
            prop_assert_eq!(&left, &all);
            prop_assert_eq!(&right, &all);
        }

        #[test]
        fn the_tail_adds_up_to_the_nanosecond(splits in splits(), quantile in 0.5..1.0) {
            let tail = of(&splits).tail(quantile).expect("not empty");
            let shares: i64 = tail.segments().map(|(_, ns)| ns).sum();
            prop_assert_eq!(shares + tail.unattributed_ns, tail.total_ns.cast_signed());
        }

        #[test]
        fn the_tail_lies_in_the_bucket_of_its_quantile(splits in splits(), quantile in 0.5..1.0) {
            let cell = of(&splits);
            let tail = cell.tail(quantile).expect("not empty");
            prop_assert_eq!(Some(bucket(tail.total_ns)), cell.total().bucket_at(quantile));
            let inside = splits.iter().filter(|(s, _)| bucket(s.total_ns) == bucket(tail.total_ns));
            prop_assert_eq!(tail.exchanges, inside.count() as u64);
        }
    }

    #[test]
    fn the_median_of_three_is_made_of_the_middle_one() {
        let near = |last: u64| stamped(0, [1_000, 1_100, last - 50, last], 0);
        let far = |pod: u64| stamped(flag::FAR, [10, 20, 20 + pod, 40 + pod], 0);
        let cell = of(&[
            (Split::joined(&near(40_000), &far(5_000)), 0),
            (Split::joined(&near(90_000), &far(60_000)), 0),
            (Split::joined(&near(300_000), &far(1_000)), 0),
        ]);
        let tail = cell.tail(0.5).expect("three");
        assert_eq!((tail.total_ns, tail.exchanges), (89_000, 1));
        let pod = tail.segments().find(|(segment, _)| *segment == Segment::FarPod);
        assert_eq!(pod, Some((Segment::FarPod, 60_000)));
    }
}

//! What the tail is made of. Percentiles do not add; means over the same exchanges do, to the nanosecond.

use super::{Group, SEGMENTS, Segment, split::Split};

/// Sums over the exchanges in one bucket of the total, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    exchanges: u64,
    total_ns: u64,
    parts: [i64; SEGMENTS],
    /// Bit by segment: whether any of the exchanges measured it.
    measured: u16,
}

impl Sums {
    /// The sums over one exchange.
    #[must_use]
    pub fn of(split: &Split) -> Self {
        let mut sums = Self::default();
        sums.add(split);
        sums
    }

    /// Adds one exchange.
    pub fn add(&mut self, split: &Split) {
        self.exchanges += 1;
        self.total_ns = self.total_ns.saturating_add(split.total_ns);
        for (segment, ns) in split.measured() {
            let part = &mut self.parts[segment as usize];
            *part = part.saturating_add(ns);
            self.measured |= 1 << segment as u16;
        }
    }

    /// Adds another's exchanges.
    pub fn merge(&mut self, other: &Self) {
        self.exchanges += other.exchanges;
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        for (mine, theirs) in self.parts.iter_mut().zip(other.parts) {
            *mine = mine.saturating_add(theirs);
        }
        self.measured |= other.measured;
    }

    /// The means. Each is rounded so that they add up to the mean total exactly: what rounding down leaves over goes
    /// to the parts that lost most by it, one nanosecond each.
    #[must_use]
    pub fn mean(&self) -> Tail {
        let count = i128::from(self.exchanges.max(1));
        let total = i128::from(self.total_ns);
        let mut sums = [0; SEGMENTS + 1];
        for (sum, part) in sums.iter_mut().zip(self.parts) {
            *sum = i128::from(part);
        }
        // What hooks that were not passed leave unknown is one more part, so that nothing is made up.
        sums[SEGMENTS] = total - sums[..SEGMENTS].iter().sum::<i128>();
        let mut means = sums.map(|sum| sum.div_euclid(count));
        let over = total.div_euclid(count) - means.iter().sum::<i128>();
        let mut by_loss: [usize; SEGMENTS + 1] = std::array::from_fn(|index| index);
        by_loss.sort_by_key(|index| std::cmp::Reverse(sums[*index].rem_euclid(count)));
        for index in by_loss.into_iter().take(usize::try_from(over).unwrap_or(0)) {
            means[index] += 1;
        }
        let means = means.map(|mean| i64::try_from(mean).unwrap_or(i64::MAX));
        Tail {
            exchanges: self.exchanges,
            total_ns: self.total_ns / self.exchanges.max(1),
            unattributed_ns: means[SEGMENTS],
            parts: std::array::from_fn(|index| {
                (self.measured >> index & 1 == 1).then_some(means[index])
            }),
        }
    }
}

/// Mean make-up of the exchanges around a quantile: all segments and what is unattributed add up to the total exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// How many exchanges these are.
    pub exchanges: u64,
    /// Their mean total in nanoseconds.
    pub total_ns: u64,
    /// What hooks that were not passed leave unknown, in nanoseconds.
    pub unattributed_ns: i64,
    parts: [Option<i64>; SEGMENTS],
}

impl Tail {
    /// Mean of each segment that any of the exchanges measured, in nanoseconds, in the order of travel.
    pub fn segments(&self) -> impl Iterator<Item = (Segment, i64)> + '_ {
        Segment::ALL.iter().zip(self.parts).filter_map(|(one, part)| Some((one.0, part?)))
    }

    /// Sum of a group's segments in nanoseconds.
    #[must_use]
    pub fn group_ns(&self, group: Group) -> i64 {
        self.segments().filter(|(segment, _)| segment.group() == group).map(|(_, ns)| ns).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(exchanges: u64, total_ns: u64, parts: [i64; 3]) -> Sums {
        let [cni, wan, pod] = parts;
        let mut sums = Sums { exchanges, total_ns, measured: 0b1_0101, ..Sums::default() };
        sums.parts[Segment::NearCniEgress as usize] = cni;
        sums.parts[Segment::Wan as usize] = wan;
        sums.parts[Segment::FarPod as usize] = pod;
        sums
    }

    fn shares(tail: &Tail) -> Vec<i64> {
        tail.segments().map(|(_, ns)| ns).collect()
    }

    #[test]
    fn what_rounding_leaves_over_goes_where_it_was_lost() {
        let tail = sums(3, 103, [1, 50, 52]).mean();
        assert_eq!((tail.total_ns, tail.unattributed_ns), (34, 0));
        assert_eq!(shares(&tail), [0, 17, 17]);
    }

    #[test]
    fn a_mean_below_zero_stays_below_zero() {
        let tail = sums(2, 100, [60, -3, 43]).mean();
        assert_eq!(shares(&tail), [30, -1, 21]);
        assert_eq!(tail.group_ns(Group::Wan), -1);
    }

    #[test]
    fn a_part_not_measured_is_unattributed() {
        let tail = sums(1, 100, [10, 20, 30]).mean();
        assert_eq!((tail.unattributed_ns, shares(&tail).len()), (40, 3));
    }
}

//! The stamps of both ends become segments. Every difference is taken on one host's clock.

use xcloud_common::sample::Sample;

use super::{SEGMENTS, Segment, between};

/// What one exchange's time was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Whole time in nanoseconds, from the data leaving the sending pod to the answer entering it.
    pub total_ns: u64,
    parts: [Option<i64>; SEGMENTS],
}

impl Split {
    /// Splits an exchange that both ends saw.
    #[must_use]
    pub fn joined(near: &Sample, far: &Sample) -> Self {
        let mut split = Self::near_side(near);
        let far_ns = far.last_ns.saturating_sub(far.first_ns);
        let beyond = between(near.second_ns, near.third_ns);
        split.set(Segment::Wan, beyond.map(|ns| signed(ns) - signed(far_ns)));
        split.unsigned(Segment::FarCniIngress, between(far.first_ns, far.second_ns));
        split.unsigned(Segment::FarPod, between(far.second_ns, far.third_ns));
        let queue = between(far.queue_ns, far.last_ns);
        let egress = between(far.third_ns, far.last_ns);
        split.unsigned(Segment::FarCniEgress, less_queue(egress, queue));
        split.unsigned(Segment::FarQueue, queue);
        split
    }

    /// Splits an exchange that only the near end saw.
    #[must_use]
    pub fn near_alone(near: &Sample) -> Self {
        let mut split = Self::near_side(near);
        split.unsigned(Segment::BeyondUplink, between(near.second_ns, near.third_ns));
        split
    }

    /// From parts that were split elsewhere.
    #[must_use]
    pub fn of(total_ns: u64, parts: impl Iterator<Item = (Segment, i64)>) -> Self {
        let mut split = Self { total_ns, ..Self::default() };
        parts.for_each(|(segment, ns)| split.set(segment, Some(ns)));
        split
    }

    fn near_side(near: &Sample) -> Self {
        let mut split =
            Self { total_ns: near.last_ns.saturating_sub(near.first_ns), ..Self::default() };
        let queue = between(near.queue_ns, near.second_ns);
        let egress = between(near.first_ns, near.second_ns);
        split.unsigned(Segment::NearCniEgress, less_queue(egress, queue));
        split.unsigned(Segment::NearQueue, queue);
        split.unsigned(Segment::NearCniIngress, between(near.third_ns, near.last_ns));
        split
    }

    fn set(&mut self, segment: Segment, ns: Option<i64>) {
        self.parts[segment as usize] = ns;
    }

    fn unsigned(&mut self, segment: Segment, ns: Option<u64>) {
        self.set(segment, ns.map(signed));
    }

    /// A segment's time in nanoseconds; `None` when a hook it needs was not passed. Only the WAN can be below zero,
    /// by clock drift.
    #[must_use]
    pub const fn segment(&self, segment: Segment) -> Option<i64> {
        self.parts[segment as usize]
    }

    /// The segments measured, in the order of travel.
    pub fn measured(&self) -> impl Iterator<Item = (Segment, i64)> + '_ {
        Segment::ALL.iter().zip(self.parts).filter_map(|(one, part)| Some((one.0, part?)))
    }

    /// What hooks that were not passed leave unknown, in nanoseconds: the total less all segments.
    #[must_use]
    pub fn unattributed_ns(&self) -> i64 {
        signed(self.total_ns) - self.measured().map(|(_, ns)| ns).sum::<i64>()
    }
}

fn less_queue(way: Option<u64>, queue: Option<u64>) -> Option<u64> {
    way.map(|way| way.saturating_sub(queue.unwrap_or(0)))
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use xcloud_common::{sample::flag, slot::Tuple};

    use super::*;

    /// A sample with these stamps and nothing else.
    pub(crate) fn stamped(flags: u8, stamps: [u64; 4], queue_ns: u64) -> Sample {
        let [first_ns, second_ns, third_ns, last_ns] = stamps;
        Sample {
            first_ns,
            second_ns,
            third_ns,
            last_ns,
            queue_ns,
            end_seq: 1,
            tsval: 2,
            answer: 3,
            pod_ifindex: 4,
            uplink_ifindex: 5,
            tuple: Tuple::default(),
            kinds: 2,
            flags,
            shift: 0,
        }
    }

    prop_compose! {
        /// Stamps in order on one host, `None` of them absent, and the moment the packet joined the queue.
        fn host(flags: u8)(first in 1u64..1 << 60, steps: [u32; 3], queue: u32) -> Sample {
            let second = first + u64::from(steps[0]);
            let third = second + u64::from(steps[1]);
            let last = third + u64::from(steps[2]);
            let (entered, left) = if flags == 0 { (first, second) } else { (third, last) };
            let queue = entered + u64::from(queue) % (left - entered + 1);
            stamped(flags, [first, second, third, last], queue)
        }
    }

    fn without(sample: Sample, missing: [bool; 3]) -> Sample {
        let keep = |stamp: u64, missing: bool| if missing { 0 } else { stamp };
        Sample {
            second_ns: keep(sample.second_ns, missing[0]),
            third_ns: keep(sample.third_ns, missing[1]),
            queue_ns: keep(sample.queue_ns, missing[2]),
            ..sample
        }
    }

    proptest! {
        #[test]
        fn segments_add_up_to_the_nanosecond(near in host(0), far in host(flag::FAR)) {
            let split = Split::joined(&near, &far);
            prop_assert_eq!(split.total_ns, near.last_ns - near.first_ns);
            prop_assert_eq!(split.unattributed_ns(), 0);
            prop_assert_eq!(split.measured().count(), 8);
            prop_assert_eq!(Split::near_alone(&near).unattributed_ns(), 0);
        }

        #[test]
        fn no_clock_offset_changes_a_segment(
            near in host(0), far in host(flag::FAR), offset in 1u64..1 << 60,
        ) {
            let ahead = stamped(
                flag::FAR,
                [far.first_ns, far.second_ns, far.third_ns, far.last_ns].map(|ns| ns + offset),
                far.queue_ns + offset,
            );
            prop_assert_eq!(Split::joined(&near, &far), Split::joined(&near, &ahead));
        }

        #[test]
        fn a_hook_not_passed_leaves_its_segments_out_and_changes_no_other(
            near in host(0), far in host(flag::FAR), n: [bool; 3], f: [bool; 3],
        ) {
            let whole = Split::joined(&near, &far);
            // Without the queue's own stamp its wait is part of the CNI's egress, so keep that apart here.
            let (n, f) = ([n[0], n[1], n[0]], [f[0], f[1], false]);
            let split = Split::joined(&without(near, n), &without(far, f));
            let gone = |segment| match segment {
                Segment::NearCniEgress | Segment::NearQueue => n[0],
                Segment::Wan => n[0] || n[1],
                Segment::FarCniIngress => f[0],
                Segment::FarPod => f[0] || f[1],
                Segment::FarCniEgress => f[1],
                Segment::NearCniIngress => n[1],
                Segment::FarQueue => false,
                Segment::BeyondUplink => true,
            };
            for (segment, ..) in Segment::ALL {
                let wanted = if gone(segment) { None } else { whole.segment(segment) };
                prop_assert_eq!(split.segment(segment), wanted);
            }
            let known: i64 = split.measured().map(|(_, ns)| ns).sum();
            prop_assert_eq!(known + split.unattributed_ns(), whole.total_ns.cast_signed());
        }
    }

    #[test]
    fn a_packet_each_way_splits_as_the_design_says() {
        let near = stamped(0, [1_000, 1_300, 41_300, 41_350], 1_200);
        let far = stamped(flag::FAR, [900_000, 900_040, 905_040, 905_100], 905_090);
        let split = Split::joined(&near, &far);
        let parts: Vec<_> = split.measured().map(|(segment, ns)| (segment.name(), ns)).collect();
        assert_eq!(
            parts,
            [
                ("near_cni_egress", 200),
                ("near_queue", 100),
                ("wan", 34_900),
                ("far_cni_ingress", 40),
                ("far_pod", 5_000),
                ("far_cni_egress", 50),
                ("far_queue", 10),
                ("near_cni_ingress", 50),
            ]
        );
        assert_eq!(split.total_ns, 40_350);
    }

    #[test]
    fn a_wan_below_zero_is_kept_so_that_the_sum_holds() {
        let near = stamped(0, [1_000, 1_010, 2_010, 2_020], 0);
        let far = stamped(flag::FAR, [500, 510, 1_500, 1_503], 0);
        let split = Split::joined(&near, &far);
        assert_eq!((split.segment(Segment::Wan), split.unattributed_ns()), (Some(-3), 0));
    }
}

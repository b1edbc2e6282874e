//! What CNI segments are made of, pod by pod: sums over samples whose data the stage probes saw.

use std::collections::BTreeMap;

use xcloud_common::{
    sample::{Sample, flag, kind},
    stage::{CELL_STAGES, STAGES},
};

/// Powers of two of nanoseconds told apart: the last is everything from a second on.
pub const BUCKETS: usize = 31;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the pod to the uplink.
    Egress,
    /// From the uplink to the pod.
    Ingress,
}

/// One stage's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageSum {
    /// Packets that passed it.
    pub packets: u64,
    /// Time they spent in it.
    pub total_ns: u64,
    /// Packets by the power of two of that time.
    pub by_log2_ns: [u64; BUCKETS],
}

/// One pod's packets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Packets of which all is known.
    pub packets: u64,
    /// Packets that no probe saw, or whose figures another's took the place of.
    pub unknown: u64,
    /// Time in their CNI segments.
    pub cni_ns: u64,
    /// By [`xcloud_common::stage::Stage`].
    pub stages: [StageSum; STAGES],
}

impl StageSum {
    /// Adds one packet's time.
    pub fn add(&mut self, ns: u64) {
        if ns == 0 {
            return;
        }
        self.packets += 1;
        self.total_ns += ns;
        self.by_log2_ns[(ns.ilog2() as usize).min(BUCKETS - 1)] += 1;
    }
}

/// All pods of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// By interface index of the pod and direction.
    pub pods: BTreeMap<(u32, Direction), Sums>,
}

impl Profile {
    /// Adds a sample with its data's stages, when they are known. A data packet is in two samples when an
    /// acknowledgement came before the response; it counts with the first.
    pub fn add(&mut self, sample: &Sample, stages: Option<[u32; CELL_STAGES]>) {
        if sample.kinds & (kind::HANDSHAKE | kind::ACK) == 0 || sample.second_ns == 0 {
            return;
        }
        let far = sample.flags & flag::FAR != 0;
        let direction = if far { Direction::Ingress } else { Direction::Egress };
        let sums = self.pods.entry((sample.pod_ifindex, direction)).or_default();
        let Some(stages) = stages else {
            sums.unknown += 1;
            return;
        };
        sums.packets += 1;
        sums.cni_ns += cni_ns(sample, far);
        for (sum, ns) in sums.stages.iter_mut().zip(stages) {
            sum.add(ns.into());
        }
    }

    /// Forgets the pods that are gone, once there are more than `most` in both directions.
    pub fn make_room(&mut self, most: usize, is_there: impl Fn(u32) -> bool) {
        if self.pods.len() > most {
            self.pods.retain(|(index, _), _| is_there(*index));
        }
    }
}

/// The data's CNI segment: at the near node up to the uplink's queue.
fn cni_ns(sample: &Sample, far: bool) -> u64 {
    let until = if far || sample.queue_ns == 0 { sample.second_ns } else { sample.queue_ns };
    until.saturating_sub(sample.first_ns)
}

/// The upper bound of the bucket that holds a percentile.
#[must_use]
pub fn percentile_below_ns(by_log2_ns: &[u64], percent: u64) -> u64 {
    let all = by_log2_ns.iter().copied().fold(0, u64::saturating_add);
    let mut left = all.saturating_mul(percent).div_ceil(100);
    for (power, packets) in by_log2_ns.iter().enumerate().take(BUCKETS) {
        left = left.saturating_sub(*packets);
        if left == 0 && all > 0 {
            return 2 << power;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use xcloud_common::{slot::Tuple, stage::Stage};

    use super::*;

    const SAMPLE: Sample = Sample {
        first_ns: 1_000,
        second_ns: 31_000,
        third_ns: 90_000,
        last_ns: 95_000,
        queue_ns: 21_000,
        end_seq: 7,
        tsval: 8,
        answer: 0,
        pod_ifindex: 4,
        uplink_ifindex: 2,
        tuple: Tuple { local: [0; 4], remote: [0; 4], local_port: 0, remote_port: 0 },
        kinds: kind::ACK,
        flags: 0,
        shift: 0,
    };

    #[test]
    fn the_queue_is_no_part_of_the_segment() {
        let mut profile = Profile::default();
        profile.add(&SAMPLE, Some([1_000, 5_000, 2_000, 0, 0, 9_999, 0, 0]));
        let sums = profile.pods[&(4, Direction::Egress)];
        assert_eq!((sums.packets, sums.cni_ns), (1, 20_000));
        assert_eq!(sums.stages[Stage::Netfilter as usize].total_ns, 5_000);
        assert_eq!(sums.stages[Stage::Encapsulation as usize].packets, 0);
    }

    #[test]
    fn data_counts_once_though_its_response_comes_in_a_sample_of_its_own() {
        let mut profile = Profile::default();
        profile.add(&SAMPLE, Some([0; CELL_STAGES]));
        profile.add(&Sample { kinds: kind::RESPONSE, ..SAMPLE }, Some([0; CELL_STAGES]));
        profile.add(&Sample { flags: flag::FAR, ..SAMPLE }, None);
        assert_eq!(profile.pods[&(4, Direction::Egress)].packets, 1);
        assert_eq!(profile.pods[&(4, Direction::Ingress)].unknown, 1);
    }

    #[test]
    fn pods_that_are_gone_stay_while_there_is_room() {
        let mut profile = Profile::default();
        for pod_ifindex in 1..=10 {
            profile.add(&Sample { pod_ifindex, ..SAMPLE }, None);
        }
        profile.make_room(10, |index| index > 7);
        assert_eq!(profile.pods.len(), 10);
        profile.make_room(9, |index| index > 7);
        assert!(profile.pods.keys().map(|(index, _)| *index).eq(8..=10));
    }

    #[test]
    fn a_percentile_is_bounded_from_above() {
        let mut sum = StageSum::default();
        (0..99).for_each(|_| sum.add(700));
        sum.add(5_000);
        assert_eq!(percentile_below_ns(&sum.by_log2_ns, 50), 1_024);
        assert_eq!(percentile_below_ns(&sum.by_log2_ns, 100), 8_192);
        assert_eq!(percentile_below_ns(&[], 50), 0);
    }
}

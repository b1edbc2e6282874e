//! Every pod's case, and what becomes of the exchanges' ends that its hooks saw.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::{Duration, Instant},
};

use xcloud_common::sample::{Sample, flag};

use crate::agent::bypass::{Case, Fate, View};

/// How long a pod's first exchanges are held back while it is found out whether all of them are seen: with some CNIs
/// the handshakes are, and nothing else.
const HOLD: Duration = Duration::from_secs(2);
/// Most exchanges held back; of further ones it is decided at once.
const MOST_HELD: usize = 16_384;
/// How long after its hooks went off a pod is remembered: far longer than the ring takes to be emptied.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Every pod's case, by the index of its interface on the node.
#[derive(Debug, Default)]
pub struct Pods {
    pub(super) cases: BTreeMap<u32, Case>,
    /// Of pods whose hooks are off, and since when: the ring still holds what they saw.
    gone: BTreeMap<u32, (Instant, Case)>,
    /// The index, by the number of the pod's network namespace, of pods hooked in there.
    pub(super) namespaces: BTreeMap<u32, u32>,
    /// What came from pods of which nothing is known yet, and when.
    held: VecDeque<(Instant, Sample)>,
    /// What was held back of pods that are gone and is to be reported.
    settled: Vec<Sample>,
    /// Observations held back of pods that are gone and left out.
    left: u64,
}

impl Pods {
    /// A pod's interface was hooked.
    pub fn add(&mut self, index: u32) {
        self.cases.insert(index, Case::new());
    }

    /// Its hooks are off. No more will be known of it, so what is known settles what was held back.
    pub fn remove(&mut self, index: u32, now: Instant) {
        let Some(case) = self.cases.remove(&index) else { return };
        let reported = case.fate(now).is_reported();
        let (settled, left) = (&mut self.settled, &mut self.left);
        self.held.retain(|(_, sample)| {
            let of_it = sample.pod_ifindex == index;
            if of_it && reported {
                settled.push(*sample);
            } else if of_it {
                *left += sample.observations();
            }
            !of_it
        });
        self.gone.insert(index, (now, case));
    }

    /// The interface on the node of the pod that a hook names.
    pub(super) fn index(&self, place: u32) -> u32 {
        self.namespaces.get(&place).copied().unwrap_or(place)
    }

    /// Names every sample's pod by its interface on the node, holds back those of pods of which nothing is known yet,
    /// and takes out those of pods not seen in full; returns how many observations that were. With `last` nothing is
    /// held back.
    pub fn sift(&mut self, samples: &mut Vec<Sample>, now: Instant, last: bool) -> u64 {
        let mut hidden = mem::take(&mut self.left);
        let room = MOST_HELD.saturating_sub(self.held.len());
        let mut joining = Vec::new();
        samples.retain_mut(|sample| {
            let index = self.index(sample.pod_ifindex);
            let inside = mem::replace(&mut sample.pod_ifindex, index) != index;
            let on = self.cases.get_mut(&index);
            let may_wait = on.is_some() && !inside && joining.len() < room;
            let gone = self.gone.get_mut(&index).map(|(_, case)| case);
            let Some(case) = on.or(gone) else { return true };
            let (far, at_socket) = (flag::FAR, flag::AT_SOCKET);
            case.saw(sample.flags & far != 0, sample.flags & at_socket != 0, now);
            let fate = case.fate(now);
            if may_wait && matches!(fate, Fate::Open { .. }) {
                joining.push((now, *sample));
                return false;
            }
            let reported = inside || fate.is_reported();
            hidden += if reported { 0 } else { sample.observations() };
            reported
        });
        self.held.extend(joining);
        samples.append(&mut self.settled);
        self.forget(now);
        hidden + self.release(samples, now, last)
    }

    /// Lets go of what was held back for long enough, or whose pod is known by now.
    fn release(&mut self, samples: &mut Vec<Sample>, now: Instant, last: bool) -> u64 {
        let mut hidden = 0;
        self.held.retain(|(since, sample)| {
            let due = last || now >= *since + HOLD;
            let case = self.cases.get(&sample.pod_ifindex);
            let fate = case.map_or(Fate::Left, |case| case.fate(now));
            match fate {
                Fate::Open { .. } if !due => return true,
                _ if fate.is_reported() => samples.push(*sample),
                _ => hidden += sample.observations(),
            }
            false
        });
        hidden
    }

    /// Forgets pods of which nothing is in the ring any more.
    fn forget(&mut self, now: Instant) {
        let before = self.gone.len();
        self.gone.retain(|_, (since, _)| now < *since + AFTERMATH);
        if self.gone.len() < before {
            let (cases, gone) = (&self.cases, &self.gone);
            self.namespaces.retain(|_, of| cases.contains_key(of) || gone.contains_key(of));
        }
    }

    /// Where each pod is seen, if not at its interface on the node.
    pub fn elsewhere(&self) -> impl Iterator<Item = (u32, &View)> {
        let views = self.cases.iter().map(|(index, case)| (*index, case.view()));
        views.filter(|(_, view)| **view != View::Node)
    }

    pub(super) fn may_use_sockets(&self, index: u32) -> bool {
        self.cases.get(&index).is_some_and(Case::may_use_sockets)
    }

    pub(super) fn set(&mut self, index: u32, view: View) {
        if let Some(case) = self.cases.get_mut(&index) {
            case.set(view, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use xcloud_common::{sample::kind, slot::Tuple};

    use super::*;
    use crate::kernel::unfinished::Missing;

    const POD: u32 = 7;
    const NAMESPACE: u32 = 4_026_532_000;
    const PAST: Missing = Missing { into_pod: 1, out_of_pod: 0, control: 0 };

    fn sample(pod_ifindex: u32) -> Sample {
        Sample {
            first_ns: 1,
            second_ns: 2,
            third_ns: 3,
            last_ns: 4,
            queue_ns: 0,
            end_seq: 5,
            tsval: 6,
            answer: 7,
            pod_ifindex,
            uplink_ifindex: 2,
            tuple: Tuple::default(),
            kinds: kind::HANDSHAKE,
            flags: 0,
            shift: 0,
        }
    }

    /// What is reported of samples of these places, by pod, and how much is left out.
    fn sift(pods: &mut Pods, places: &[u32], now: Instant) -> (Vec<u32>, u64) {
        let mut samples: Vec<_> = places.iter().copied().map(sample).collect();
        let hidden = pods.sift(&mut samples, now, false);
        (samples.iter().map(|sample| sample.pod_ifindex).collect(), hidden)
    }

    fn judge(pods: &mut Pods, missing: Missing, now: Instant) {
        pods.cases.get_mut(&POD).expect("there").judge(missing, "veth", now);
    }

    fn with_a_pod() -> (Pods, Instant) {
        let mut pods = Pods::default();
        pods.add(POD);
        (pods, Instant::now())
    }

    #[test]
    fn what_a_short_lived_pod_showed_in_part_is_left_out() {
        let (mut pods, now) = with_a_pod();
        assert_eq!(sift(&mut pods, &[POD; 2], now), (vec![], 0), "held back");
        judge(&mut pods, PAST, now);
        pods.remove(POD, now);
        assert_eq!(sift(&mut pods, &[POD], now), (vec![], 3), "what the ring held as well");
        assert_eq!(sift(&mut pods, &[], now + HOLD), (vec![], 0), "and once");
    }

    #[test]
    fn what_a_short_lived_pod_showed_without_a_suspicion_is_reported() {
        let (mut pods, now) = with_a_pod();
        assert_eq!(sift(&mut pods, &[POD], now), (vec![], 0), "held back");
        pods.remove(POD, now);
        assert_eq!(sift(&mut pods, &[POD], now), (vec![POD; 2], 0));
        assert_eq!(sift(&mut pods, &[], now + HOLD), (vec![], 0), "once");
    }

    #[test]
    fn what_the_ring_holds_of_a_hidden_pod_stays_hidden_when_it_goes() {
        let (mut pods, now) = with_a_pod();
        pods.set(POD, View::Hidden("refused".into()));
        pods.remove(POD, now);
        assert_eq!(sift(&mut pods, &[POD], now), (vec![], 1));
    }

    #[test]
    fn what_the_ring_holds_of_a_pod_seen_inside_is_named_by_its_interface_when_it_goes() {
        let (mut pods, now) = with_a_pod();
        pods.set(POD, View::Inside("why".into()));
        pods.namespaces.insert(NAMESPACE, POD);
        pods.remove(POD, now);
        assert_eq!(sift(&mut pods, &[NAMESPACE, POD], now), (vec![POD], 1));
        sift(&mut pods, &[], now + AFTERMATH);
        assert!(pods.namespaces.is_empty() && pods.gone.is_empty(), "{pods:?}");
    }

    #[test]
    fn another_pod_with_the_index_of_one_that_went_begins_anew() {
        let (mut pods, now) = with_a_pod();
        sift(&mut pods, &[POD], now);
        judge(&mut pods, PAST, now);
        pods.remove(POD, now);
        pods.add(POD);
        assert_eq!(sift(&mut pods, &[POD], now), (vec![], 1), "the first one's is left out");
        assert_eq!(sift(&mut pods, &[], now + HOLD), (vec![POD], 0), "the second one's is not");
    }
}

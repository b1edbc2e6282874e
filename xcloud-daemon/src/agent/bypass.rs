//! Whether a pod's packets pass its hooks, judged by what became of its exchanges and never by a CNI's name.
//!
//! An answer that came in by the uplink and never got to the pod's interface went another way: a CNI's program
//! redirected it (`bpf_redirect_peer`), or ended the chain before ours. One packet proves nothing, since packets are
//! also dropped; a share of many, seen twice in a row, does. Then the hooks move into the pod's network namespace, where
//! every packet passes them, and stay there. Where that cannot be, what its sockets are given is looked at. Where that
//! cannot be or does not show all either, the pod is hidden: what still passes its interface is no fair part of its
//! traffic (with Calico's eBPF dataplane, handshakes), so nothing of it is reported.

pub mod evidence;

use std::time::{Duration, Instant};

use evidence::{Evidence, Verdict};

use crate::kernel::unfinished::Missing;

/// Verdicts in a row that count: two against the hooks, more to trust them again.
const AGAINST: u8 = 2;
const IN_FAVOUR: u8 = 5;
/// How long evidence for the hooks is collected at least, since what is missing is known later than what came.
const RIPE: Duration = Duration::from_millis(600);
/// How long a hidden pod stays so before its namespace is looked for again.
const RETRY: Duration = Duration::from_secs(30);
/// What begins before a pod's sockets are watched ends within this, seen in part, and is left out.
const SETTLE: Duration = Duration::from_secs(1);
/// How long sockets are watched before evidence against that counts: some of it is older.
const TRIAL: Duration = Duration::from_secs(2);

/// Where a pod's packets are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// At its interface on the node.
    Node,
    /// In its network namespace; why.
    Inside(String),
    /// At its sockets; why.
    Sockets(String),
    /// Not in full, so nothing is reported; why.
    Hidden(String),
}

/// What has to be done about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its hooks should move into its namespace; why.
    Enter(String),
    /// Its interface shows all of it again.
    Trust,
}

/// What becomes of an exchange's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is reported.
    Shown,
    /// It is left out, as part of what is not seen in full.
    Left,
    /// Nothing is known of the pod yet, but perhaps a suspicion.
    Open {
        /// An answer is missing.
        suspicious: bool,
    },
}

impl Fate {
    /// What becomes of it when no more will be known.
    #[must_use]
    pub const fn is_reported(self) -> bool {
        matches!(self, Self::Shown | Self::Open { suspicious: false })
    }
}

/// One pod's case.
#[derive(Debug)]
pub struct Case {
    view: View,
    evidence: Evidence,
    /// When the first exchange of the evidence came.
    since: Option<Instant>,
    /// Verdicts of the same kind in a row.
    against: u8,
    in_favour: u8,
    retry: Option<Instant>,
    /// When it was set to where it is seen.
    set: Option<Instant>,
    /// Its sockets did not show all of it.
    sockets_failed: bool,
}

impl Case {
    /// Of a pod whose interface was just hooked.
    #[must_use]
    pub fn new() -> Self {
        Self {
            view: View::Node,
            evidence: Evidence::default(),
            since: None,
            against: 0,
            in_favour: 0,
            retry: None,
            set: None,
            sockets_failed: false,
        }
    }

    /// Where its packets are seen.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// What becomes of an exchange's end that the hooks on the node saw.
    #[must_use]
    pub fn fate(&self, now: Instant) -> Fate {
        let Evidence { at_sockets, missing, .. } = self.evidence;
        let suspicious = self.against > 0 || missing.into_pod + at_sockets > 0;
        let settled = self.set.is_none_or(|set| now >= set + SETTLE);
        match self.view {
            View::Sockets(_) if settled => Fate::Shown,
            View::Sockets(_) => Fate::Left,
            View::Inside(_) | View::Hidden(_) => Fate::Left,
            View::Node if self.in_favour > 0 => Fate::Shown,
            View::Node => Fate::Open { suspicious },
        }
    }

    /// Whether its sockets may be watched, if it cannot be entered.
    #[must_use]
    pub fn may_use_sockets(&self) -> bool {
        !self.sockets_failed && !matches!(self.view, View::Sockets(_))
    }

    /// Takes an exchange's end in.
    pub fn saw(&mut self, far: bool, at_socket: bool, now: Instant) {
        let expected = matches!(self.view, View::Sockets(_));
        self.evidence.at_sockets += u64::from(at_socket && !expected);
        self.since.get_or_insert(now);
        let count = if far { &mut self.evidence.out_of_pod } else { &mut self.evidence.into_pod };
        *count += 1;
    }

    /// Takes in what a look at the tables found missing, and says what to do now.
    pub fn judge(&mut self, missing: Missing, kind: &str, now: Instant) -> Option<Step> {
        if let View::Inside(_) = self.view {
            return None;
        }
        if kind == "netkit" && self.is_due(now) {
            return Some(Step::Enter(
                "netkit hands packets on before its hooks on the node".into(),
            ));
        }
        self.evidence.missing.into_pod += match self.view {
            View::Sockets(_) => missing.into_pod - missing.control,
            _ => missing.into_pod,
        };
        self.evidence.missing.out_of_pod += missing.out_of_pod;
        let ripe = self.since.is_some_and(|since| now >= since + RIPE);
        let verdict = self.evidence.verdict().filter(|one| ripe || *one != Verdict::Seen);
        if verdict.is_some() {
            (self.evidence, self.since) = (Evidence::default(), None);
        }
        self.next(verdict, now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.retry.is_none_or(|retry| now >= retry)
    }

    fn next(&mut self, verdict: Option<Verdict>, now: Instant) -> Option<Step> {
        match verdict {
            Some(Verdict::Bypassed(why)) => {
                (self.against, self.in_favour) = (self.against.saturating_add(1), 0);
                (self.against >= AGAINST && self.is_due(now)).then_some(Step::Enter(why))
            }
            Some(Verdict::Seen) => {
                (self.against, self.in_favour) = (0, self.in_favour.saturating_add(1));
                let hidden = matches!(self.view, View::Hidden(_));
                let trusted = hidden && self.in_favour >= IN_FAVOUR;
                trusted.then_some(Step::Trust)
            }
            None => None,
        }
    }

    /// What was done about it.
    pub fn set(&mut self, view: View, now: Instant) {
        self.retry = match view {
            View::Hidden(_) => Some(now + RETRY),
            View::Sockets(_) => Some(now + TRIAL),
            View::Node | View::Inside(_) => None,
        };
        if let View::Sockets(_) = view {
            self.against = 0;
        }
        self.sockets_failed |= matches!((&self.view, &view), (View::Sockets(_), View::Hidden(_)));
        (self.view, self.set) = (view, Some(now));
        (self.evidence, self.since) = (Evidence::default(), None);
    }
}

impl Default for Case {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{evidence::ENOUGH, *};

    const PAST: Missing = Missing { into_pod: 20, out_of_pod: 0, control: 0 };
    const NONE: Missing = Missing { into_pod: 0, out_of_pod: 0, control: 0 };

    fn entered(case: &mut Case, missing: Missing, now: Instant) -> bool {
        matches!(case.judge(missing, "veth", now), Some(Step::Enter(_)))
    }

    fn seen(case: &mut Case, now: Instant) {
        (0..ENOUGH).for_each(|_| case.saw(false, false, now - RIPE));
    }

    #[test]
    fn nothing_is_shown_before_the_hooks_are_known_to_see_it() {
        let (mut case, now) = (Case::new(), Instant::now());
        (0..ENOUGH).for_each(|_| case.saw(false, false, now));
        assert_eq!(case.judge(NONE, "veth", now), None);
        assert_eq!(
            case.fate(now),
            Fate::Open { suspicious: false },
            "what is missing is known later"
        );
        assert_eq!(case.judge(NONE, "veth", now + RIPE), None);
        assert_eq!(case.fate(now), Fate::Shown);
        case.set(View::Hidden("refused".into()), now);
        assert_eq!(case.fate(now), Fate::Left);
    }

    #[test]
    fn two_verdicts_in_a_row_move_the_hooks_and_they_stay() {
        let (mut case, now) = (Case::new(), Instant::now());
        assert!(!entered(&mut case, PAST, now));
        seen(&mut case, now);
        assert!(!entered(&mut case, NONE, now), "one was a busy moment");
        assert!(!entered(&mut case, PAST, now));
        assert!(!entered(&mut case, NONE, now), "no evidence is no verdict");
        assert!(entered(&mut case, PAST, now));
        case.set(View::Inside("why".into()), now);
        assert_eq!(case.judge(PAST, "veth", now), None);
    }

    #[test]
    fn a_hidden_pod_is_tried_again_and_may_come_back() {
        let (mut case, now) = (Case::new(), Instant::now());
        case.set(View::Hidden("refused".into()), now);
        assert!(!entered(&mut case, PAST, now) && !entered(&mut case, PAST, now));
        assert!(entered(&mut case, PAST, now + RETRY));
        for _ in 1..IN_FAVOUR {
            seen(&mut case, now);
            assert_eq!(case.judge(NONE, "veth", now), None);
        }
        seen(&mut case, now);
        assert_eq!(case.judge(NONE, "veth", now), Some(Step::Trust));
    }

    #[test]
    fn sockets_are_trusted_once_settled_and_hidden_when_they_do_not_show_all() {
        let (mut case, now) = (Case::new(), Instant::now());
        assert!(case.may_use_sockets());
        case.set(View::Sockets("why".into()), now);
        assert_eq!(case.fate(now), Fate::Left, "what began before was seen in part");
        assert_eq!(case.fate(now + SETTLE), Fate::Shown);
        for _ in 0..=IN_FAVOUR {
            (0..ENOUGH).for_each(|_| case.saw(false, true, now - RIPE));
            assert_eq!(case.judge(NONE, "veth", now), None, "seen there is no news");
        }
        let handshakes = Missing { control: 20, ..PAST };
        (0..3).for_each(|_| assert!(!entered(&mut case, handshakes, now + TRIAL)));
        assert!(!entered(&mut case, PAST, now) && !entered(&mut case, PAST, now));
        assert!(entered(&mut case, PAST, now + TRIAL));
        assert!(!case.may_use_sockets());
        case.set(View::Hidden("refused".into()), now);
        assert!(!case.may_use_sockets(), "not again every 30 s");
    }

    #[test]
    fn a_pod_that_another_pods_tracepoint_shows_is_not_taken_for_one_seen_at_its_interface() {
        let (mut case, now) = (Case::new(), Instant::now());
        for round in 0..AGAINST {
            (0..ENOUGH).for_each(|_| case.saw(true, true, now - RIPE));
            assert_eq!(case.fate(now), Fate::Open { suspicious: true });
            assert_eq!(entered(&mut case, NONE, now), round + 1 == AGAINST);
        }
    }

    #[test]
    fn netkit_needs_no_evidence() {
        let (mut case, now) = (Case::new(), Instant::now());
        assert!(matches!(case.judge(NONE, "netkit", now), Some(Step::Enter(_))));
        case.set(View::Hidden("refused".into()), now);
        assert_eq!(case.judge(NONE, "netkit", now), None, "not at every look");
        assert!(case.judge(NONE, "netkit", now + RETRY).is_some());
    }
}

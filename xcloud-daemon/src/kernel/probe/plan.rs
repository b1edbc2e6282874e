//! Which hooks to use, from what the kernel can do.

use clap::ValueEnum;
use serde::Serialize;

use super::{Answer, Feature, Finding};

/// How classifiers are attached. Serialised names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TcHook {
    /// TCX, first in the chain.
    Tcx,
    /// The clsact qdisc, priority 1, a handle of our own.
    Clsact,
    /// Not at all.
    None,
}

/// How a packet's hand-over to the driver is seen. Serialised names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum DepartureHook {
    /// Typed tracepoint `net_dev_start_xmit`.
    TpBtf,
    /// Raw tracepoint `net_dev_start_xmit`.
    RawTp,
    /// Kprobe on `dev_hard_start_xmit`.
    Kprobe,
    /// Classifier at egress, before the queue: its wait then counts as WAN.
    #[value(name = "tc")]
    TcEgress,
    /// Not at all.
    #[value(skip)]
    None,
}

/// The hooks to use on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// At pod interfaces, both directions.
    pub pod_hook: TcHook,
    /// At uplinks, packets received.
    pub uplink_in: TcHook,
    /// At uplinks, packets handed to the driver.
    pub uplink_out: DepartureHook,
    /// Whether packets are also seen before the uplink queue.
    pub queue_hook: bool,
    /// Whether the stage profile's probes are wanted.
    #[serde(skip)]
    pub stages: bool,
    /// Whether what leaves by the uplinks is accounted for.
    #[serde(skip)]
    pub account: bool,
    /// Whether programs may read the kernel's memory, which takes all but the classifiers' plain hooks.
    #[serde(skip)]
    pub reads_kernel: bool,
    /// Why, one sentence a choice.
    pub reasons: Vec<String>,
    /// What makes measuring impossible, and what to do; empty when it is possible.
    #[serde(skip)]
    pub missing: Vec<String>,
}

/// Capabilities without which nothing can be measured.
const CAPABILITIES: [(Feature, &str); 3] = [
    (Feature::CapBpf, "CAP_BPF"),
    (Feature::CapNetAdmin, "CAP_NET_ADMIN"),
    (Feature::CapPerfmon, "CAP_PERFMON"),
];

/// Other features without which nothing can be measured, and what to do when one is missing.
const NEEDED: [(Feature, &str); 4] = [
    (
        Feature::Btf,
        "this kernel does not tell its types: use one built with CONFIG_DEBUG_INFO_BTF=y",
    ),
    (Feature::RingBuffer, "this kernel has no BPF ring buffer: use Linux 5.8 or newer"),
    (
        Feature::SchedCls,
        "this kernel loads no classifiers: use one built with CONFIG_BPF_SYSCALL=y and CONFIG_NET_CLS_BPF",
    ),
    (
        Feature::Memlock,
        "the limit on locked memory is too small for the maps: raise it, e.g. with ulimit -l unlimited",
    ),
];

impl Plan {
    /// Chooses, given the findings and whether the uplink queue should be timed.
    #[must_use]
    pub fn new(findings: &[Finding], want_queue: bool) -> Self {
        let answer = |feature| {
            findings
                .iter()
                .find(|finding| finding.feature == feature)
                .map_or(Answer::Unknown, |finding| finding.answer)
        };
        let (tc, tc_why) = tc_hook(answer(Feature::Tcx), answer(Feature::Clsact));
        let reads_kernel = answer(Feature::LockdownAllows) != Answer::No;
        let (out, out_why) = if reads_kernel {
            departure(
                answer(Feature::TpBtfNetDevStartXmit),
                answer(Feature::RawTpNetDevStartXmit),
                answer(Feature::KprobeDevHardStartXmit),
                tc,
            )
        } else {
            locked_departure(tc)
        };
        let queue = want_queue && tc != TcHook::None && out.is_after_queue();
        let queue_why = match (queue, want_queue) {
            (true, _) => "queue: a classifier at uplink egress stamps packets before the queue",
            (false, true) => {
                "queue: not timed, it takes both a classifier and a tracepoint or kprobe"
            }
            (false, false) => "queue: not timed, as --queue-hook=false asks",
        };
        let missing = missing(&answer, tc);
        Self {
            pod_hook: tc,
            uplink_in: tc,
            uplink_out: out,
            queue_hook: queue,
            stages: false,
            account: false,
            reads_kernel,
            reasons: vec![tc_why.into(), out_why.into(), queue_why.into()],
            missing,
        }
    }

    /// The same plan with what is asked for besides.
    #[must_use]
    pub fn with_extras(mut self, stages: bool, account: bool) -> Self {
        (self.stages, self.account) = (stages, account);
        // The account is kept at that hook.
        self.queue_hook |= account;
        let asked = [(stages, "--stages"), (account, "--account")];
        for (_, flag) in asked.iter().filter(|(asked, _)| *asked && !self.reads_kernel) {
            self.missing.push(format!("{flag} reads kernel memory: {LOCKED}, or leave it out"));
        }
        self
    }

    /// Attaches classifiers this way, whatever was found best; for tests.
    #[must_use]
    pub fn with_classifiers(mut self, how: TcHook) -> Self {
        (self.pod_hook, self.uplink_in) = (how, how);
        self.reasons[0] = "pods and uplink ingress: as --tc-backend asks".into();
        self
    }

    /// The same plan with another back end at the uplinks' departure, for tests.
    #[must_use]
    pub fn with_uplink_out(mut self, uplink_out: DepartureHook) -> Self {
        self.queue_hook &= uplink_out.is_after_queue();
        self.uplink_out = uplink_out;
        self.reasons.push(format!("uplink departure: {uplink_out:?}, as --uplink-out asks"));
        self
    }
}

/// Why kernel memory cannot be read, and what to do.
pub const LOCKED: &str =
    "kernel lockdown is at confidentiality, which forbids that: boot with lockdown=integrity";

impl DepartureHook {
    /// Whether packets have left the uplink's queue when it sees them.
    const fn is_after_queue(self) -> bool {
        matches!(self, Self::TpBtf | Self::RawTp | Self::Kprobe)
    }
}

fn missing(answer: &impl Fn(Feature) -> Answer, tc: TcHook) -> Vec<String> {
    let absent = |feature: &Feature| answer(*feature) == Answer::No;
    let rights: Vec<&str> =
        CAPABILITIES.iter().filter(|(feature, _)| absent(feature)).map(|(_, name)| *name).collect();
    let mut missing = vec![];
    if !rights.is_empty() {
        missing.push(format!(
            "this process lacks {}: run it as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
            rights.join(", ")
        ));
    }
    let kernel = NEEDED.iter().filter(|(feature, _)| absent(feature));
    missing.extend(kernel.map(|(_, remedy)| (*remedy).to_owned()));
    if tc == TcHook::None {
        missing.push(
            "classifiers cannot be attached: the kernel needs TCX (Linux 6.6 or newer) or CONFIG_NET_SCH_INGRESS"
                .into(),
        );
    }
    missing
}

fn tc_hook(tcx: Answer, clsact: Answer) -> (TcHook, &'static str) {
    match (tcx, clsact) {
        (Answer::Yes, _) => (TcHook::Tcx, "pods and uplink ingress: TCX, first in the chain"),
        (Answer::No, Answer::Yes) => {
            (TcHook::Clsact, "pods and uplink ingress: clsact, as this kernel has no TCX")
        }
        // The trial takes a namespace of its own and so CAP_SYS_ADMIN, which attaching does not.
        (Answer::No, Answer::Unknown) => (
            TcHook::Clsact,
            "pods and uplink ingress: clsact if it can be had, as this kernel has no TCX",
        ),
        (Answer::Unknown, Answer::Yes) => {
            (TcHook::Clsact, "pods and uplink ingress: clsact, as TCX could not be tried")
        }
        // Where nothing can be tried, the better one is planned; attaching will tell.
        (Answer::Unknown, Answer::Unknown) => {
            (TcHook::Tcx, "pods and uplink ingress: TCX if it can be had, nothing could be tried")
        }
        _ => (TcHook::None, "pods and uplink ingress: nothing, neither TCX nor clsact"),
    }
}

/// Without the right to read kernel memory no tracepoint or kprobe can look at a packet.
fn locked_departure(tc: TcHook) -> (DepartureHook, &'static str) {
    match tc {
        TcHook::None => (
            DepartureHook::None,
            "uplink departure: nothing, as kernel lockdown forbids tracepoints to read packets",
        ),
        TcHook::Tcx | TcHook::Clsact => (
            DepartureHook::TcEgress,
            "uplink departure: classifier at egress, as kernel lockdown (confidentiality) forbids tracepoints to read \
             packets, so the wait in the queue counts as WAN",
        ),
    }
}

fn departure(
    typed: Answer,
    raw: Answer,
    kprobe: Answer,
    tc: TcHook,
) -> (DepartureHook, &'static str) {
    match (typed, raw, kprobe, tc) {
        (Answer::Yes, ..) => (
            DepartureHook::TpBtf,
            "uplink departure: typed tracepoint net_dev_start_xmit, after the queue",
        ),
        (_, Answer::Yes, ..) => (
            DepartureHook::RawTp,
            "uplink departure: raw tracepoint net_dev_start_xmit, as the typed one is not to be had",
        ),
        (.., Answer::Yes, _) => (
            DepartureHook::Kprobe,
            "uplink departure: kprobe on dev_hard_start_xmit, as no tracepoint is to be had",
        ),
        (Answer::Unknown, Answer::Unknown, ..) => (
            DepartureHook::TpBtf,
            "uplink departure: typed tracepoint if it can be had, nothing could be tried",
        ),
        (.., TcHook::None) => (
            DepartureHook::None,
            "uplink departure: nothing, neither tracepoint, kprobe nor classifier",
        ),
        _ => (
            DepartureHook::TcEgress,
            "uplink departure: classifier at egress, so the wait in the queue counts as WAN",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(answers: &[(Feature, Answer)]) -> Vec<Finding> {
        let finding = |(feature, answer): &(Feature, Answer)| Finding {
            feature: *feature,
            answer: *answer,
            detail: String::new(),
        };
        answers.iter().map(finding).collect()
    }

    #[test]
    fn a_new_kernel_gets_the_best_hooks() {
        let all =
            findings(&[(Feature::Tcx, Answer::Yes), (Feature::TpBtfNetDevStartXmit, Answer::Yes)]);
        let plan = Plan::new(&all, true);
        assert_eq!((plan.pod_hook, plan.uplink_out), (TcHook::Tcx, DepartureHook::TpBtf));
        assert!(plan.queue_hook && plan.missing.is_empty());
        assert!(!Plan::new(&all, false).queue_hook);
    }

    #[test]
    fn an_old_kernel_falls_back() {
        let old = [
            (Feature::Tcx, Answer::No),
            (Feature::Clsact, Answer::Yes),
            (Feature::TpBtfNetDevStartXmit, Answer::No),
            (Feature::RawTpNetDevStartXmit, Answer::No),
        ];
        let plan = Plan::new(&findings(&old), true);
        assert_eq!((plan.uplink_in, plan.uplink_out), (TcHook::Clsact, DepartureHook::TcEgress));
        assert!(!plan.queue_hook, "departure is seen before the queue");
    }

    #[test]
    fn an_old_kernel_falls_back_without_the_right_to_try() {
        let old = [(Feature::Tcx, Answer::No), (Feature::Clsact, Answer::Unknown)];
        let plan = Plan::new(&findings(&old), true);
        assert_eq!(plan.pod_hook, TcHook::Clsact);
        assert!(plan.missing.is_empty(), "{:?}", plan.missing);
    }

    #[test]
    fn without_tracepoints_a_kprobe_sees_departures_after_the_queue() {
        let answers = [
            (Feature::Tcx, Answer::Yes),
            (Feature::TpBtfNetDevStartXmit, Answer::No),
            (Feature::RawTpNetDevStartXmit, Answer::No),
            (Feature::KprobeDevHardStartXmit, Answer::Yes),
        ];
        let plan = Plan::new(&findings(&answers), true);
        assert_eq!(plan.uplink_out, DepartureHook::Kprobe);
        assert!(plan.queue_hook);
        assert!(!plan.with_uplink_out(DepartureHook::TcEgress).queue_hook);
    }

    #[test]
    fn what_is_missing_is_named_and_unknown_is_not_missing() {
        let none = [
            (Feature::Tcx, Answer::No),
            (Feature::Clsact, Answer::No),
            (Feature::Btf, Answer::No),
            (Feature::CapBpf, Answer::No),
        ];
        let plan = Plan::new(&findings(&none), true);
        assert_eq!(plan.pod_hook, TcHook::None);
        assert_eq!(plan.missing.len(), 3, "{:?}", plan.missing);
        assert!(plan.missing[0].contains("CAP_BPF"));
        assert!(Plan::new(&[], true).missing.is_empty());
    }

    #[test]
    fn under_lockdown_only_plain_classifiers_are_planned() {
        let locked = [
            (Feature::Tcx, Answer::Yes),
            (Feature::TpBtfNetDevStartXmit, Answer::Yes),
            (Feature::RawTpNetDevStartXmit, Answer::Yes),
            (Feature::LockdownAllows, Answer::No),
        ];
        let plan = Plan::new(&findings(&locked), true);
        assert_eq!((plan.pod_hook, plan.uplink_out), (TcHook::Tcx, DepartureHook::TcEgress));
        assert!(plan.reasons[1].contains("lockdown"), "{:?}", plan.reasons);
        assert!(!plan.queue_hook && plan.missing.is_empty(), "{plan:?}");
    }

    #[test]
    fn under_lockdown_what_reads_kernel_memory_is_refused_by_its_flag() {
        let locked = [(Feature::Tcx, Answer::Yes), (Feature::LockdownAllows, Answer::No)];
        let plan = Plan::new(&findings(&locked), true);
        assert!(plan.clone().with_extras(false, false).missing.is_empty());
        let refused = plan.with_extras(true, true).missing;
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].starts_with("--stages") && refused[1].starts_with("--account"));
        let able = Plan::new(&findings(&locked[..1]), true).with_extras(true, true);
        assert!(able.missing.is_empty() && able.queue_hook, "{able:?}");
    }
}

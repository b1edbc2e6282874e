//! What a pod's exchanges show about its hooks.

use crate::kernel::unfinished::Missing;

/// Exchanges that make a verdict.
pub(super) const ENOUGH: u64 = 8;
/// One in this many answers may be missing: packets are also lost inside a node.
const TOLERATED: u64 = 10;

/// What a pod's exchanges showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Answers that got into the pod by its hook.
    pub into_pod: u64,
    /// Answers that left the pod by its hook.
    pub out_of_pod: u64,
    /// How many of both were of exchanges that its sockets saw enter, and its interface did not.
    pub at_sockets: u64,
    /// What did not come.
    pub missing: Missing,
}

/// What evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The hooks see the pod's packets.
    Seen,
    /// Packets go past a hook; which.
    Bypassed(String),
}

impl Evidence {
    /// `None`: not enough to tell.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let Missing { into_pod: missed, out_of_pod: unanswered, .. } = self.missing;
        let answers = self.into_pod + missed;
        if answers >= ENOUGH && missed * TOLERATED > answers {
            return Some(Verdict::Bypassed(format!(
                "{missed} of {answers} answers came in by the uplink and went past its interface"
            )));
        }
        let seen = self.into_pod + self.out_of_pod;
        if self.at_sockets >= ENOUGH && self.at_sockets * TOLERATED > seen {
            return Some(Verdict::Bypassed(format!(
                "{} of {seen} packets got to its sockets and went past its interface",
                self.at_sockets
            )));
        }
        let silent = answers + self.out_of_pod == 0;
        if silent && unanswered >= 2 * ENOUGH {
            return Some(Verdict::Bypassed(format!(
                "{unanswered} segments went into it and nothing came out by its interface"
            )));
        }
        (answers.max(self.out_of_pod) >= ENOUGH).then_some(Verdict::Seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that got into the pod, that left it, and what is missing of each.
    fn verdict(into_pod: u64, out_of_pod: u64, missed: u64, unanswered: u64) -> Option<bool> {
        let missing = Missing { into_pod: missed, out_of_pod: unanswered, control: 0 };
        let verdict =
            Evidence { into_pod, out_of_pod, missing, ..Evidence::default() }.verdict()?;
        Some(verdict == Verdict::Seen)
    }

    #[test]
    fn evidence_is_weighed() {
        const SEEN: Option<bool> = Some(true);
        const BYPASSED: Option<bool> = Some(false);
        for (why, evidence, expected) in [
            ("nothing happened", (0, 0, 0, 0), None),
            ("too little to tell", (3, 3, 4, 0), None),
            ("all of it is seen", (8, 0, 0, 0), SEEN),
            ("a server's answers are seen", (0, 8, 0, 0), SEEN),
            ("a packet was dropped inside the node", (40, 0, 1, 0), SEEN),
            ("redirected into the pod", (0, 0, 8, 0), BYPASSED),
            ("handshakes alone pass the interface", (4, 4, 9, 0), BYPASSED),
            ("a bulk receiver acknowledges half exactly", (0, 50, 0, 50), SEEN),
            ("a bulk receiver's requests are seen", (8, 0, 0, 50), SEEN),
            ("nothing comes out by the interface", (0, 0, 0, 16), BYPASSED),
        ] {
            let (into_pod, out_of_pod, missed, unanswered) = evidence;
            assert_eq!(verdict(into_pod, out_of_pod, missed, unanswered), expected, "{why}");
        }
    }
}

//! Whether a pod's interface drops more since we are on it: a pure function of its counters.
//!
//! No program of ours drops or changes a packet, so this should never say yes. It is there because "should" is no
//! comfort to whose pod is cut off. It sees what devices drop (the other end is down or its MTU too small, a queue is
//! full), as that is what the counters count: not what TC or TCX programs drop, other agents' among them, nor netfilter
//! or a policy. Drops are judged as a share of the packets, against the share over the interface's whole life before we
//! came, so that an interface that has always dropped is left in peace and a quiet one is judged by the packets it has.

use crate::kernel::ifaces::Traffic;

/// Fewer packets than this say nothing: the next look adds to them.
const ENOUGH: u64 = 50;
/// More drops than before by this share of the packets are harm.
const HARM: f64 = 0.01;
/// Or by this share of what was dropped before, if that is more.
const HARM_OF_BEFORE: f64 = 0.5;
/// So many looks in a row must find harm.
const LOOKS: u32 = 3;

/// Watches one interface.
#[derive(Clone, Debug)]
pub struct Watchdog {
    before: f64,
    last: Traffic,
    harmed: u32,
}

/// What was found, in shares of the packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harm {
    /// Dropped before we came.
    pub before: f64,
    /// Dropped lately.
    pub now: f64,
}

impl Watchdog {
    /// Starts with what the interface counted when we came.
    #[must_use]
    pub fn new(before: Traffic) -> Self {
        let share = since(&before, &Traffic::default()).map_or(0.0, |(share, _)| share);
        Self { before: share, last: before, harmed: 0 }
    }

    /// Takes in a look at the counters; returns the harm when it is beyond doubt.
    pub fn look(&mut self, now: Traffic) -> Option<Harm> {
        let (share, packets) = since(&now, &self.last)?;
        if packets < ENOUGH {
            return None;
        }
        self.last = now;
        let more = share - self.before;
        let harm = HARM.max(self.before * HARM_OF_BEFORE);
        if more > harm {
            self.harmed += 1;
        } else if more < harm / 2.0 {
            // In between it is neither harm nor its end.
            self.harmed = 0;
        }
        (self.harmed >= LOOKS).then_some(Harm { before: self.before, now: share })
    }
}

/// Share dropped from an earlier look to a later one, and of how many packets; none for no packets, or for counters
/// that went back.
fn since(later: &Traffic, earlier: &Traffic) -> Option<(f64, u64)> {
    let more = |count: fn(&Traffic) -> u64| count(later).checked_sub(count(earlier));
    // Both ends may count the same packet.
    let to_pod = more(|t| t.to_pod)?.max(more(|t| t.to_pod_peer)?);
    let from_pod = more(|t| t.from_pod)?.max(more(|t| t.from_pod_peer)?);
    let dropped = to_pod + from_pod;
    let packets = more(|t| t.packets)? + dropped;
    (packets > 0).then(|| (dropped as f64 / packets as f64, packets))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        before: Traffic,
        looks: Vec<Traffic>,
        /// Number of the look that finds harm, from 1; 0 for none.
        harm_at: usize,
    }

    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }

    #[test]
    fn judges_as_the_cases_say() {
        let cases: Cases = toml::from_str(include_str!("watchdog/cases.toml")).expect("cases");
        for case in cases.case {
            let mut watchdog = Watchdog::new(case.before);
            let found = case.looks.iter().position(|look| watchdog.look(*look).is_some());
            assert_eq!(found.map_or(0, |at| at + 1), case.harm_at, "{}", case.name);
        }
    }
}

//! Nothing answered: what was tried, and what to look at.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Error, anyhow};

use super::{prober::Plan, probes::Measured};
use crate::report::style::grouped;

/// What is known about runs of one plan should none of their probes be answered in time.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    target: SocketAddr,
    timeout_ns: u64,
    signed: bool,
    sent: u64,
    answered: bool,
    failed: u64,
    late: bool,
    foreign: u64,
    refused: bool,
}

impl Silence {
    /// Before the first run.
    #[must_use]
    pub const fn new(plan: &Plan) -> Self {
        Self {
            target: plan.target,
            timeout_ns: plan.timeout_ns,
            signed: plan.key.is_some(),
            sent: 0,
            answered: false,
            failed: 0,
            late: false,
            foreign: 0,
            refused: false,
        }
    }

    /// After one more run.
    pub fn add(&mut self, run: &Measured) {
        self.sent += run.sent.len() as u64;
        self.answered |= run.exchanges().iter().any(Option::is_some);
        self.failed += run.sent.iter().filter(|sent| sent.failed).count() as u64;
        self.late |= !run.answers.is_empty();
        self.foreign += run.foreign;
        self.refused |= run.refused > 0;
    }

    /// The error that it is; none if a probe was answered, or somebody wanted the end before the first was due.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        if self.answered || self.sent == 0 {
            return None;
        }
        let (target, sent) = (self.target, grouped(self.sent));
        let timeout = humantime::format_duration(Duration::from_nanos(self.timeout_ns));
        let clues = self.clues().join(", and ");
        Some(anyhow!(
            "nothing answered: {sent} probes were sent to {target} and none was answered within {timeout}; {clues}"
        ))
    }

    /// What is known beside the silence; what to look at if nothing is.
    fn clues(&self) -> Vec<String> {
        let (port, mut clues) = (self.target.port(), Vec::new());
        if self.failed > 0 {
            let failed = grouped(self.failed);
            clues.push(format!(
                "the system would not send {failed} of them: look at the route and the firewall here"
            ));
        }
        if self.refused {
            clues.push(format!(
                "the host says that nothing listens on UDP port {port}: start `xcloud load stamp --reflect` there"
            ));
        }
        if self.late {
            clues.push("answers came later than that: raise --timeout".into());
        }
        if self.foreign > 0 {
            let foreign = grouped(self.foreign);
            clues.push(format!(
                "{foreign} packets came that are no answer: look whether a STAMP reflector is what listens there, and \
                 whether both ends have the same --key-file"
            ));
        }
        if clues.is_empty() {
            let keys = if self.signed { ", and that it has the same --key-file" } else { "" };
            clues.push(format!(
                "look whether a reflector runs there (`xcloud load stamp --reflect`){keys}, and whether firewalls let UDP \
                 to port {port} and its answers through"
            ));
        }
        clues
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stamp::{
        probes::{Answer, Sent},
        schedule::Schedule,
        timestamp::Format,
    };

    fn plan() -> Plan {
        Plan {
            target: "192.0.2.1:862".parse().expect("an address"),
            flows: 1,
            size: 44,
            key: None,
            format: Format::Ntp,
            schedule: Schedule::periodic(1),
            count: 9,
            timeout_ns: 1_000,
        }
    }

    /// Three probes, of which the first is answered after so long.
    fn run(answered_ns: Option<u64>) -> Measured {
        let mut run = Measured::new(1, 1_000, 0);
        run.sent = (0..3).map(|at| Sent { intended_ns: at, at_ns: at, failed: false }).collect();
        run.answers = answered_ns
            .map(|arrived_ns| Answer {
                flow: 0,
                sequence: 0,
                probe_sent: 0,
                reflector: 0,
                received_ns: 0,
                sent_ns: 0,
                arrived_ns,
            })
            .into_iter()
            .collect();
        run
    }

    fn error(runs: &[Measured]) -> Option<String> {
        let mut silence = Silence::new(&plan());
        runs.iter().for_each(|run| silence.add(run));
        silence.error().map(|error| error.to_string())
    }

    fn said(runs: &[Measured]) -> String {
        error(runs).expect("an error")
    }

    #[test]
    fn one_answer_in_any_run_is_no_silence() {
        assert_eq!(error(&[run(None), run(Some(900))]), None);
        assert_eq!(error(&[Measured::new(1, 1_000, 0)]), None);
    }

    #[test]
    fn silence_says_what_was_tried_and_what_to_look_at() {
        let said = said(&[run(None), run(None)]);
        for part in ["192.0.2.1:862", "6 probes", "within 1us", "--reflect", "firewalls"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn what_is_known_is_told_instead_of_guesses() {
        let refused = Measured { refused: 1, ..run(None) };
        let mut failed = run(None);
        failed.sent[1].failed = true;
        let foreign = Measured { foreign: 2, ..run(None) };
        let clues = [
            (said(&[refused]), "nothing listens on UDP port 862"),
            (said(&[failed]), "would not send 1 of them"),
            (said(&[run(Some(2_000))]), "raise --timeout"),
            (said(&[foreign]), "2 packets came that are no answer"),
        ];
        for (said, clue) in clues {
            assert!(said.contains(clue) && !said.contains("firewalls"), "{said}");
        }
    }
}

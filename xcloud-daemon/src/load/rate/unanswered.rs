//! Not one request was answered well: what was tried, and what to look at.

use anyhow::{Error, anyhow};

use super::{
    command::Target,
    slot::Transport,
    tally::{Failure, Tally},
};
use crate::report::style::grouped;

/// The error that runs are in which no request was answered well; none if one was, or none was due.
#[must_use]
pub fn error<'a>(target: &Target, runs: impl IntoIterator<Item = &'a Tally>) -> Option<Error> {
    let (mut due, mut unfinished, mut failed) = (0, 0, [0; Failure::ALL.len()]);
    for tally in runs {
        if tally.done > 0 {
            return None;
        }
        due += tally.scheduled;
        unfinished += tally.unfinished;
        for (sum, kind) in failed.iter_mut().zip(Failure::ALL) {
            *sum += tally.failed(kind);
        }
    }
    if due == 0 {
        return None;
    }
    let kinds = Failure::ALL.iter().zip(failed).map(|(kind, count)| (kind.to_string(), count));
    let all = kinds.chain([("unfinished".to_owned(), unfinished)]).filter(|(_, count)| *count > 0);
    let all: Vec<_> = all.map(|(name, count)| format!("{} {name}", grouped(count))).collect();
    let most = Failure::ALL.into_iter().zip(failed).max_by_key(|(_, count)| *count);
    let most = most.filter(|(_, count)| *count > unfinished).map(|(kind, _)| kind);
    let (name, address) = (&target.name, target.address.to_string());
    let to = if *name == address { address } else { format!("{name} ({address})") };
    Some(anyhow!(
        "none of {} requests to {to} was answered well: {}; {}",
        grouped(due),
        all.join(", "),
        look_at(most, target.transport)
    ))
}

fn look_at(most: Option<Failure>, transport: Transport) -> &'static str {
    match most {
        Some(Failure::Connect) if transport == Transport::Udp => {
            "nothing listens there: start `xcloud load responder`"
        }
        Some(Failure::Connect) => "look whether the server still runs and takes connections",
        Some(Failure::Reset) => {
            "connections end before the answer: look whether this is the server's port and protocol, and at its log"
        }
        Some(Failure::Status) => {
            "the server answers with errors: look at what is asked for, and at its log"
        }
        Some(Failure::Protocol) => {
            "what comes is no answer of this protocol: look whether this is the right port"
        }
        Some(Failure::Refused | Failure::Goaway) => {
            "the server takes no more calls: look whether it is overloaded or shutting down"
        }
        None | Some(Failure::Timeout) if transport == Transport::Udp => {
            "look whether `xcloud load responder` listens there, and whether firewalls let UDP to it and its answers through"
        }
        None | Some(Failure::Timeout) => {
            "the server takes connections and does not answer in time: look at it, or raise --timeout and --drain"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(transport: Transport, tally: Tally) -> Option<String> {
        let target = Target {
            test: "rr",
            name: "server:7272".into(),
            address: "192.0.2.1:7272".parse().expect("an address"),
            transport,
            settings: Vec::new(),
        };
        error(&target, [&tally, &Tally::default()]).map(|error| error.to_string())
    }

    fn failed(kind: Failure, count: u64) -> Tally {
        let mut tally = Tally::default();
        (tally.scheduled, tally.unfinished) = (count + 1, 1);
        (0..count).for_each(|_| tally.fail(kind));
        tally
    }

    #[test]
    fn one_good_answer_is_enough_and_nothing_due_is_no_fault() {
        let mut one = failed(Failure::Reset, 9);
        one.done = 1;
        assert_eq!(said(Transport::Tcp, one), None);
        assert_eq!(said(Transport::Tcp, Tally::default()), None);
    }

    #[test]
    fn what_was_tried_is_told_and_what_to_look_at() {
        let reset = said(Transport::Tcp, failed(Failure::Reset, 4)).expect("an error");
        for part in ["5 requests", "192.0.2.1:7272", "4 reset, 1 unfinished", "port and protocol"] {
            assert!(reset.contains(part), "{part}: {reset}");
        }
        let silent = said(Transport::Udp, failed(Failure::Timeout, 4)).expect("an error");
        assert!(silent.contains("4 timeout") && silent.contains("firewalls"), "{silent}");
    }
}

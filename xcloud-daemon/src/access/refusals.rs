//! Refusals are told once a minute and peer, with how many there were: who is refused must not fill the log as well.

use std::{collections::HashMap, time::Duration};

/// How often the refusals of one peer are told.
const EVERY: Duration = Duration::from_secs(60);
/// Peers told apart; those of further ones are counted together.
const MOST: usize = 1_024;
/// Under which further peers are counted.
const OTHERS: &str = "further addresses";

/// Refusals not told yet, by peer.
#[derive(Debug, Default)]
pub struct Refusals(HashMap<String, Untold>);

#[derive(Debug)]
struct Untold {
    told: Duration,
    count: u64,
    why: String,
}

impl Refusals {
    /// Counts one; returns what is to be told, if it is time to.
    pub fn count(&mut self, now: Duration, peer: &str, why: &str) -> Option<String> {
        let peer = match self.0.contains_key(peer) || self.0.len() < MOST {
            true => peer,
            false => OTHERS,
        };
        if let Some(untold) = self.0.get_mut(peer) {
            untold.count += 1;
            untold.why = why.into();
            return None;
        }
        self.0.insert(peer.into(), Untold { told: now, count: 0, why: String::new() });
        Some(format!("refused {peer}: {}", why.escape_debug()))
    }

    /// What is to be told of the last minute of each peer; peers that came no more are forgotten.
    pub fn due(&mut self, now: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        self.0.retain(|peer, untold| {
            if now.saturating_sub(untold.told) < EVERY {
                return true;
            }
            let count = std::mem::take(&mut untold.count);
            if count > 0 {
                let why = untold.why.escape_debug();
                lines.push(format!("refused {peer} {count} more times, the last time: {why}"));
            }
            untold.told = now;
            count > 0
        });
        lines.sort();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_thousand_refusals_in_a_minute_are_two_lines() {
        let mut refusals = Refusals::default();
        let mut lines = Vec::new();
        for _ in 0..1_000 {
            lines.extend(refusals.count(at(1), "10.0.0.1", "no certificate"));
        }
        for second in 0..200 {
            lines.extend(refusals.due(at(second)));
        }
        assert_eq!(
            lines,
            [
                "refused 10.0.0.1: no certificate",
                "refused 10.0.0.1 999 more times, the last time: no certificate",
            ]
        );
    }

    #[test]
    fn one_that_comes_back_is_told_again() {
        let mut refusals = Refusals::default();
        assert!(refusals.count(at(0), "a", "x").is_some());
        assert!(refusals.due(at(60)).is_empty());
        assert!(refusals.count(at(61), "a", "x").is_some());
    }

    #[test]
    fn peers_beyond_number_take_no_more_memory_and_no_lines_of_their_own() {
        let mut refusals = Refusals::default();
        let told = (0..10_000).filter_map(|peer| refusals.count(at(0), &peer.to_string(), "x"));
        assert_eq!(told.count(), MOST + 1);
        assert_eq!(refusals.0.len(), MOST + 1);
    }

    #[test]
    fn what_a_peer_sent_does_not_reach_the_terminal_as_it_is() {
        let line = Refusals::default().count(at(0), "a", "\x1b[2J").expect("told");
        assert_eq!(line, "refused a: \\u{1b}[2J");
    }
}

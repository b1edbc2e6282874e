//! What a reflector remembers of those who ask it, and how many it answers: both are bounded.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// After so long without a packet a session may be forgotten.
const IDLE_NS: u64 = 60_000_000_000;

/// The next sequence number of every session.
#[derive(Debug)]
pub struct Sessions {
    most: usize,
    next: HashMap<(IpAddr, u16, u16), Session>,
    looked_ns: Option<u64>,
}

#[derive(Debug)]
struct Session {
    sequence: u32,
    seen_ns: u64,
}

impl Sessions {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, next: HashMap::new(), looked_ns: None }
    }

    /// The number of the answer to a session's packet; `None` when there is no room for one more session.
    pub fn count(&mut self, from: SocketAddr, session: u16, now_ns: u64) -> Option<u32> {
        let name = (from.ip(), from.port(), session);
        if self.next.len() >= self.most && !self.next.contains_key(&name) {
            self.forget(now_ns);
            if self.next.len() >= self.most {
                return None;
            }
        }
        let kept = self.next.entry(name).or_insert(Session { sequence: 0, seen_ns: now_ns });
        let sequence = kept.sequence;
        *kept = Session { sequence: sequence.wrapping_add(1), seen_ns: now_ns };
        Some(sequence)
    }

    /// Forgets sessions that are idle; looks for them once a second at most, since a flood of new ones asks each time.
    fn forget(&mut self, now_ns: u64) {
        if self.looked_ns.is_none_or(|looked| now_ns.saturating_sub(looked) >= 1_000_000_000) {
            self.looked_ns = Some(now_ns);
            self.next.retain(|_, session| now_ns.saturating_sub(session.seen_ns) < IDLE_NS);
        }
    }
}

/// Answers that may be given: so many a second, and a tenth of that at once.
#[derive(Debug)]
pub struct Allowance {
    per_second: u64,
    /// In billionths of an answer.
    left: u64,
    at_ns: u64,
}

impl Allowance {
    /// So many a second.
    #[must_use]
    pub fn new(per_second: u32, now_ns: u64) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, left: most(per_second), at_ns: now_ns }
    }

    /// Whether one more may be given now.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let more = now_ns.saturating_sub(self.at_ns).saturating_mul(self.per_second);
        self.at_ns = self.at_ns.max(now_ns);
        self.left = self.left.saturating_add(more).min(most(self.per_second));
        let enough = self.left >= 1_000_000_000;
        if enough {
            self.left -= 1_000_000_000;
        }
        enough
    }
}

fn most(per_second: u64) -> u64 {
    (per_second * 100_000_000).max(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn every_session_counts_for_itself() {
        let mut sessions = Sessions::new(9);
        let asked = [(1, 7), (1, 7), (1, 8), (2, 7), (1, 7)];
        let counted = asked.map(|(port, session)| sessions.count(address(port), session, 0));
        assert_eq!(counted, [Some(0), Some(1), Some(0), Some(0), Some(2)]);
    }

    #[test]
    fn a_full_table_takes_new_sessions_when_old_ones_are_idle() {
        let mut sessions = Sessions::new(2);
        assert_eq!(sessions.count(address(1), 0, 0), Some(0));
        assert_eq!(sessions.count(address(2), 0, 30 * SECOND), Some(0));
        assert_eq!(sessions.count(address(3), 0, 31 * SECOND), None);
        assert_eq!(sessions.count(address(1), 0, 31 * SECOND), Some(1));
        assert_eq!(sessions.count(address(3), 0, 90 * SECOND), Some(0));
        assert_eq!(sessions.count(address(1), 0, 90 * SECOND), Some(2));
        assert_eq!(sessions.count(address(2), 0, 90 * SECOND), None);
    }

    #[test]
    fn no_more_is_answered_than_allowed() {
        let mut allowance = Allowance::new(1000, 0);
        let given = (0..10_000u64).filter(|step| allowance.take(step * SECOND / 10_000)).count();
        assert!((1090..=1100).contains(&given), "{given}");
        assert!(!allowance.take(0), "a step back gives nothing");
        assert!(allowance.take(u64::MAX));
    }
}

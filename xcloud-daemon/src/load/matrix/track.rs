//! What is known of one peer: its probes, minute by minute. Knows no socket and reads no clock.
//!
//! A minute is a STAMP session of its own, so that both ends count it from 0 and losses are placed as in any other test.

use std::collections::VecDeque;

use crate::load::stamp::{
    probes::{Answer, Measured, Sent},
    summary::Summary,
};

/// Most minutes kept of a peer: a day.
const MOST_MINUTES: usize = 24 * 60;

/// Probes of one minute, or of what was asked for instead.
#[derive(Debug)]
struct Window {
    session: u16,
    /// Which it is, from the start of the run.
    index: u64,
    run: Measured,
}

/// A minute that is over.
#[derive(Clone, Debug)]
pub struct Minute {
    /// Which it is, from the start of the run.
    pub index: u64,
    /// What its probes found.
    pub summary: Summary,
}

/// What is known of one peer.
#[derive(Debug)]
pub struct Track {
    length_ns: u64,
    timeout_ns: u64,
    /// Those that answers may still come for, oldest first.
    open: VecDeque<Window>,
    /// The last session begun.
    session: u16,
    /// The latest minutes.
    pub minutes: VecDeque<Minute>,
    /// All minutes, those that are not kept too; none before the first is over.
    pub total: Option<Summary>,
}

/// A probe to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its session.
    pub session: u16,
    /// Its number there.
    pub sequence: u32,
}

impl Track {
    /// Nothing yet. Sessions begin after this one.
    #[must_use]
    pub const fn new(length_ns: u64, timeout_ns: u64, session: u16) -> Self {
        Self {
            length_ns,
            timeout_ns,
            open: VecDeque::new(),
            session,
            minutes: VecDeque::new(),
            total: None,
        }
    }

    /// The next probe, at a time since the start of the run, which was at `started_unix_ns`.
    pub fn next(&mut self, now_ns: u64, started_unix_ns: i64) -> Next {
        let index = now_ns / self.length_ns;
        if self.open.back().is_none_or(|window| window.index != index) {
            // 0 means none.
            self.session = self.session.checked_add(1).unwrap_or(1);
            let run = Measured::new(1, self.timeout_ns, started_unix_ns);
            self.open.push_back(Window { session: self.session, index, run });
        }
        let sent = self.open.back().map_or(0, |window| window.run.sent.len());
        Next { session: self.session, sequence: u32::try_from(sent).unwrap_or(u32::MAX) }
    }

    /// The probe told last was sent.
    pub fn sent(&mut self, sent: Sent) {
        if let Some(window) = self.open.back_mut() {
            window.run.sent.push(sent);
        }
    }

    /// An answer came, in a session; `false` if that is none of the open ones.
    pub fn answered(&mut self, session: u16, answer: Answer) -> bool {
        let Some(window) = self.open.iter_mut().find(|window| window.session == session) else {
            return false;
        };
        let sent = u32::try_from(window.run.sent.len()).unwrap_or(u32::MAX);
        window.run.take(sent, Some(answer));
        true
    }

    /// The oldest minute for which no answer can come any more; all of them once the run has `ended`. `encoded` gives a
    /// sent time as it was in the packet.
    pub fn over(
        &mut self,
        now_ns: u64,
        ended: bool,
        encoded: impl Fn(u64) -> u64,
    ) -> Option<&Minute> {
        let end_ns = (self.open.front()?.index + 1).saturating_mul(self.length_ns);
        if !ended && now_ns < end_ns.saturating_add(self.timeout_ns) {
            return None;
        }
        let Window { index, mut run, .. } = self.open.pop_front()?;
        run.drop_foreign(encoded);
        let mut summary = Summary::of(&run);
        // They are in the distributions.
        (summary.clocks.forward, summary.clocks.backward) = (Vec::new(), Vec::new());
        let total = self.total.as_ref().map(|total| total.and(&summary));
        self.total = Some(total.unwrap_or_else(|| summary.clone()));
        if self.minutes.len() >= MOST_MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(Minute { index, summary });
        self.minutes.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 1_000;

    fn sent(at_ns: u64) -> Sent {
        Sent { intended_ns: at_ns, at_ns, failed: false }
    }

    fn answer(sequence: u32, at_ns: u64, arrived_ns: u64) -> Answer {
        let (received_ns, sent_ns) = (0, 0);
        Answer {
            flow: 0,
            sequence,
            probe_sent: at_ns,
            reflector: sequence,
            received_ns,
            sent_ns,
            arrived_ns,
        }
    }

    fn probe(track: &mut Track, at_ns: u64) -> Next {
        let next = track.next(at_ns, 0);
        track.sent(sent(at_ns));
        next
    }

    #[test]
    fn each_minute_is_a_session_that_counts_from_0() {
        let mut track = Track::new(MINUTE, 100, u16::MAX);
        assert_eq!(probe(&mut track, 0), Next { session: 1, sequence: 0 });
        assert_eq!(probe(&mut track, 500), Next { session: 1, sequence: 1 });
        assert_eq!(probe(&mut track, 1_050), Next { session: 2, sequence: 0 });
        // The answer to the last probe of a minute may come in the next.
        assert!(
            track.answered(1, answer(1, 500, 1_060)) && track.answered(2, answer(0, 1_050, 1_070))
        );
        assert!(!track.answered(3, answer(0, 0, 0)));
        assert!(track.over(1_099, false, |at| at).is_none());
        let first = track.over(1_100, false, |at| at).expect("over").clone();
        let losses = first.summary.losses;
        assert_eq!((first.index, losses.sent, losses.answered, losses.late), (0, 2, 0, 1));
        assert!(track.over(1_100, false, |at| at).is_none());
        let last = track.over(1_100, true, |at| at).expect("the run has ended");
        assert_eq!((last.index, last.summary.losses.answered), (1, 1));
        assert_eq!(track.minutes.len(), 2);
    }

    #[test]
    fn a_forged_answer_is_no_answer() {
        let mut track = Track::new(MINUTE, 100, 0);
        probe(&mut track, 5);
        assert!(track.answered(1, answer(0, 6, 7)) && track.answered(1, answer(9, 5, 7)));
        let minute = track.over(5_000, false, |at| at).expect("over");
        assert_eq!(minute.summary.losses.answered, 0);
        assert!(
            minute.summary.warnings[0].starts_with("2 packets came"),
            "{:?}",
            minute.summary.warnings
        );
    }

    #[test]
    fn only_so_many_minutes_are_kept_and_all_are_counted() {
        let mut track = Track::new(MINUTE, 100, 0);
        for minute in 0..MOST_MINUTES as u64 + 3 {
            probe(&mut track, minute * MINUTE);
            while track.over(minute * MINUTE, false, |at| at).is_some() {}
        }
        while track.over(0, true, |at| at).is_some() {}
        assert_eq!(track.minutes.len(), MOST_MINUTES);
        assert_eq!(track.total.map(|total| total.losses.sent), Some(MOST_MINUTES as u64 + 3));
        assert_eq!(track.minutes.front().map(|minute| minute.index), Some(3));
    }
}

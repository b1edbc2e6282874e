//! What became of requests.

use std::fmt;

/// Why a request has no answer that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Reset,
    /// The answer was not there in time.
    Timeout,
    /// The answer says that the request failed.
    Status,
    /// The answer is none of this protocol.
    Protocol,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Connect, Self::Reset, Self::Timeout, Self::Status, Self::Protocol];
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Protocol => "protocol",
        })
    }
}

/// Counts of requests: `scheduled = done + failed + unfinished` once a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whose intended send time was reached.
    pub scheduled: u64,
    /// Put on a connection, or tried.
    pub sent: u64,
    /// Of these, before the run's end.
    pub sent_in_time: u64,
    /// Answered well.
    pub done: u64,
    /// Of these, before the run's end.
    pub in_time: u64,
    /// By kind, in the order of [`Failure::ALL`].
    failed: [u64; Failure::ALL.len()],
    /// Neither when waiting ended.
    pub unfinished: u64,
    /// Connections made anew for a request.
    pub reconnects: u64,
}

impl Tally {
    /// Counts a failure.
    pub fn fail(&mut self, kind: Failure) {
        self.failed[kind as usize] += 1;
    }

    /// Failures of one kind.
    #[must_use]
    pub const fn failed(&self, kind: Failure) -> u64 {
        self.failed[kind as usize]
    }

    /// Failures of all kinds.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Requests that have come to an end.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.done + self.failures() + self.unfinished
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.sent_in_time += other.sent_in_time;
        self.done += other.done;
        self.in_time += other.in_time;
        self.unfinished += other.unfinished;
        self.reconnects += other.reconnects;
        self.failed.iter_mut().zip(other.failed).for_each(|(own, more)| *own += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_kept_apart_and_added_up() {
        let mut one = Tally { scheduled: 9, done: 2, unfinished: 1, ..Tally::default() };
        Failure::ALL.iter().for_each(|kind| one.fail(*kind));
        one.fail(Failure::Timeout);
        assert_eq!(Failure::ALL.map(|kind| one.failed(kind)), [1, 1, 2, 1, 1]);
        assert_eq!(one.ended(), one.scheduled);
        let mut sum = one;
        sum.add(&one);
        assert_eq!((sum.failures(), sum.failed(Failure::Timeout), sum.ended()), (12, 4, 18));
    }
}

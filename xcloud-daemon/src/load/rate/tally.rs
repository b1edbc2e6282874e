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
    /// The server refused to look at it.
    Refused,
    /// The server took nothing more on this connection.
    Goaway,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::Protocol,
        Self::Refused,
        Self::Goaway,
    ];
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Goaway => "goaway",
        })
    }
}

/// Statuses that gRPC defines, 0 among them.
pub const GRPC_STATUSES: usize = 17;

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
    /// Of the failures by status, those with one of gRPC's, by its number; those with another are in the last.
    grpc: [u64; GRPC_STATUSES + 1],
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

    /// Counts a failure with this status of gRPC.
    pub fn refuse(&mut self, status: u8) {
        self.fail(Failure::Status);
        self.grpc[usize::from(status).min(GRPC_STATUSES)] += 1;
    }

    /// Failures with a status of gRPC: the status, where it is one that gRPC defines, and how many.
    pub fn refusals(&self) -> impl Iterator<Item = (Option<usize>, u64)> + '_ {
        let counted = self.grpc.iter().copied().enumerate().filter(|(_, count)| *count > 0);
        counted.map(|(status, count)| (Some(status).filter(|one| *one < GRPC_STATUSES), count))
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
        self.grpc.iter_mut().zip(other.grpc).for_each(|(own, more)| *own += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_kept_apart_and_added_up() {
        let mut one = Tally { scheduled: 11, done: 2, unfinished: 1, ..Tally::default() };
        Failure::ALL.iter().for_each(|kind| one.fail(*kind));
        one.fail(Failure::Timeout);
        assert_eq!(Failure::ALL.map(|kind| one.failed(kind)), [1, 1, 2, 1, 1, 1, 1]);
        assert_eq!(one.ended(), one.scheduled);
        let mut sum = one;
        sum.add(&one);
        assert_eq!((sum.failures(), sum.failed(Failure::Timeout), sum.ended()), (16, 4, 22));
    }

    #[test]
    fn statuses_of_grpc_are_told_apart() {
        let mut one = Tally::default();
        [14, 14, 5, 17, 255].into_iter().for_each(|status| one.refuse(status));
        one.add(&one.clone());
        let told: Vec<_> = one.refusals().collect();
        assert_eq!(told, [(Some(5), 2), (Some(14), 4), (None, 4)]);
        assert_eq!((one.failed(Failure::Status), one.failures()), (10, 10));
    }
}

//! What one worker saw, second by second. Reads no clock: every call says what time it is.

use super::{
    schedule::SECOND_NS,
    tally::{Failure, Tally},
    timings::{Recorder, Timings},
};

/// A second of a run, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// What became of requests.
    pub tally: Tally,
    /// From the intended send time to the answer.
    pub response: Timings,
    /// From the real send time to the answer.
    pub service: Timings,
    /// From the intended send time to the real one, whoever's fault it is.
    pub lateness: Timings,
    /// From the intended send time to when the generator took notice: its own fault.
    pub generator: Timings,
}

impl Second {
    /// All of several.
    #[must_use]
    pub fn merged(all: &[&Self]) -> Self {
        let of = |part: fn(&Self) -> &Timings| Timings::merged(all.iter().map(|one| part(one)));
        let mut tally = Tally::default();
        all.iter().for_each(|one| tally.add(&one.tally));
        Self {
            tally,
            response: of(|one| &one.response),
            service: of(|one| &one.service),
            lateness: of(|one| &one.lateness),
            generator: of(|one| &one.generator),
        }
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When it was.
    pub sent_ns: u64,
}

/// Records seconds. Times are in nanoseconds from the start.
#[derive(Debug, Default)]
pub struct Seconds {
    duration_ns: u64,
    tally: Tally,
    response: Recorder,
    service: Recorder,
    lateness: Recorder,
    generator: Recorder,
    past: Vec<Second>,
}

impl Seconds {
    /// For a run of this length, with room for it, so that none is made on the way.
    #[must_use]
    pub fn new(duration_ns: u64) -> Self {
        let seconds = usize::try_from(duration_ns / SECOND_NS).unwrap_or(0).min(1 << 16);
        Self { duration_ns, past: Vec::with_capacity(seconds + 2), ..Self::default() }
    }

    /// The generator noticed that a request is due.
    pub fn noticed(&mut self, now_ns: u64, intended_ns: u64) {
        self.turn(now_ns);
        self.tally.scheduled += 1;
        self.generator.exact(now_ns.saturating_sub(intended_ns));
    }

    /// A request was put on a connection.
    pub fn sent(&mut self, request: Request) {
        self.turn(request.sent_ns);
        self.tally.sent += 1;
        self.tally.sent_in_time += u64::from(request.sent_ns < self.duration_ns);
        self.lateness.exact(request.sent_ns.saturating_sub(request.intended_ns));
    }

    /// A connection was made for a request.
    pub fn reconnected(&mut self) {
        self.tally.reconnects += 1;
    }

    /// A good answer is complete.
    pub fn done(&mut self, now_ns: u64, request: Request) {
        self.turn(now_ns);
        self.tally.done += 1;
        self.tally.in_time += u64::from(now_ns < self.duration_ns);
        self.response.exact(now_ns.saturating_sub(request.intended_ns));
        self.service.exact(now_ns.saturating_sub(request.sent_ns));
    }

    /// There will be no good answer. One that took too long would have taken at least this long.
    pub fn failed(&mut self, now_ns: u64, request: Request, kind: Failure) {
        self.turn(now_ns);
        self.tally.fail(kind);
        if kind == Failure::Timeout {
            self.censor(now_ns, request);
        }
    }

    /// It was answered with a status of gRPC that is a failure.
    pub fn refused(&mut self, now_ns: u64, status: u8) {
        self.turn(now_ns);
        self.tally.refuse(status);
    }

    /// Nobody waits for the answer any more.
    pub fn unfinished(&mut self, now_ns: u64, request: Request) {
        self.turn(now_ns);
        self.tally.unfinished += 1;
        self.censor(now_ns, request);
    }

    /// Time is up for a request that no connection was free for.
    pub fn unsent(&mut self, now_ns: u64, intended_ns: u64) {
        self.turn(now_ns);
        self.tally.unfinished += 1;
        let age_ns = now_ns.saturating_sub(intended_ns);
        self.response.at_least(age_ns);
        self.lateness.at_least(age_ns);
    }

    fn censor(&mut self, now_ns: u64, request: Request) {
        self.response.at_least(now_ns.saturating_sub(request.intended_ns));
        self.service.at_least(now_ns.saturating_sub(request.sent_ns));
    }

    /// Closes the seconds before `now_ns`.
    fn turn(&mut self, now_ns: u64) {
        while now_ns / SECOND_NS > self.past.len() as u64 {
            let second = self.take();
            self.past.push(second);
        }
    }

    fn take(&mut self) -> Second {
        Second {
            tally: std::mem::take(&mut self.tally),
            response: self.response.take(),
            service: self.service.take(),
            lateness: self.lateness.take(),
            generator: self.generator.take(),
        }
    }

    /// All seconds, the last one as far as it goes.
    #[must_use]
    pub fn finish(mut self) -> Vec<Second> {
        let last = self.take();
        self.past.push(last);
        self.past
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// Whatever becomes of requests: all are accounted for, and each in one second.
        #[test]
        fn nothing_is_lost(fates in vec((0u64..5 * SECOND_NS, 0u8..8), 0..200)) {
            let mut fates = fates;
            fates.sort_unstable();
            let mut seconds = Seconds::new(5 * SECOND_NS);
            for (now, fate) in &fates {
                let request = Request { intended_ns: now / 2, sent_ns: now / 2 + 1 };
                seconds.noticed(*now, request.intended_ns);
                match fate {
                    0 => seconds.done(*now, request),
                    1 => seconds.unfinished(*now, request),
                    2 => seconds.unsent(*now, request.intended_ns),
                    kind => seconds.failed(*now, request, Failure::ALL[usize::from(*kind) - 3]),
                }
            }
            let all = seconds.finish();
            let whole = Second::merged(&all.iter().collect::<Vec<_>>());
            prop_assert_eq!(whole.tally.scheduled, fates.len() as u64);
            prop_assert_eq!(whole.tally.ended(), whole.tally.scheduled);
            let timed_out = whole.tally.failed(Failure::Timeout);
            prop_assert_eq!(whole.response.censored, whole.tally.unfinished + timed_out);
            prop_assert_eq!(
                whole.response.values.count(),
                whole.tally.done + whole.tally.unfinished + timed_out
            );
        }
    }

    #[test]
    fn a_second_without_anything_is_empty_not_missing() {
        let mut seconds = Seconds::new(0);
        let request = |at| Request { intended_ns: at, sent_ns: at };
        seconds.done(10, request(0));
        seconds.done(2 * SECOND_NS + 10, request(2 * SECOND_NS));
        let done: Vec<_> = seconds.finish().iter().map(|second| second.tally.done).collect();
        assert_eq!(done, [1, 0, 1]);
    }
}

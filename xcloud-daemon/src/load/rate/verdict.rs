//! What is doubtful about a run.

use super::{
    Measured, Offer,
    schedule::SECOND_NS,
    tally::{Failure, Tally},
};
use crate::report::style::{grouped, percent, time};

/// The 99th percentile of lateness may be this share of the median response.
pub const LATE_SHARE: f64 = 0.1;
/// This share of the offered rate has to be reached.
pub const RATE_SHARE: f64 = 0.99;

/// Rates of a run, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// What was scheduled.
    pub offered: f64,
    /// What was put on a connection, up to the end.
    pub sent: f64,
    /// What was answered well, up to the end.
    pub achieved: f64,
}

impl Rates {
    /// The rates of a run.
    #[must_use]
    pub fn of(run: &Measured) -> Self {
        let seconds = run.duration_ns.max(1) as f64 / SECOND_NS as f64;
        let per_second = |count: u64| count as f64 / seconds;
        let Tally { scheduled, sent_in_time, in_time, .. } = run.total.tally;
        Self {
            offered: per_second(scheduled),
            sent: per_second(sent_in_time),
            achieved: per_second(in_time),
        }
    }

    /// Whether requests could be sent as they were meant to be.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.sent >= RATE_SHARE * self.offered
    }
}

/// What a reader has to know before believing the figures.
#[must_use]
pub fn warnings(run: &Measured, offer: Option<Offer>) -> Vec<String> {
    let mut all = Vec::new();
    if run.used_up {
        all.push(format!(
            "ended after {}: it had sent as many requests as --max-requests allows",
            time(run.duration_ns)
        ));
    }
    if run.stopped {
        all.push(format!("stopped after {}", time(run.duration_ns)));
    }
    if run.unopened > 0 {
        all.push(format!("{} connections could not be opened before the start", run.unopened));
    }
    if offer.is_some() {
        all.extend(late(run));
    }
    all.extend(ends(&run.total.tally));
    all.extend(run.split.iter().flat_map(|seen| seen.warnings(run.total.tally.done)));
    all
}

fn late(run: &Measured) -> Vec<String> {
    let mut all = Vec::new();
    if run.total.response.values.count() == 0 {
        return all;
    }
    let median = run.total.response.quantile(0.5).ns;
    let generator = run.total.generator.quantile(0.99).ns;
    let lateness = run.total.lateness.quantile(0.99);
    let allowed = LATE_SHARE * median as f64;
    let share = percent(LATE_SHARE);
    if generator as f64 > allowed {
        all.push(format!(
            "the generator itself was late: {} at p99, more than {share} of the median response ({}); give it a core \
             of its own, or more threads",
            time(generator),
            time(median),
        ));
    }
    if lateness.ns.saturating_sub(generator) as f64 > allowed {
        all.push(format!(
            "requests waited for a free connection, {} at p99, more than {share} of the median response; the server is \
             slower than the rate, or it takes more connections",
            time(lateness.ns),
        ));
    }
    let rates = Rates::of(run);
    if !rates.reached() {
        all.push(format!(
            "only {} of the offered rate was sent: {:.1} of {:.1} requests/s",
            percent(rates.sent / rates.offered),
            rates.sent,
            rates.offered
        ));
    }
    all
}

fn ends(tally: &Tally) -> Vec<String> {
    let mut all = Vec::new();
    let untimed = tally.failures() - tally.failed(Failure::Timeout);
    if untimed > 0 {
        all.push(format!(
            "{} requests failed ({}) and are in no distribution of response times",
            grouped(untimed),
            percent(untimed as f64 / tally.scheduled.max(1) as f64)
        ));
    }
    let open = tally.unfinished + tally.failed(Failure::Timeout);
    if open > 0 {
        all.push(format!(
            "{} requests had no answer when waiting ended; they count with the time they had waited, as \"at least\"",
            grouped(open)
        ));
    }
    if tally.reconnects > 0 {
        all.push(format!(
            "{} requests found their connection closed; their handshake is part of the response time",
            grouped(tally.reconnects)
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::rate::{
        schedule::Arrival,
        seconds::{Request, Seconds},
    };

    const OFFER: Option<Offer> = Some(Offer { rate: 100, arrival: Arrival::Constant });

    /// A second at 100 requests/s, each noticed and sent so much later and answered 1 ms after that.
    fn run(noticed_after: u64, sent_after: u64) -> Measured {
        let mut seconds = Seconds::new(SECOND_NS);
        for intended_ns in (0..100).map(|index| index * SECOND_NS / 100) {
            let request = Request { intended_ns, sent_ns: intended_ns + sent_after };
            seconds.noticed(intended_ns + noticed_after, intended_ns);
            seconds.sent(request);
            seconds.done(request.sent_ns + 1_000_000, request);
        }
        Measured::of(SECOND_NS, seconds.finish())
    }

    #[test]
    fn a_good_run_has_no_warning() {
        assert_eq!(warnings(&run(1_000, 2_000), OFFER), [""; 0]);
    }

    #[test]
    fn whose_lateness_it_is_is_told_apart() {
        let own = warnings(&run(500_000, 500_000), OFFER);
        assert!(own[0].contains("the generator itself was late: 500 us"), "{own:?}");
        let full = warnings(&run(1_000, 500_000), OFFER);
        assert!(full[0].contains("waited for a free connection, 500 us"), "{full:?}");
        assert_eq!(warnings(&run(500_000, 500_000), None), [""; 0]);
    }

    #[test]
    fn a_rate_that_is_not_reached_is_told() {
        let late = warnings(&run(500_000_000, 500_000_000), OFFER);
        assert!(
            late.iter().any(|line| line.contains("only 50.0 % of the offered rate")),
            "{late:?}"
        );
    }

    #[test]
    fn failures_and_unfinished_requests_are_told() {
        let mut run = run(1_000, 1_000);
        run.total.tally.fail(Failure::Reset);
        run.total.tally.fail(Failure::Timeout);
        run.total.tally.unfinished += 2;
        let told = warnings(&run, OFFER);
        assert!(told[0].starts_with("1 requests failed (1.0 %)"), "{told:?}");
        assert!(told[1].starts_with("3 requests had no answer"), "{told:?}");
    }
}

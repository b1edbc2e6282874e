//! From numbers that only grow to what happened in each interval and in the whole test.

use std::time::Duration;

use super::{counters::Count, cpu::CpuTime, tcp_info::TcpInfo};

/// A stream's numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// What its thread counted.
    pub count: Count,
    /// What the kernel knows of the connection, where this end sends over TCP.
    pub tcp: Option<TcpInfo>,
}

/// What one stream did in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Whether this end sends.
    pub sends: bool,
    /// Sent or received.
    pub bytes: u64,
    /// Datagrams sent or expected.
    pub datagrams: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams out of order.
    pub out_of_order: u64,
    /// At the end of the span, in seconds.
    pub jitter: f64,
    /// Segments sent again.
    pub retransmits: Option<u64>,
    /// At the end of the span.
    pub tcp: Option<TcpInfo>,
}

/// A span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// From the beginning, or from the warm-up's end.
    pub start: Duration,
    /// Likewise.
    pub end: Duration,
    /// Whether it is part of the warm-up.
    pub omitted: bool,
    /// Stream by stream.
    pub parts: Vec<Part>,
    /// Processor time of all threads of the test.
    pub cpu: CpuTime,
}

impl Span {
    /// How long.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// All readings of a test at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Since data began to flow.
    pub at: Duration,
    /// Stream by stream.
    pub readings: Vec<Reading>,
    /// Of the thread that controls the test.
    pub control_cpu: CpuTime,
}

impl Moment {
    fn cpu(&self) -> CpuTime {
        self.control_cpu + self.readings.iter().map(|reading| reading.count.cpu).sum()
    }
}

/// A test's account.
#[derive(Clone, Debug)]
pub struct Ledger {
    sends: Vec<bool>,
    warming: bool,
    origin: Moment,
    last: Moment,
    spans: Vec<Span>,
}

impl Ledger {
    /// Begins at `origin`, with a warm-up or without.
    #[must_use]
    pub fn new(sends: Vec<bool>, origin: Moment, warming: bool) -> Self {
        Self { sends, warming, last: origin.clone(), origin, spans: Vec::new() }
    }

    /// Whether the warm-up is still on.
    #[must_use]
    pub fn is_warming(&self) -> bool {
        self.warming
    }

    /// Ends the warm-up: what was counted before `now` is left out.
    pub fn begin(&mut self, now: Moment) {
        self.warming = false;
        self.origin = now.clone();
        self.last = now;
    }

    /// Ends an interval.
    pub fn cut(&mut self, now: Moment) -> Span {
        let mut span = self.between(&self.last, &now);
        span.omitted = self.warming;
        self.last = now;
        self.spans.push(span.clone());
        span
    }

    /// The intervals, those of the warm-up marked.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// From the warm-up's end to the last interval's.
    #[must_use]
    pub fn whole(&self) -> Span {
        self.between(&self.origin, &self.last)
    }

    /// Bytes sent and received between the warm-up's end and `now`.
    #[must_use]
    pub fn moved(&self, now: &Moment) -> (u64, u64) {
        let span = self.between(&self.origin, now);
        let sum = |sends| span.parts.iter().filter(|p| p.sends == sends).map(|p| p.bytes).sum();
        (sum(true), sum(false))
    }

    fn between(&self, from: &Moment, to: &Moment) -> Span {
        let both = from.readings.iter().zip(&to.readings).zip(&self.sends);
        Span {
            start: from.at.saturating_sub(self.origin.at),
            end: to.at.saturating_sub(self.origin.at),
            omitted: false,
            parts: both.map(|((from, to), sends)| part(*sends, from, to)).collect(),
            cpu: to.cpu() - from.cpu(),
        }
    }
}

fn part(sends: bool, from: &Reading, to: &Reading) -> Part {
    let (was, is) = (from.count, to.count);
    let retransmits = |reading: &Reading| Some(u64::from(reading.tcp?.retransmits));
    Part {
        sends,
        bytes: is.bytes.saturating_sub(was.bytes),
        datagrams: is.datagrams.saturating_sub(was.datagrams),
        // A datagram that comes late takes a loss back, perhaps one of an earlier interval.
        lost: is.lost.saturating_sub(was.lost),
        out_of_order: is.out_of_order.saturating_sub(was.out_of_order),
        jitter: is.jitter,
        retransmits: retransmits(to).map(|now| now.saturating_sub(retransmits(from).unwrap_or(0))),
        tcp: to.tcp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, bytes: u64, retransmits: u32) -> Moment {
        let count = Count { bytes, ..Count::default() };
        let tcp = Some(TcpInfo { retransmits, ..TcpInfo::default() });
        Moment {
            at: Duration::from_secs(seconds),
            readings: vec![Reading { count, tcp }],
            control_cpu: CpuTime::default(),
        }
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        let mut ledger = Ledger::new(vec![true], at(0, 0, 0), false);
        ledger.cut(at(1, 100, 1));
        ledger.cut(at(2, 250, 4));
        let bytes: Vec<_> = ledger.spans().iter().map(|span| span.parts[0].bytes).collect();
        assert_eq!(bytes, [100, 150]);
        let whole = ledger.whole();
        assert_eq!((whole.parts[0].bytes, whole.parts[0].retransmits), (250, Some(4)));
        assert_eq!(whole.time(), Duration::from_secs(2));
    }

    #[test]
    fn the_warm_up_is_shown_and_not_counted() {
        let mut ledger = Ledger::new(vec![true], at(0, 0, 0), true);
        assert!(ledger.cut(at(1, 100, 5)).omitted);
        ledger.begin(at(1, 100, 5));
        let span = ledger.cut(at(3, 400, 6));
        assert_eq!((span.start, span.end), (Duration::ZERO, Duration::from_secs(2)));
        assert_eq!(ledger.whole().parts[0].bytes, 300);
        assert_eq!(ledger.moved(&at(4, 450, 6)), (350, 0));
    }
}

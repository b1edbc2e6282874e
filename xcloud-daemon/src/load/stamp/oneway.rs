//! One-way delays between two clocks that nobody synchronised.
//!
//! The clocks' difference is estimated from the fastest packets: in each window, a straight line below all differences
//! of one direction, and one for the other. Half of their difference is the clocks' difference, if the fastest packets
//! take equally long both ways. Whether they do cannot be seen from the two ends, so the error is half of what both
//! together take, and what remains of the lines' slopes once the drift of the clocks is taken out.

use super::probes::Exchange;

/// Length of a window: short beside what changes a crystal's rate, long beside queues.
const WINDOW_NS: u64 = 30_000_000_000;

/// The clocks of the two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clocks {
    /// The reflector's clock less ours in the middle of the window.
    pub offset_ns: f64,
    /// How much faster it runs.
    pub ppm: f64,
    /// What one-way delays may be wrong by.
    pub error_ns: f64,
    middle_ns: f64,
}

/// One-way delays of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneWay {
    /// To the reflector, in nanoseconds.
    pub forward: Vec<u64>,
    /// Back.
    pub backward: Vec<u64>,
    /// The clocks, window by window.
    pub clocks: Vec<Clocks>,
}

impl OneWay {
    /// From exchanges in the order of sending.
    #[must_use]
    pub fn of(exchanges: &[Exchange]) -> Self {
        let mut all = Self::default();
        let mut rest = exchanges;
        while let Some(first) = rest.first() {
            let within = |exchange: &Exchange| exchange.at_ns - first.at_ns < WINDOW_NS;
            let ends_soon =
                rest.last().is_some_and(|last| last.at_ns - first.at_ns < 2 * WINDOW_NS);
            // What is left of a window is not worth one of its own.
            let end = if ends_soon { rest.len() } else { rest.partition_point(within) };
            let (window, later) = rest.split_at(end);
            all.add(window);
            rest = later;
        }
        all
    }

    /// The largest error of a window.
    #[must_use]
    pub fn error_ns(&self) -> f64 {
        self.clocks.iter().map(|clocks| clocks.error_ns).fold(0.0, f64::max)
    }

    fn add(&mut self, window: &[Exchange]) {
        let Some(clocks) = Clocks::of(window) else { return };
        for exchange in window {
            let at = exchange.at_ns as f64;
            let offset = clocks.offset_ns + clocks.ppm / 1e6 * (at - clocks.middle_ns);
            self.forward.push(whole(forward(exchange) - offset));
            self.backward.push(whole(backward(exchange) + offset));
        }
        self.clocks.push(clocks);
    }
}

fn forward(exchange: &Exchange) -> f64 {
    exchange.answer.received_ns as f64 - exchange.at_ns as f64
}

fn backward(exchange: &Exchange) -> f64 {
    exchange.answer.arrived_ns as f64 - exchange.answer.sent_ns as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
const fn whole(ns: f64) -> u64 {
    ns as u64
}

impl Clocks {
    /// From the exchanges of a window; none without any.
    fn of(window: &[Exchange]) -> Option<Self> {
        let (first, last) = (window.first()?.at_ns as f64, window.last()?.at_ns as f64);
        let middle_ns = f64::midpoint(first, last);
        let line = |difference: fn(&Exchange) -> f64| {
            let points = window.iter().map(|e| (e.at_ns as f64 - middle_ns, difference(e)));
            line_below(points, 0.0)
        };
        let (out, back) = (line(forward)?, line(backward)?);
        let drift = (out.slope - back.slope) / 2.0;
        // Clocks tilt the two lines against each other; what tilts them together is no clock.
        let residual = f64::midpoint(out.slope, back.slope).abs() * (last - first) / 2.0;
        // While a packet is on its way the clocks drift on.
        let underway = window.iter().map(|e| forward(e) + backward(e)).fold(0.0, f64::max);
        Some(Self {
            offset_ns: (out.height - back.height) / 2.0,
            ppm: drift * 1e6,
            error_ns: f64::midpoint(out.height, back.height).max(0.0)
                + residual
                + drift.abs() * underway,
            middle_ns,
        })
    }
}

/// A straight line, by its height at 0.
#[derive(Clone, Copy, Debug)]
struct Line {
    height: f64,
    slope: f64,
}

/// The line below all points that is highest at `at`: an edge of their convex hull. Points ascend.
fn line_below(points: impl Iterator<Item = (f64, f64)>, at: f64) -> Option<Line> {
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in points {
        while let [.., a, b] = hull[..]
            && (b.0 - a.0) * (point.1 - a.1) <= (point.0 - a.0) * (b.1 - a.1)
        {
            hull.pop();
        }
        hull.push(point);
    }
    let edge = hull.windows(2).find(|edge| edge[1].0 >= at);
    match (edge, &hull[..]) {
        (Some([a, b]), _) if b.0 > a.0 => {
            let slope = (b.1 - a.1) / (b.0 - a.0);
            Some(Line { height: a.1 + slope * (at - a.0), slope })
        }
        (_, all) => {
            let lowest = all.iter().map(|point| point.1).min_by(f64::total_cmp)?;
            Some(Line { height: lowest, slope: 0.0 })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::load::stamp::probes::Answer;

    const MS: u64 = 1_000_000;

    /// Probes every 10 ms whose delays and clocks are given.
    fn exchanges(delays: &[(u64, u64)], offset_ns: i64, ppm: f64) -> Vec<Exchange> {
        let remote = |ns: u64| {
            let drift = ns as f64 * ppm / 1e6;
            #[expect(clippy::cast_possible_truncation, reason = "small")]
            let drift = drift as i64;
            ns.cast_signed() + drift + offset_ns
        };
        (0..)
            .zip(delays)
            .map(|(index, (forward, backward))| {
                let at_ns = index * 10 * MS;
                let (received, sent) = (at_ns + forward, at_ns + forward + 20_000);
                Exchange {
                    at_ns,
                    answer: Answer {
                        flow: 0,
                        sequence: 0,
                        probe_sent: 0,
                        reflector: 0,
                        received_ns: remote(received),
                        sent_ns: remote(sent),
                        arrived_ns: sent + backward,
                    },
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn delays_are_right_within_the_stated_error_whatever_the_clocks(
            jitter in vec((0..20 * MS, 0..20 * MS), 100..400),
            (out, back) in (0..40 * MS, 0..40 * MS),
            offset in -1_000_000_000_000i64..1_000_000_000_000,
            ppm in -200.0..200.0f64,
        ) {
            let delays: Vec<_> = jitter.iter().map(|(a, b)| (out + a, back + b)).collect();
            let found = OneWay::of(&exchanges(&delays, offset, ppm));
            let error = found.error_ns() + 1_000.0;
            for (index, (forward, backward)) in delays.iter().enumerate() {
                for (said, real) in [(found.forward[index], forward), (found.backward[index], backward)] {
                    prop_assert!((said as f64 - *real as f64).abs() <= error, "{} for {}, error {}", said, real, error);
                }
            }
        }
    }

    #[test]
    fn a_drift_is_told_from_a_delay_that_grows() {
        let delays: Vec<_> =
            (0..3_000).map(|step| (5 * MS + step % 7 * MS, 5 * MS + step % 5 * MS)).collect();
        let found = OneWay::of(&exchanges(&delays, 77 * MS.cast_signed(), 50.0));
        assert_eq!(found.clocks.len(), 1);
        let clocks = found.clocks[0];
        assert!((clocks.ppm - 50.0).abs() < 0.1, "{clocks:?}");
        let wanted = 77e6 + 50e-6 * 15e9;
        assert!((clocks.offset_ns - wanted).abs() < 10_000.0, "{clocks:?}");
        assert!((clocks.error_ns - 5e6).abs() < 10_000.0, "{clocks:?}");
    }

    #[test]
    fn a_path_that_is_longer_one_way_is_within_the_error_but_not_seen() {
        let found = OneWay::of(&exchanges(&[(9 * MS, MS); 500], 0, 0.0));
        assert!(found.forward.iter().all(|ns| ns.abs_diff(5 * MS) < 1_000));
        assert!((found.error_ns() - 5e6).abs() < 1_000.0);
    }

    #[test]
    fn a_longer_run_has_windows_of_its_own_clocks() {
        let found = OneWay::of(&exchanges(&[(MS, MS); 10_000], 0, 0.0));
        assert_eq!((found.clocks.len(), found.forward.len()), (3, 10_000));
        assert_eq!(OneWay::of(&[]), OneWay::default());
        assert_eq!(OneWay::of(&exchanges(&[(MS, MS)], 0, 0.0)).forward, [MS]);
    }
}

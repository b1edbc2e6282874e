//! When a worker may send: at intended times, or as soon as the answer before is there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::schedule::Schedule;

/// What decides when requests are sent.
#[derive(Clone, Debug)]
pub enum Pacing {
    /// Open loop: at intended times, whatever the server does.
    Open {
        /// Requests not yet noticed.
        due: Schedule,
        /// Requests not yet sent; those up to `due` wait for a connection.
        next: Schedule,
        /// How many those are.
        waiting: u64,
    },
    /// Closed loop: each connection sends when it has its answer.
    Closed {
        /// Until then.
        end_ns: u64,
        /// How many requests all workers may still send, if that is limited.
        left: Option<Arc<AtomicU64>>,
    },
}

impl Pacing {
    /// A schedule with nothing sent.
    #[must_use]
    pub fn open(schedule: Schedule) -> Self {
        Self::Open { due: schedule.clone(), next: schedule, waiting: 0 }
    }

    /// The intended time of a request that is due now and was not told before.
    pub fn notice(&mut self, now_ns: u64) -> Option<u64> {
        let Self::Open { due, waiting, .. } = self else {
            return None;
        };
        due.peek().filter(|intended| *intended <= now_ns)?;
        *waiting += 1;
        due.next()
    }

    /// The intended time of the next request to send, if there is one.
    pub fn send(&mut self, now_ns: u64) -> Option<u64> {
        match self {
            Self::Open { next, waiting, .. } => {
                *waiting = waiting.checked_sub(1)?;
                next.next()
            }
            Self::Closed { end_ns, left } => {
                (now_ns < *end_ns && left.as_deref().is_none_or(take)).then_some(now_ns)
            }
        }
    }

    /// When the next request will be due; `None` if there is none or it does not depend on time.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        match self {
            Self::Open { due, .. } => due.peek(),
            Self::Closed { .. } => None,
        }
    }

    /// Whether no request is left to send.
    #[must_use]
    pub fn is_over(&self, now_ns: u64) -> bool {
        match self {
            Self::Open { due, waiting, .. } => *waiting == 0 && due.peek().is_none(),
            Self::Closed { end_ns, left } => now_ns >= *end_ns || is_used_up(left.as_deref()),
        }
    }

    /// Schedules nothing from now on.
    pub fn stop(&mut self, now_ns: u64) {
        match self {
            Self::Open { due, next, .. } => {
                due.cut(now_ns);
                next.cut(now_ns);
            }
            Self::Closed { end_ns, .. } => *end_ns = now_ns.min(*end_ns),
        }
    }
}

/// Takes one of what is left.
fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// Whether a limited number has run out.
#[must_use]
pub fn is_used_up(left: Option<&AtomicU64>) -> bool {
    left.is_some_and(|left| left.load(Relaxed) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::rate::schedule::{Arrival, Offer};

    fn four_a_second() -> Pacing {
        let offer = Offer { rate: 4, arrival: Arrival::Constant };
        Pacing::open(Schedule::new(offer, 0, 1, 1_000_000_000))
    }

    #[test]
    fn what_waits_is_sent_with_its_intended_time() {
        let mut pacing = four_a_second();
        assert_eq!(pacing.send(0), None);
        let late = 600_000_000;
        let noticed: Vec<_> = std::iter::from_fn(|| pacing.notice(late)).collect();
        assert_eq!(noticed, [0, 250_000_000, 500_000_000]);
        let sent: Vec<_> = std::iter::from_fn(|| pacing.send(late)).collect();
        assert_eq!(sent, noticed);
        assert_eq!(pacing.next_due(), Some(750_000_000));
        assert!(!pacing.is_over(late));
    }

    #[test]
    fn a_stop_leaves_what_was_noticed() {
        let mut pacing = four_a_second();
        assert_eq!(pacing.notice(0), Some(0));
        pacing.stop(100_000_000);
        assert_eq!((pacing.notice(900_000_000), pacing.next_due()), (None, None));
        assert!(!pacing.is_over(900_000_000));
        assert_eq!(pacing.send(900_000_000), Some(0));
        assert!(pacing.is_over(900_000_000));
    }

    #[test]
    fn a_closed_loop_sends_until_its_end() {
        let mut pacing = Pacing::Closed { end_ns: 10, left: None };
        assert_eq!((pacing.send(9), pacing.send(10)), (Some(9), None));
        assert!(pacing.is_over(10) && !pacing.is_over(9));
    }

    #[test]
    fn workers_of_a_closed_loop_share_what_is_left() {
        let left = Some(Arc::new(AtomicU64::new(3)));
        let mut one = Pacing::Closed { end_ns: 10, left: left.clone() };
        let mut other = Pacing::Closed { end_ns: 10, left };
        assert_eq!((one.send(1), other.send(1), one.send(2)), (Some(1), Some(1), Some(2)));
        assert_eq!((one.send(3), other.send(3)), (None, None));
        assert!(one.is_over(3) && other.is_over(3));
    }
}

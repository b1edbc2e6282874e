//! When requests are meant to be sent.

/// A second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// How intended send times follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Evenly.
    Constant,
    /// As independent clients would send: exponential gaps, from this seed.
    Poisson {
        /// The same seed gives the same times.
        seed: u64,
    },
}

/// Requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Requests per second of all workers together, above 0.
    pub rate: u64,
    /// How they are spaced.
    pub arrival: Arrival,
}

/// The intended send times of one worker, ascending, in nanoseconds from the start. A copy yields the same times, so a
/// queue of requests that wait is two positions in one schedule and takes no memory.
#[derive(Clone, Debug)]
pub struct Schedule {
    offer: Offer,
    workers: u64,
    end_ns: u64,
    /// Of all workers' requests, the number of this one's next.
    index: u64,
    next_ns: u64,
    random: Random,
}

impl Schedule {
    /// The share of `worker` among `workers`: every so-manieth request. The times lie before `end_ns`.
    #[must_use]
    pub fn new(offer: Offer, worker: u64, workers: u64, end_ns: u64) -> Self {
        let seed = match offer.arrival {
            Arrival::Constant => 0,
            Arrival::Poisson { seed } => seed.wrapping_add(worker),
        };
        let random = Random(seed);
        let mut schedule = Self { offer, workers, end_ns, index: worker, next_ns: 0, random };
        schedule.next_ns = match offer.arrival {
            Arrival::Constant => schedule.constant(),
            Arrival::Poisson { .. } => schedule.gap(),
        };
        schedule
    }

    /// The next intended time, without passing it.
    #[must_use]
    pub fn peek(&self) -> Option<u64> {
        (self.next_ns < self.end_ns).then_some(self.next_ns)
    }

    /// Leaves out everything from `end_ns` on.
    pub fn cut(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
    }

    /// `index / rate` seconds in integers: no error builds up.
    fn constant(&self) -> u64 {
        let ns = u128::from(self.index) * u128::from(SECOND_NS) / u128::from(self.offer.rate);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^63: a gap has at most 37 means, and a mean is a second times the workers at most"
    )]
    fn gap(&mut self) -> u64 {
        let mean_ns = SECOND_NS as f64 * self.workers as f64 / self.offer.rate as f64;
        (-self.random.unit().ln() * mean_ns).round() as u64
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let now = self.peek()?;
        self.index = self.index.saturating_add(self.workers);
        self.next_ns = match self.offer.arrival {
            Arrival::Constant => self.constant(),
            Arrival::Poisson { .. } => now.saturating_add(self.gap()),
        };
        Some(now)
    }
}

/// SplitMix64: small, and good enough to space requests.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn constant(rate: u64) -> Offer {
        Offer { rate, arrival: Arrival::Constant }
    }

    proptest! {
        #[test]
        fn workers_share_every_request_once_at_its_time(rate in 1u64..5_000, workers in 1u64..5, millis in 0u64..3_000) {
            let end_ns = millis * 1_000_000;
            let mut all: Vec<_> =
                (0..workers).flat_map(|one| Schedule::new(constant(rate), one, workers, end_ns)).collect();
            all.sort_unstable();
            let wanted: Vec<_> =
                (0..).map(|i| i * SECOND_NS / rate).take_while(|ns| *ns < end_ns).collect();
            prop_assert_eq!(all, wanted);
        }

        #[test]
        fn a_poisson_schedule_ascends_and_is_the_same_again(seed: u64, rate in 1u64..100_000) {
            let offer = Offer { rate, arrival: Arrival::Poisson { seed } };
            let times: Vec<_> = Schedule::new(offer, 0, 2, u64::MAX).take(100).collect();
            prop_assert!(times.is_sorted());
            let again: Vec<_> = Schedule::new(offer, 0, 2, u64::MAX).take(100).collect();
            prop_assert_eq!(times, again);
        }
    }

    #[test]
    fn a_day_does_not_drift() {
        let day = 86_400 * SECOND_NS;
        let mut schedule = Schedule::new(constant(3), 0, 1, day + SECOND_NS);
        assert_eq!(schedule.nth(3 * 86_400), Some(day));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_spread_of_exponential_ones() {
        let offer = Offer { rate: 1_000, arrival: Arrival::Poisson { seed: 1 } };
        let times: Vec<_> = Schedule::new(offer, 0, 1, u64::MAX).take(100_000).collect();
        let gaps: Vec<f64> = times.windows(2).map(|two| (two[1] - two[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        let over = gaps.iter().filter(|gap| **gap > 3e6).count() as f64 / gaps.len() as f64;
        assert!((over - (-3f64).exp()).abs() < 0.003, "{over}");
    }

    #[test]
    fn what_is_cut_off_is_not_scheduled() {
        let mut schedule = Schedule::new(constant(10), 0, 1, SECOND_NS);
        schedule.cut(SECOND_NS / 2);
        assert_eq!(schedule.count(), 5);
    }
}

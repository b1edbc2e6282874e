//! How much is sampled: keeps the observations per second under the rate asked for, and exchanges from taking each
//! other's slots while an answer may still come.

use std::time::Duration;

use xcloud_common::{
    identity::MAX_SHIFT,
    slot::{SLOTS, UNANSWERED_NS},
};

/// How long observations are counted before the share is lowered or raised.
const WINDOW: Duration = Duration::from_secs(1);
/// The shortest count that may raise the shift: a burst over the whole second's rate need not wait for its end.
const SHORTEST: Duration = Duration::from_millis(100);
/// Exchanges opened per second at which a slot lasts for as long as an answer may take. Bulk traffic opens many more
/// than are ever answered exactly, so observations alone do not tell.
const MOST_OPENED: u64 = SLOTS as u64 * 1_000_000_000 / UNANSWERED_NS;
/// Most steps towards more samples at once: traffic that comes back must not flood.
const STEPS_DOWN: u32 = 2;

/// The shift that fits `observed` observations per second, seen with shift `current`, under `target`. It rises at
/// once to what fits, and falls only when the result stays at half the target or less.
#[must_use]
pub fn next_shift(current: u32, observed: u64, target: u64) -> u32 {
    let mut shift = current.min(MAX_SHIFT);
    let mut rate = observed;
    while rate > target && shift < MAX_SHIFT {
        rate = rate.div_ceil(2);
        shift += 1;
    }
    let lowest = current.saturating_sub(STEPS_DOWN);
    while shift > lowest && rate < target / 4 {
        rate = rate.saturating_mul(2);
        shift -= 1;
    }
    shift
}

/// Counts observations and says when the shift changes.
#[derive(Debug)]
pub struct Controller {
    target: u64,
    shift: u32,
    started: Duration,
    counted: u64,
    opened: u64,
}

impl Controller {
    /// Starts at shift 0 for `target` observations per second, at a moment of some steady clock.
    #[must_use]
    pub fn new(target: u64, now: Duration) -> Self {
        Self { target, shift: 0, started: now, counted: 0, opened: 0 }
    }

    /// Keeps to another target from the next count on.
    pub const fn set_target(&mut self, target: u64) {
        self.target = target;
    }

    /// Takes in `observations` seen and exchanges `opened` since the last call; returns the new shift when it changes.
    pub fn observe(&mut self, observations: u64, opened: u64, now: Duration) -> Option<u32> {
        self.counted += observations;
        self.opened += opened;
        let load = self.counted.max(self.opened.saturating_mul(self.target) / MOST_OPENED);
        let elapsed = now.saturating_sub(self.started);
        let burst = load > self.target && elapsed >= SHORTEST;
        if elapsed < WINDOW && !burst {
            return None;
        }
        let per_second = u128::from(load) * 1_000_000_000 / elapsed.as_nanos().max(1);
        let next =
            next_shift(self.shift, u64::try_from(per_second).unwrap_or(u64::MAX), self.target);
        (self.started, self.counted, self.opened) = (now, 0, 0);
        (next != std::mem::replace(&mut self.shift, next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steady_traffic_settles_under_the_target(all in 0u64..1 << 40, target in 1_000u64..1_000_000) {
            let mut shift = 0;
            for _ in 0..20 {
                shift = next_shift(shift, all >> shift, target);
            }
            prop_assert_eq!(next_shift(shift, all >> shift, target), shift, "settled");
            prop_assert!(all >> shift <= target || shift == MAX_SHIFT);
            prop_assert!(shift == 0 || (all >> shift) >= target / 4);
        }

        #[test]
        fn shift_stays_in_its_range(current: u32, observed: u64, target in 1u64..=1_000_000) {
            prop_assert!(next_shift(current, observed, target) <= MAX_SHIFT);
        }
    }

    #[test]
    fn rises_at_once_and_falls_by_steps() {
        assert_eq!(next_shift(0, 80_000, 10_000), 3);
        assert_eq!(next_shift(8, 0, 10_000), 6);
        assert_eq!(next_shift(3, 5_000, 10_000), 3, "hysteresis");
        assert_eq!(next_shift(3, 2_499, 10_000), 2);
    }

    #[test]
    fn a_burst_does_not_wait_for_the_second_to_end() {
        let ms = Duration::from_millis;
        let mut controller = Controller::new(10_000, ms(0));
        assert_eq!(controller.observe(20_000, 0, ms(50)), None);
        assert_eq!(controller.observe(20_000, 0, ms(100)), Some(6));
        assert_eq!(controller.observe(900, 0, ms(900)), None);
        assert_eq!(controller.observe(600, 0, ms(1_100)), Some(5));
        assert_eq!(controller.observe(0, 0, ms(1_500)), None);
    }

    #[test]
    fn another_target_holds_from_the_next_count_on() {
        let mut controller = Controller::new(1_000_000, Duration::ZERO);
        assert_eq!(controller.observe(1_600, 0, Duration::from_secs(1)), None);
        controller.set_target(100);
        assert_eq!(controller.observe(1_600, 0, Duration::from_secs(2)), Some(4));
    }

    #[test]
    fn exchanges_that_nobody_answers_count_too() {
        let mut controller = Controller::new(10_000, Duration::ZERO);
        assert_eq!(controller.observe(10, 4 * MOST_OPENED, Duration::from_secs(1)), Some(2));
    }
}

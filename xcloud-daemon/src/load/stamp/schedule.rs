//! When probes are meant to be sent.

/// Endless times from 0 on.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval_ns: u64,
    /// The state of the random numbers; none for even spacing.
    random: Option<u64>,
    next_ns: u64,
}

impl Schedule {
    /// Evenly spaced.
    #[must_use]
    pub const fn periodic(interval_ns: u64) -> Self {
        Self { interval_ns, random: None, next_ns: 0 }
    }

    /// With random gaps of the same mean, which no periodic disturbance can keep step with.
    #[must_use]
    pub const fn poisson(interval_ns: u64, seed: u64) -> Self {
        Self { interval_ns, random: Some(seed), next_ns: 0 }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let now = self.next_ns;
        let gap =
            self.random.as_mut().map_or(self.interval_ns, |state| gap(state, self.interval_ns));
        self.next_ns = now.saturating_add(gap);
        Some(now)
    }
}

/// A gap of an exponential distribution.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, 37 means at most"
)]
fn gap(state: &mut u64, mean_ns: u64) -> u64 {
    // SplitMix64.
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let share = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
    (-(1.0 - share).ln() * mean_ns as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periodic_probes_do_not_drift() {
        assert_eq!(Schedule::periodic(1_000_003).nth(1_000_000), Some(1_000_003_000_000));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_their_distribution() {
        let times: Vec<_> = Schedule::poisson(1_000_000, 1).take(100_001).collect();
        let mean = times[100_000] / 100_000;
        assert!((990_000..1_010_000).contains(&mean), "{mean}");
        let long = times.windows(2).filter(|pair| pair[1] - pair[0] > 1_000_000).count();
        // 1/e of them.
        assert!((36_000..37_600).contains(&long), "{long}");
    }
}

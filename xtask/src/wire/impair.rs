//! When a packet is due at the far end. Pure: times come in and go out as numbers.

use super::config::Impairment;

/// A packet that waited longer than this for its turn on a rate-limited wire is dropped, as a full queue would.
const LONGEST_QUEUE_NS: u64 = 200_000_000;
/// A reordered packet is held back by at least this much.
const REORDER_NS: u64 = 1_000_000;

/// Small seeded generator (splitmix64), so that a run can be repeated.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts the sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in `0..1`.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `middle - spread ..= middle + spread`.
    fn around(&mut self, middle: u64, spread: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most twice a delay that people type"
        )]
        let offset = (self.unit() * 2.0 * spread as f64) as u64;
        (middle + offset).saturating_sub(spread)
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives then.
    Due(u64),
    /// It is lost on purpose.
    Lost,
    /// The rate-limited wire's queue is full.
    Overflow,
}

/// One direction between two nodes.
#[derive(Debug)]
pub(crate) struct Direction {
    impairment: Impairment,
    random: Random,
    free_at: u64,
    last_due: u64,
}

impl Direction {
    /// An idle direction.
    pub(crate) fn new(impairment: Impairment, seed: u64) -> Self {
        Self { impairment, random: Random::new(seed), free_at: 0, last_due: 0 }
    }

    /// Decides about a packet of `bytes` that entered the wire at `entered`.
    pub(crate) fn send(&mut self, entered: u64, bytes: usize) -> Fate {
        let i = self.impairment;
        if i.loss > 0.0 && self.random.unit() < i.loss {
            return Fate::Lost;
        }
        let Some(sent) = self.serialise(entered, bytes) else {
            return Fate::Overflow;
        };
        let mut due = sent + i.delay_ns;
        if i.jitter_ns > 0 {
            due = self.random.around(due, i.jitter_ns).max(sent);
        }
        if i.reorder > 0.0 && self.random.unit() < i.reorder {
            // Later packets do not wait for this one.
            return Fate::Due(due + REORDER_NS.max(i.jitter_ns));
        }
        self.last_due = self.last_due.max(due);
        Fate::Due(self.last_due)
    }

    /// When the last bit is on the wire.
    fn serialise(&mut self, entered: u64, bytes: usize) -> Option<u64> {
        let Some(rate) = self.impairment.rate else {
            return Some(entered);
        };
        let start = self.free_at.max(entered);
        if start - entered > LONGEST_QUEUE_NS {
            return None;
        }
        self.free_at = start + (bytes as u64 * 8_000_000_000) / rate.max(1);
        Some(self.free_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wan(delay_ns: u64) -> Impairment {
        Impairment { delay_ns, ..Impairment::default() }
    }

    proptest! {
        #[test]
        fn jitter_keeps_order(seed: u64, gaps in proptest::collection::vec(0_u64..1_000_000, 1..200)) {
            let jitter = Impairment { jitter_ns: 500_000, ..wan(2_000_000) };
            let mut direction = Direction::new(jitter, seed);
            let (mut now, mut last) = (0, 0);
            for gap in gaps {
                now += gap;
                let Fate::Due(due) = direction.send(now, 100) else { panic!("nothing may be lost") };
                prop_assert!(due >= last && due >= now + 1_500_000);
                last = due;
            }
        }
    }

    #[test]
    fn fixed_delay_is_exact() {
        let mut direction = Direction::new(wan(20_000_000), 1);
        assert_eq!(direction.send(5, 1500), Fate::Due(20_000_005));
    }

    #[test]
    fn rate_spaces_packets_and_overflows() {
        let limited = Impairment { rate: Some(12_000_000), ..wan(0) };
        let mut direction = Direction::new(limited, 1);
        assert_eq!(direction.send(0, 1500), Fate::Due(1_000_000));
        assert_eq!(direction.send(0, 1500), Fate::Due(2_000_000));
        let full = (0..300).any(|_| direction.send(0, 1500) == Fate::Overflow);
        assert!(full);
    }

    #[test]
    fn loss_and_reordering_come_at_their_share() {
        let bad = Impairment { loss: 0.1, reorder: 0.1, ..wan(1_000) };
        let mut direction = Direction::new(bad, 7);
        let fates: Vec<_> = (0..100_000_u64).map(|t| direction.send(t, 100)).collect();
        let lost = fates.iter().filter(|f| **f == Fate::Lost).count();
        assert!((9_500..10_500).contains(&lost), "{lost} of 100000 lost");
        let late = (0..100_000_u64)
            .zip(&fates)
            .filter(|(t, f)| matches!(f, Fate::Due(due) if due - t > 100_000))
            .count();
        assert!((8_500..9_500).contains(&late), "{late} of 90000 held back");
    }
}

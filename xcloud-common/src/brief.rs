//! What is known of a slot without touching it.
//!
//! Four bytes a slot, so that all of them stay in a core's own cache: most packets that ask for a slot ask for one that
//! is not theirs, or take one over, and neither needs more than this.

use crate::slot::{SLOTS, UNANSWERED_NS};

/// Whose a slot is, since when, and how far the exchange got.
///
/// The upper 17 bits are those of `E`'s hash that the slot's index leaves out; the hash being a bijection, they name
/// `E`. Below are 13 bits of the time at which the slot was taken, in units of 268 ms, and two of the [`Stage`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief(u32);

/// How far an exchange got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The slot was never used.
    Unused,
    /// The data passed its first hook.
    Opened,
    /// It passed its second hook, so an answer may come.
    Passed,
    /// Answered, or given up because no answer could be told to be its own.
    Settled,
}

const INDEX_BITS: u32 = SLOTS.trailing_zeros();
const TIME_SHIFT: u32 = 28;
const TIME_MASK: u32 = (1 << 13) - 1;

impl Brief {
    /// Of a slot that never held an exchange.
    pub const UNUSED: Self = Self(0);

    /// Of an exchange that opens.
    #[inline(always)]
    #[must_use]
    pub const fn opened(hash: u32, now_ns: u64) -> Self {
        Self(hash >> INDEX_BITS << INDEX_BITS | units(now_ns) << 2 | Stage::Opened as u32)
    }

    /// The same exchange, further on.
    #[inline(always)]
    #[must_use]
    pub const fn at(self, stage: Stage) -> Self {
        Self(self.0 & !3 | stage as u32)
    }

    /// How far it got.
    #[inline(always)]
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self.0 & 3 {
            0 => Stage::Unused,
            1 => Stage::Opened,
            2 => Stage::Passed,
            _ => Stage::Settled,
        }
    }

    /// Whether the slot is that of the exchange whose `E` has this hash.
    #[inline(always)]
    #[must_use]
    pub const fn is_of(self, hash: u32) -> bool {
        (self.0 ^ hash) >> INDEX_BITS == 0
    }

    /// Whether an answer may still come, at `now_ns`. Wrong once in 550 times for what has waited for over 36 minutes.
    #[inline(always)]
    #[must_use]
    pub const fn is_young(self, now_ns: u64) -> bool {
        let age = units(now_ns).wrapping_sub(self.0 >> 2) & TIME_MASK;
        (age as u64) << TIME_SHIFT < UNANSWERED_NS
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "masked")]
const fn units(now_ns: u64) -> u32 {
    (now_ns >> TIME_SHIFT) as u32 & TIME_MASK
}

const _: () = assert!(INDEX_BITS == 15 && size_of::<Brief>() == 4);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAGES: [Stage; 4] = [Stage::Unused, Stage::Opened, Stage::Passed, Stage::Settled];

    proptest! {
        #[test]
        fn it_names_its_exchange_among_those_of_its_slot(hash: u32, other: u32, now: u64, stage in 0usize..4) {
            let other = other >> INDEX_BITS << INDEX_BITS | hash & (SLOTS - 1);
            let brief = Brief::opened(hash, now).at(STAGES[stage]);
            prop_assert!(brief.is_of(hash));
            prop_assert_eq!(brief.is_of(other), other == hash);
            prop_assert_eq!(brief.stage(), STAGES[stage]);
        }

        #[test]
        fn it_is_young_for_as_long_as_an_answer_may_take(hash: u32, then in 0u64..1 << 60, age in 0u64..1 << 40) {
            let young = Brief::opened(hash, then).is_young(then + age);
            let unit = 1 << TIME_SHIFT;
            prop_assert!(young || age + unit > UNANSWERED_NS);
            prop_assert!(!young || age < UNANSWERED_NS + unit);
        }
    }
}

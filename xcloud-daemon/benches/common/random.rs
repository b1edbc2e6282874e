//! Enough randomness for figures that repeat.

pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number from 0 to below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap_or(0)
    }
}

//! The statistics of a comparison: pure functions of figures, seeded where chance is needed.

pub mod bootstrap;
pub mod family;
pub mod grid;
pub mod hodges_lehmann;
pub mod interval;
pub mod mann_whitney;
pub mod normal;
pub mod permutation;
pub mod power;
pub mod random;
pub mod shift;
pub mod signed_rank;
pub mod student;
pub mod verdict;

/// How the trials of two arms belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Design {
    /// Two independent samples.
    Unpaired,
    /// The i-th trial of one arm was made under the conditions of the i-th of the other.
    Paired,
}

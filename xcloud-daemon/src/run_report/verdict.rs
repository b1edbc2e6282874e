//! Where a comparison enters: the report only shows what it is given here.

use serde::Serialize;

/// What a comparison says about one figure of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// As in [`crate::result::Trial`].
    pub test: String,
    /// As in [`crate::result::Trial`].
    pub from: String,
    /// As in [`crate::result::Trial`].
    pub to: String,
    /// The figure, by the name it has in the matrix, e.g. `throughput`, `response p99`.
    pub figure: String,
    /// The difference with its interval, and what follows from it, in one line.
    pub says: String,
}

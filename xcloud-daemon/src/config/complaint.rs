//! What is wrong with a configuration: always in which file, where, at which key and why.

use std::{fmt, path::Path};

use super::yaml::{Position, Wrong};
use crate::usage::usage;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Where.
    pub(super) at: Position,
    /// The key, as `agent.rate`; empty where there is none.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) why: String,
}

impl Complaint {
    /// About a key.
    pub(super) fn new(at: Position, key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at, key: key.into(), why: why.into() }
    }
}

impl From<Wrong> for Complaint {
    fn from(wrong: Wrong) -> Self {
        Self::new(wrong.at, "", wrong.why)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.at.line, self.at.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.why)
    }
}

/// All of them as an error of usage, a line each.
pub(super) fn refused(path: &Path, complaints: &[Complaint]) -> anyhow::Error {
    let told: Vec<_> =
        complaints.iter().map(|complaint| format!("{}:{complaint}", path.display())).collect();
    usage(told.join("\n"))
}

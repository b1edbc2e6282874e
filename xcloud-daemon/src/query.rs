//! Not written yet.

use anyhow::{Result, bail};

use crate::cli::SplitArgs;

/// Runs it.
pub fn run(_args: SplitArgs) -> Result<()> {
    bail!("not written yet")
}

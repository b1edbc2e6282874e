//! Not written yet.

use anyhow::{Result, bail};

use crate::cli::CheckArgs;

/// Runs it.
pub fn run(_args: CheckArgs) -> Result<()> {
    bail!("not written yet")
}

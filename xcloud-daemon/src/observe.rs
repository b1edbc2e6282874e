//! Not written yet.

use anyhow::{Result, bail};

use crate::cli::ObserveArgs;

/// Runs it.
pub fn run(_args: ObserveArgs) -> Result<()> {
    bail!("not written yet")
}

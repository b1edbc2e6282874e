//! Not written yet.

use anyhow::{Result, bail};

use crate::cli::AggregatorArgs;

/// Runs it.
pub fn run(_args: AggregatorArgs) -> Result<()> {
    bail!("not written yet")
}

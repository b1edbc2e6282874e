//! Not written yet.

use anyhow::{Result, bail};

use crate::cli::AgentArgs;

/// Runs it.
pub fn run(_args: AgentArgs) -> Result<()> {
    bail!("not written yet")
}

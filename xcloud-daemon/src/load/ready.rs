//! How whoever started a process that answers learns at which port it does.

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result};

use crate::cli::ends::ReadyArgs;

/// Writes the address listened on, whole or not at all, if that is wanted.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn tell(args: &ReadyArgs, at: SocketAddr) -> Result<()> {
    let Some(path) = &args.ready_file else { return Ok(()) };
    let unfinished = path.with_added_extension("part");
    fs::write(&unfinished, format!("{at}\n"))
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("writing --ready-file {}", path.display()))
}

//! `xcloud load`: its tests.

use clap::Subcommand;

use super::stamp::{ConvergenceArgs, StampArgs};

/// Load tests.
#[derive(Clone, Debug, Subcommand)]
pub enum LoadCommand {
    /// Probe a path with STAMP (RFC 8762): loss, order and time, each way; or answer such probes
    Stamp(Box<StampArgs>),
    /// Probe a path with STAMP around an event: how long which flows were down
    Convergence(Box<ConvergenceArgs>),
}

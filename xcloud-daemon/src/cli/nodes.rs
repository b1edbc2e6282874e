//! Flags of `xcloud nodes`.

use clap::Args;

use super::{Output, ServerArgs};

/// `xcloud nodes`.
#[derive(Args, Clone, Debug)]
pub struct NodesArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// Format
    #[arg(short, long, env = "XCLOUD_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,
}

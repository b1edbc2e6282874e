//! Flags of `xcloud top`.

use std::time::Duration;

use clap::Args;

use super::{FilterArgs, GroupArg, ServerArgs};

/// `xcloud top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// Which exchanges
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How often to ask
    #[arg(
        long,
        env = "XCLOUD_TOP_INTERVAL",
        default_value = "2s",
        value_name = "TIME",
        value_parser = humantime::parse_duration
    )]
    pub interval: Duration,
    /// How far back each look goes; the aggregator widens it to whole intervals of its storage
    #[arg(
        long,
        env = "XCLOUD_TOP_WINDOW",
        default_value = "1m",
        value_name = "TIME",
        value_parser = humantime::parse_duration
    )]
    pub window: Duration,
    /// How to merge paths at first; Enter goes into them
    #[arg(long, env = "XCLOUD_TOP_GROUP_BY", value_enum, default_value = "node")]
    pub group_by: GroupArg,
    /// Print one look as plain text and end
    #[arg(long, env = "XCLOUD_TOP_ONCE")]
    pub once: bool,
    /// Use no colour, as with NO_COLOR
    #[arg(long, env = "XCLOUD_TOP_NO_COLOR")]
    pub no_color: bool,
    /// Draw with ASCII only [default: where the locale is not UTF-8]
    #[arg(long, env = "XCLOUD_TOP_ASCII")]
    pub ascii: bool,
}

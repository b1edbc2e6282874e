//! `xcloud load suite`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{ServerArgs, fact::FactArgs, loadtest::micro_usd};

/// `xcloud load suite`.
#[derive(Args, Clone, Debug)]
pub struct SuiteArgs {
    /// File of the suite, or the name of a built-in one: crosscloud
    #[arg(value_name = "FILE")]
    pub suite: String,
    /// Whom to ask for the tests
    #[command(flatten)]
    pub server: ServerArgs,
    /// Write what was found to this file, after every test
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["dry_run", "keep"],
        conflicts_with = "keep"
    )]
    pub result: Option<PathBuf>,
    /// What the run is called in its result [default: the suite's name]
    #[arg(long)]
    pub label: Option<String>,
    /// Only say which tests would be made, what they move and what they cost
    #[arg(long)]
    pub dry_run: bool,
    /// Most US dollars that it may cost by the tariffs, all rounds together; one whose price is not known is then refused
    #[arg(long, value_name = "USD", value_parser = micro_usd)]
    pub max_usd: Option<u64>,
    /// Where the random order starts; the same seed gives the same order [default: drawn, and told in the result]
    #[arg(long)]
    pub seed: Option<u64>,
    /// How often each test is made, whatever the file says
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: Option<u32>,
    /// Make only this step; may be repeated
    #[arg(long = "step", value_name = "NAME")]
    pub steps: Vec<String>,
    /// Command for events that the file gives none for, e.g. one that takes a link down
    #[arg(long, value_name = "COMMAND")]
    pub event: Option<String>,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
    /// Make the suite again and again, from one start to the next
    #[arg(long, value_name = "TIME", requires = "keep", value_parser = humantime::parse_duration)]
    pub every: Option<Duration>,
    /// For how long, from the first start
    #[arg(
        long = "for",
        value_name = "TIME",
        requires = "every",
        value_parser = humantime::parse_duration
    )]
    pub lasting: Option<Duration>,
    /// Directory where each round gets a file of its own, named by its time; what was begun there is gone on with
    #[arg(long, value_name = "DIRECTORY", requires_all = ["every", "lasting"])]
    pub keep: Option<PathBuf>,
}

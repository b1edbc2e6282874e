//! `xcloud cost`.

use std::path::PathBuf;

use clap::Args;

use super::{Address, Output};
use crate::{
    cost::{
        volume::Volume,
        what_if::{HEADER_BYTES, WhatIf},
    },
    place::Place,
};

/// `xcloud cost`.
#[derive(Args, Clone, Debug)]
pub struct CostArgs {
    /// Where bytes leave, as CLOUD/REGION or CLOUD/REGION/ZONE
    #[arg(long, value_name = "PLACE", required_unless_present = "aggregator")]
    pub from: Option<Place>,
    /// Where they arrive, likewise
    #[arg(long, value_name = "PLACE", required_unless_present_any = ["usage", "aggregator"])]
    pub to: Option<Place>,
    /// How many in a month, headers included, as 10TB or 9.5GiB
    #[arg(long, value_name = "VOLUME", required_unless_present_any = ["usage", "aggregator"])]
    pub bytes: Option<Volume>,
    /// Price what agents with --account have counted, as their aggregator at this address tells it
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with_all = ["from", "to", "bytes", "usage", "payload", "packets"]
    )]
    pub aggregator: Option<Address>,
    /// Where addresses are that no exchange showed: CSV with cidr, site
    #[arg(long, value_name = "FILE", requires = "aggregator")]
    pub sites: Option<PathBuf>,
    /// Price a month at the rate that was counted, instead of what was
    #[arg(long, requires = "aggregator")]
    pub per_month: bool,
    /// Which way: internet, internet-standard, interconnect, interconnect-100g, capacity, inter-region, inter-zone or
    /// one of your own prices [default: the usual one between these places]
    #[arg(long, value_name = "NAME")]
    pub path: Option<String>,
    /// What else processes the bytes where they leave: nat-gateway, transit-gateway; may be repeated
    #[arg(long, value_name = "NAME")]
    pub via: Vec<String>,
    /// What the account has already sent this month: it used up the first tiers
    #[arg(long, value_name = "VOLUME", default_value = "0")]
    pub month_to_date: Volume,
    /// Hours of each port, gateway or attachment; two ports for a month are 1460 [default: 730, a month; with --aggregator
    /// and without --per-month as long as was counted]
    #[arg(long, value_name = "HOURS")]
    pub hours: Option<u32>,
    /// Bytes of these that are useful payload: also show the price of a GB of it
    #[arg(long, value_name = "VOLUME", conflicts_with = "usage")]
    pub payload: Option<Volume>,
    /// Number of packets [default: as many as full ones of 1500 bytes]
    #[arg(long, conflicts_with = "usage")]
    pub packets: Option<u64>,
    /// Bytes of headers in each packet
    #[arg(long, value_name = "BYTES", default_value_t = HEADER_BYTES)]
    pub header_bytes: u32,
    /// What a change would save: path=NAME, packets=-12%, compression=2.5, overhead=50 (bytes more in each packet); may
    /// be repeated, each for itself. Of one route: not with --usage or --aggregator
    #[arg(long, value_name = "CHANGE")]
    pub what_if: Vec<WhatIf>,
    /// A month's bytes by workload, instead of --to and --bytes: CSV or JSON with workload, to_site, bytes, packets
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "bytes"])]
    pub usage: Option<PathBuf>,
    /// Prices that replace built-in ones of the same name, or come beside them
    #[arg(long, env = "XCLOUD_TARIFFS", value_name = "FILE")]
    pub tariffs: Option<PathBuf>,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

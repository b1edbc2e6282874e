//! `xcloud cost`.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use xcloud_proto::observer::v1::{NodeEgress, QueryEgressRequest};

use super::{
    break_even::break_even,
    measured::Counted,
    money::Money,
    price::{Bill, Consumption, MONTH_HOURS, price},
    route::Route,
    show,
    tariff::Tariffs,
    volume::Volume,
    what_if::{Traffic, WhatIf},
    workloads::{Terms, month, read::read},
};
use crate::{
    cli::cost::CostArgs, place::Place, report::style::print, sites::Sites, usage::usage,
    wire::connect,
};

/// What is answered about one route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The way.
    pub route: Route,
    /// What is sent.
    pub traffic: Traffic,
    /// How it is charged.
    pub consumed: Consumption,
    /// What it costs.
    pub bill: Bill,
    /// Of the whole bill, what falls on a GB (10^9 bytes) on the wire.
    pub usd_per_gb: Money,
    /// The same for a GB of payload, where that was given.
    pub usd_per_payload_gb: Option<Money>,
    /// What changes would bring.
    pub what_if: Vec<Change>,
    /// Which price lists were used.
    pub tariffs: Vec<String>,
}

/// What a change would bring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The change.
    pub change: String,
    /// What is sent then.
    pub traffic: Traffic,
    /// What it costs then.
    pub bill: Bill,
    /// For another way, charges of either whose price is not known: with any, nothing is said of the difference.
    pub unknown: Vec<String>,
    /// Whether that is less than before.
    pub cheaper: Option<bool>,
    /// By how much it is more or less.
    pub difference: Option<Money>,
    /// From how many bytes a month on it pays, for another way.
    pub pays_from_bytes: Option<u64>,
    /// How to read it.
    pub remark: String,
}

/// Answers at standard output.
///
/// # Errors
/// A wrong argument or file, or no price.
pub fn run(args: &CostArgs) -> Result<()> {
    if !args.what_if.is_empty() && (args.usage.is_some() || args.aggregator.is_some()) {
        return Err(usage(
            "--what-if changes one route: name it with --from, --to and --bytes, and a row's packets with --packets",
        ));
    }
    let tariffs = args.tariffs.as_deref().map_or_else(Tariffs::built_in, Tariffs::with_file)?;
    let text = match (&args.from, &args.usage, &args.to, args.bytes) {
        _ if args.aggregator.is_some() => measured(args, &ask(args)?, &tariffs)?,
        (Some(from), Some(file), ..) => workloads(args, from, file, &tariffs)?,
        (Some(from), None, Some(to), Some(bytes)) => {
            let path = args.path.as_deref();
            let route = Route::new(from.clone(), to.clone(), path, &args.via)?;
            let answer = answer(args, route, bytes, &tariffs)?;
            for doubt in answer.traffic.doubts(args.payload.map(|payload| payload.0)) {
                eprintln!("xcloud: {doubt}");
            }
            show::answer(&answer, args.output)?
        }
        _ => {
            return Err(usage(
                "--from with --to and --bytes or with --usage, or --aggregator, have to be given",
            ));
        }
    };
    print(&text)?;
    Ok(())
}

/// `hours` belong to the period of the bytes, unless the user says other ones.
fn terms(args: &CostArgs, hours: u32) -> Terms<'_> {
    let hours = args.hours.unwrap_or(hours);
    let before = Consumption { bytes: 0, month_to_date: args.month_to_date.0, hours };
    Terms { path: args.path.as_deref(), via: &args.via, before }
}

pub(super) fn workloads(
    args: &CostArgs,
    from: &Place,
    file: &Path,
    tariffs: &Tariffs,
) -> Result<String> {
    let usage = read(file, from)?;
    show::month(&month(&usage, terms(args, MONTH_HOURS), tariffs)?, &tariffs.versions, args.output)
}

/// What the agents of an aggregator have counted.
fn ask(args: &CostArgs) -> Result<Vec<NodeEgress>> {
    let Some(address) = &args.aggregator else { return Ok(Vec::new()) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let answer = runtime.block_on(async {
        let mut observer = connect::observer(address).await?;
        connect::answered(observer.query_egress(QueryEgressRequest::default()).await, address)
    })?;
    let nodes = answer.into_inner().nodes;
    if nodes.is_empty() {
        bail!("no agent of the aggregator at {address} keeps account: start agents with --account");
    }
    Ok(nodes)
}

pub(super) fn measured(args: &CostArgs, nodes: &[NodeEgress], tariffs: &Tariffs) -> Result<String> {
    let sites = args.sites.as_deref().map_or_else(|| Ok(Sites::default()), Sites::read)?;
    let counted = Counted::of(nodes, &sites, args.per_month);
    let priced = counted.priced(terms(args, counted.hours()), tariffs)?;
    show::measured(&priced, &tariffs.versions, args.output)
}

pub(super) fn answer(
    args: &CostArgs,
    route: Route,
    bytes: Volume,
    tariffs: &Tariffs,
) -> Result<Answer> {
    const GB: u64 = 1_000_000_000;
    let traffic = Traffic::new(bytes.0, args.packets, args.header_bytes);
    let hours = args.hours.unwrap_or(MONTH_HOURS);
    let consumed = Consumption { bytes: bytes.0, month_to_date: args.month_to_date.0, hours };
    let bill = price(&route.charges(tariffs)?, consumed);
    let changes = args
        .what_if
        .iter()
        .map(|what_if| change(what_if, &route, traffic, consumed, &bill, tariffs))
        .collect::<Result<_>>()?;
    Ok(Answer {
        route,
        traffic,
        consumed,
        usd_per_gb: bill.total.share(GB, bytes.0),
        usd_per_payload_gb: args.payload.map(|payload| bill.total.share(GB, payload.0)),
        bill,
        what_if: changes,
        tariffs: tariffs.versions.clone(),
    })
}

/// Charges of either bill whose price is not known.
fn unknown(before: &Bill, after: &Bill) -> Vec<String> {
    let missing = before.missing.iter().chain(&after.missing);
    missing.map(|one| one.charge.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn change(
    what_if: &WhatIf,
    route: &Route,
    before: Traffic,
    consumed: Consumption,
    bill: &Bill,
    tariffs: &Tariffs,
) -> Result<Change> {
    let other = what_if.path().map_or_else(
        || Ok(route.clone()),
        |path| Route::new(route.from.clone(), route.to.clone(), Some(path), &route.via),
    )?;
    let traffic = what_if.apply(before);
    let owed = other.charges(tariffs)?;
    let after = price(&owed, Consumption { bytes: traffic.bytes, ..consumed });
    // On the same way what has no price is paid by the hour in both cases, and alike.
    let unknown = what_if.path().map_or_else(Vec::new, |_| unknown(bill, &after));
    let pays_from_bytes = match what_if.path() {
        Some(_) if unknown.is_empty() => break_even(&route.charges(tariffs)?, &owed, consumed),
        _ => None,
    };
    let cheaper = after.total < bill.total;
    let (more, less) = if cheaper { (bill.total, after.total) } else { (after.total, bill.total) };
    Ok(Change {
        change: what_if.to_string(),
        traffic,
        bill: after,
        cheaper: unknown.is_empty().then_some(cheaper),
        difference: unknown.is_empty().then(|| more.less(less)),
        unknown,
        pays_from_bytes,
        remark: what_if.remark(before),
    })
}

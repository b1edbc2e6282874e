//! `xcloud load suite`: many tests between sites, which the aggregator makes.
//!
//! file -> plan, with the ends that there are -> runner, one test after the other -> record, written after each.

mod client;
mod commands;
pub mod ends;
pub mod file;
mod one;
pub mod plan;
mod price;
pub mod record;
pub mod rounds;
mod runner;
pub mod step;

#[cfg(test)]
mod tests;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use tokio::time::sleep;

use self::{
    client::Client,
    file::Suite,
    plan::Plan,
    record::Record,
    rounds::{Kept, Schedule},
    runner::Runner,
};
use super::interrupt;
use crate::{cli::suite::SuiteArgs, report::style, usage::usage};

/// Makes a suite once, or in rounds.
///
/// # Errors
/// The suite makes no sense, the aggregator refuses it or is not there, or tests are missing in the result.
pub fn run(args: &SuiteArgs) -> Result<()> {
    let mut suite = Suite::read(&args.suite)?;
    suite.retain(&args.steps)?;
    suite.fill_events(args.event.as_deref());
    interrupt::catch()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let seed = args.seed.unwrap_or_else(draw);
    let times = args.every.zip(args.lasting);
    let schedule = times.map(|(every, lasts)| Schedule::asked(&suite.name, every, lasts));
    let count = schedule.transpose()?.map_or(1, |schedule| schedule.rounds());
    let stop = &interrupt::STOP;
    match (&args.result, &args.keep) {
        _ if args.dry_run => runtime.block_on(prepare(args, &suite, seed, count)).map(drop),
        (Some(result), _) => runtime.block_on(once(args, &suite, (seed, count), result, stop)),
        (None, Some(keep)) => runtime.block_on(rounds(args, &suite, seed, keep, stop)),
        (None, None) => Err(usage("--result FILE or --keep DIRECTORY says where results go")),
    }
}

/// A seed that nobody chose, short enough to be typed.
fn draw() -> u64 {
    RandomState::new().build_hasher().finish() >> 40
}

/// Works out the tests, asks what they cost in so many rounds, and tells that.
///
/// # Errors
/// The aggregator is not there or refuses, or all rounds may cost more than is allowed.
async fn prepare(
    args: &SuiteArgs,
    suite: &Suite,
    seed: u64,
    rounds: u64,
) -> Result<(Client, Plan)> {
    let mut client = Client::connect(&args.server.aggregator).await?;
    let call = client.ends().await;
    let ends = client.answered(call)?;
    let plan = Plan::new(suite, &ends, args.repeats.unwrap_or(suite.repeats), seed);
    let estimates = runner::estimates(&mut client, suite, &plan).await?;
    style::print(&price::table(suite, &plan, &estimates, rounds))?;
    if let Some(most) = args.max_usd {
        price::Total::of(suite, &plan, &estimates).times(rounds).within(most)?;
    }
    Ok((client, plan))
}

async fn once(
    args: &SuiteArgs,
    suite: &Suite,
    (seed, rounds): (u64, u64),
    result: &Path,
    stop: &'static AtomicBool,
) -> Result<()> {
    let (client, plan) = prepare(args, suite, seed, rounds).await?;
    let mut record = Record::new(suite, &plan, label(args, suite), &args.fact.facts);
    Runner::new(suite, &plan, client, result, stop).run(&mut record).await?;
    match record.lacking() {
        0 => Ok(()),
        lacking => {
            let (all, file) = (plan.tests.len(), result.display());
            Err(anyhow!(
                "{lacking} of {all} tests are missing or were cut short; {file} says which, and has the rest"
            ))
        }
    }
}

fn label<'a>(args: &'a SuiteArgs, suite: &'a Suite) -> &'a str {
    args.label.as_deref().unwrap_or(&suite.name)
}

/// Round after round, each with an order of its own. One that fails is told in its file, and the next is made.
async fn rounds(
    args: &SuiteArgs,
    suite: &Suite,
    seed: u64,
    keep: &Path,
    stop: &'static AtomicBool,
) -> Result<()> {
    let times = args.every.zip(args.lasting);
    let (every, lasts) = times.ok_or_else(|| usage("--keep needs --every and --for"))?;
    let kept = Kept::open(keep, &suite.name, every, lasts)?;
    let count = kept.schedule.rounds();
    if args.max_usd.is_some() {
        // What is too dear ends here, and not as a failure of each round.
        prepare(args, suite, seed, count).await?;
    }
    while let Some((round, file)) = kept.next() {
        while rounds::now() < round.at_unix_s && !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(200)).await;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let made = once(args, suite, (seed.wrapping_add(round.number), count), &file, stop).await;
        let Err(error) = made else { continue };
        eprintln!("xcloud: round {}: {error:#}", round.number + 1);
        if !file.exists() {
            Record::nothing(label(args, suite), &args.fact.facts, &format!("{error:#}"))
                .write(&file)?;
        }
    }
    Ok(())
}

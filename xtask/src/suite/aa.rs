//! `cargo xtask bench aa`: two runs of the same mode, made as those of two different ones are. How often is a difference
//! claimed where there is none?

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use super::{arm::Arm, compare, file, series::Series};
use crate::{
    lab::{self, cni::Cni},
    progress::Progress,
};

/// Flags of `bench aa`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Flags of aa")]
pub(crate) struct AaArgs {
    /// Pairs of runs
    #[arg(long, default_value_t = 10)]
    pairs: u32,
    /// Visits of each run
    #[arg(long, default_value_t = 6)]
    repeats: u32,
    /// The mode of both
    #[arg(long, value_enum, default_value = "ebpf")]
    cni: Cni,
    /// How long an idle machine is waited for before a visit
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Use this xcloud binary instead of building one
    #[arg(long, hide = true, value_name = "PATH")]
    xcloud: Option<PathBuf>,
}

/// What is compared: figures that share the level among few, so that so few visits can show a difference at all.
const FIGURES: [&str; 4] = ["--metric", "throughput", "--metric", "response"];

/// Makes all pairs and says in how many a difference was claimed.
pub(crate) fn run(args: &AaArgs) -> Result<()> {
    let mut lab = super::lab_args(&["--name=aa"])?;
    lab::check(&lab)?;
    lab.xcloud.clone_from(&args.xcloud);
    lab.xcloud = Some(lab::run::xcloud(&lab)?);
    let progress = Progress::new();
    let mut claimed = 0;
    for pair in 1..=args.pairs {
        let directory = super::directory("aa", &format!("pair-{pair:02}"));
        // Of an earlier call.
        let _ = fs::remove_dir_all(&directory);
        let series = Series {
            lab: &lab,
            modes: [args.cni; 2],
            suite: &file("smoke")?,
            repeats: args.repeats,
            patience: args.patience,
            directory: &directory,
        };
        let mut arms = ["A", "B"].map(Arm::new);
        let [a, b] = series.run(&mut arms, &progress)?;
        progress.done();
        let differ = differences(lab.xcloud.as_deref().context("no binary")?, &a, &b)?;
        claimed += u32::from(!differ.is_empty());
        let said = if differ.is_empty() { "no difference".into() } else { differ.join(", ") };
        println!("pair {pair}: {said}");
    }
    println!(
        "{} visits each of {}: a difference was claimed in {claimed} of {} pairs (wanted: at most 1 of 10)",
        args.repeats,
        args.cni.name(),
        args.pairs
    );
    Ok(())
}

/// What B is said to be better or worse in.
fn differences(xcloud: &Path, a: &Path, b: &Path) -> Result<Vec<String>> {
    let flags: Vec<&str> = ["-o", "json"].into_iter().chain(FIGURES).collect();
    let text = compare(xcloud, a, b, &flags)?;
    let report: Value = serde_json::from_str(&text)
        .context("understanding the answer of xcloud compare -o json")?;
    let verdicts = report["comparisons"].as_array().context("the answer has no comparisons")?;
    let judged = |one: &&Value| {
        !matches!(one["verdict"].as_str(), Some("not_judged" | "not_enough_trials") | None)
    };
    ensure!(
        verdicts.iter().any(|one| judged(&one)),
        "nothing could have been shown with so few visits: more --repeats"
    );
    let differs = |one: &&Value| matches!(one["verdict"].as_str(), Some("better" | "worse"));
    let name = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("test"), text("metric"), text("verdict"))
    };
    Ok(verdicts.iter().filter(differs).map(name).collect())
}

//! `cargo xtask kernels`: distribution kernels under QEMU, and what works in them.

mod baseline;
mod features;
mod guest;
mod image;
mod packages;
mod series;
mod table;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use nix::unistd::Uid;

use self::{
    baseline::Counts,
    features::{Feature, Features, Shown},
    guest::{Ended, Guest},
    table::{Cell, Column},
};
pub(crate) use self::{
    features::{GuestArgs, show},
    series::Series,
};
use crate::{bpf, command, lab::args::Output, setup};

/// How long one kernel may take with all that is asked of it.
const MOST: Duration = Duration::from_mins(30);
/// How often a kernel may panic at one feature before that counts as the feature's fault: emulated processors now and
/// then meet an instruction that another is patching.
const MOST_PANICS: usize = 2;

/// Flags of `kernels`.
#[derive(Args, Debug)]
pub(crate) struct KernelsArgs {
    /// Which kernels: 5.10, 6.1, 6.12, 7.x (the newest packaged) [default: all of them]
    kernels: Vec<Series>,
    /// Only features whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Take what programs now cost the verifier for what they may cost
    #[arg(long)]
    bless: bool,
    /// Format of the table
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Run this command in the kernels instead, on this machine's files, which it cannot change
    #[arg(last = true, conflicts_with_all = ["only", "bless", "output"])]
    command: Vec<String>,
}

/// Programs that run in a guest, built outside.
struct Built {
    xtask: PathBuf,
    xcloud: PathBuf,
    tests: PathBuf,
}

/// Runs it.
pub(crate) fn run(args: &KernelsArgs) -> Result<()> {
    ensure!(Uid::effective().is_root(), "booting kernels on this machine's files needs root");
    setup::for_guests()?;
    let kernels = if args.kernels.is_empty() { &Series::ALL[..] } else { &args.kernels };
    if !args.command.is_empty() {
        return kernels.iter().try_for_each(|series| run_command(*series, &args.command));
    }
    let mut features = Features::read()?.all;
    if let Some(part) = &args.only {
        features.retain(|feature| feature.name.contains(part.as_str()));
        ensure!(!features.is_empty(), "no feature's name contains {part:?}");
    }
    let columns = all_shown(kernels, &features)?;
    match args.output {
        Output::Table => print!("{}", table::text(&features, &columns)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&columns)?),
    }
    judge(&columns, args.bless)
}

/// What `cargo xtask test` runs: the features meant for it, on one kernel.
pub(crate) fn test(series: Series) -> Result<()> {
    setup::for_guests()?;
    let mut features = Features::read()?.all;
    features.retain(|feature| feature.ci);
    let columns = all_shown(&[series], &features)?;
    print!("{}", table::text(&features, &columns));
    judge(&columns, false)
}

fn judge(columns: &[Column], bless: bool) -> Result<()> {
    let counts = columns.iter().filter(|column| !column.verifier.is_empty());
    let counts: Counts = counts.map(|c| (c.series.clone(), c.verifier.clone())).collect();
    let dear = if bless {
        baseline::write(&counts)?;
        Vec::new()
    } else {
        baseline::compare(&baseline::read()?, &counts)
    };
    dear.iter().for_each(|line| println!("{line}"));
    if !dear.is_empty() {
        println!("If that is as it must be: cargo xtask kernels --only 'programs load' --bless");
    }
    let failed = columns
        .iter()
        .flat_map(|column| column.cells.values())
        .filter(|cell| cell.failed())
        .count();
    ensure!(
        failed == 0 && dear.is_empty(),
        "{failed} cells failed, {} programs cost too much",
        dear.len()
    );
    Ok(())
}

fn all_shown(kernels: &[Series], features: &[Feature]) -> Result<Vec<Column>> {
    let xcloud = bpf::build_all()?;
    let built = Built { xtask: crate::lab::ourselves()?, xcloud, tests: build_tests()? };
    kernels.iter().map(|series| column(*series, features, &built)).collect()
}

/// Builds the daemon's kernel tests; returns their binary.
fn build_tests() -> Result<PathBuf> {
    let mut build = bpf::cargo()?;
    build.args(["test", "-p", "xcloud-daemon", "--test", "kernel", "--no-run"]);
    let messages = command::output(build.args(["--quiet", "--message-format=json"]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "test")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo names no binary of the kernel tests")
}

/// Everything on one kernel.
fn column(series: Series, features: &[Feature], built: &Built) -> Result<Column> {
    let kernel = packages::kernel(series)?;
    let version = kernel.release.parse::<series::Version>().map_err(anyhow::Error::msg)?;
    let mut column = Column::new(series, &kernel.release);
    let mut left = Vec::new();
    for feature in features {
        match feature.since {
            Some(since) if version < since => {
                column.put(&feature.name, Cell::Older(since.to_string()))
            }
            _ => left.push(feature.name.clone()),
        }
    }
    let scratch = scratch(series)?;
    let guest =
        Guest { accel: guest::best_accel(&kernel, &scratch), kernel: &kernel, scratch: &scratch };
    eprintln!(
        "xtask: Linux {} by {:?}; its console: {}",
        kernel.release,
        guest.accel,
        guest.console().display()
    );
    while !left.is_empty() {
        let ended = show_in(&guest, built, &left, &mut column)?;
        left.retain(|name| !column.cells.contains_key(name));
        let (Ended::Panicked(why), Some(during)) = (ended, left.first().cloned()) else { break };
        eprintln!("{series} panicked during {during}: {why}");
        if column.panicked(&during, why) == MOST_PANICS {
            column.put(&during, Cell::Failed(vec!["the kernel panicked each time".into()]));
            left.remove(0);
        }
    }
    Ok(column)
}

/// Shows features one after the other in one boot of a kernel.
fn show_in(
    guest: &Guest<'_>,
    built: &Built,
    names: &[String],
    column: &mut Column,
) -> Result<Ended> {
    let mut words: Vec<String> =
        [&built.xtask.to_string_lossy(), "internal", "guest"].map(String::from).into();
    for (flag, path) in [("--xcloud", &built.xcloud), ("--tests", &built.tests)] {
        words.extend([flag.into(), path.to_string_lossy().into_owned()]);
    }
    words.extend_from_slice(names);
    let ended = guest.run(&words, bpf::root(), MOST, |line| {
        let Ok(shown) = serde_json::from_str::<Shown>(line) else { return };
        let verdict = if shown.wrong.is_empty() { "ok" } else { "FAILED" };
        eprintln!("{} {} ... {verdict} ({} s)", column.series, shown.feature, shown.seconds);
        shown.wrong.iter().for_each(|line| eprintln!("    {line}"));
        column.take(shown);
    })?;
    if let Ended::Exited(status) = ended {
        ensure!(
            status == 0,
            "the guest's part failed with {status}: see {}",
            guest.console().display()
        );
    }
    Ok(ended)
}

/// An empty directory for a boot, short enough a path for sockets wherever the workspace lies.
fn scratch(series: Series) -> Result<PathBuf> {
    let path = bpf::target().join("kernels").join(format!("boot-{series}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

fn run_command(series: Series, words: &[String]) -> Result<()> {
    let kernel = packages::kernel(series)?;
    let scratch = scratch(series)?;
    let guest =
        Guest { accel: guest::best_accel(&kernel, &scratch), kernel: &kernel, scratch: &scratch };
    let joined = ["sh", "-c", "exec \"$@\" 2>&1", "sh"].map(String::from);
    let words = [&joined[..], words].concat();
    match guest.run(&words, &std::env::current_dir()?, MOST, |line| println!("{line}"))? {
        Ended::Exited(0) => Ok(()),
        Ended::Exited(status) => {
            bail!("the command failed with {status} on Linux {}", kernel.release)
        }
        Ended::Panicked(why) => {
            bail!("Linux {} panicked: {why}; see {}", kernel.release, guest.console().display())
        }
    }
}

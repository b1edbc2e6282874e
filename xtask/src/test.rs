//! `cargo xtask test`: everything that can be tested on this machine.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser, ValueEnum};
use nix::unistd::Uid;
use serde_json::Value;

use crate::{
    bpf, chart, cluster, command,
    judge::Baselines,
    kernels::{self, Series},
    lab::{args::LabArgs, collectors, requests, run::measure},
    progress::Progress,
    scenario::{self, Scenario},
    setup, signals, suite,
    wire::stats::WireReport,
};

/// The distribution kernel that tests boot.
const KERNEL: Series = Series::ALL[2];
/// A scenario that needs no file: what it does is in `xtask/suites`.
const SUITE: &str = "suite";
/// Another: what it does is in `xtask/collectors`.
const COLLECTORS: &str = "collectors";
/// A wire later than this on average was disturbed.
const MOST_LATE_NS: u64 = 60_000;
/// How often a disturbed run is made.
const MOST_RUNS: u32 = 3;

/// Flags of `test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Only lab scenarios whose name contains this
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Also every further variant of the lab scenarios: hours instead of minutes
    #[arg(long)]
    all: bool,
    /// Use this xcloud binary in the lab instead of building one
    #[arg(long, hide = true, value_name = "PATH")]
    xcloud: Option<PathBuf>,
}

/// Parts of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `cargo test`, with the kernel's programs where root allows
    Cargo,
    /// Scenarios in the lab
    Lab,
    /// A distribution's kernel under QEMU
    Kernel,
    /// The Helm chart
    Chart,
    /// A Kubernetes cluster, which no other part brings with it
    Cluster,
}

/// The lab's flags, as a scenario writes them.
#[derive(Debug, Parser)]
pub(crate) struct Flags {
    /// All of them.
    #[command(flatten)]
    pub(crate) lab: LabArgs,
}

/// Runs the tests.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Cargo) && args.scenario.is_none() {
        cargo_test()?;
    }
    if wanted(Part::Chart) && args.scenario.is_none() {
        chart()?;
    }
    if wanted(Part::Kernel) && args.scenario.is_none() {
        kernel()?;
    }
    // It builds Kubernetes first, which takes longer than all else: only when it is asked for.
    if args.only == Some(Part::Cluster) {
        cluster(args.xcloud.as_deref())?;
    }
    if wanted(Part::Lab) {
        lab(args)?;
    }
    Ok(())
}

/// A kernel with what this machine's may lack: kprobes, netem, WireGuard.
fn kernel() -> Result<()> {
    if !Uid::effective().is_root() || !setup::has_apt() {
        eprintln!("SKIPPED: booting Linux {KERNEL} takes root and Debian's packages (apt-get)");
        return Ok(());
    }
    kernels::test(KERNEL).with_context(|| format!("on Linux {KERNEL}"))
}

fn cargo_test() -> Result<()> {
    if Uid::effective().is_root() && setup::has_apt() {
        setup::for_load()?;
    }
    setup::install_stamp_suite()?;
    command::show(bpf::cargo()?.args(["test", "--workspace"]))
}

/// The chart, and the binary that it starts: the one that `cargo test` built too.
fn chart() -> Result<()> {
    let installed = setup::for_chart();
    if !Uid::effective().is_root() || !setup::has_apt() {
        if let Err(error) = installed {
            eprintln!("SKIPPED: rendering the chart takes Debian's packages: {error:#}");
            return Ok(());
        }
    } else {
        installed?;
    }
    command::watch(bpf::cargo()?.args(["build", "--quiet", "-p", "xcloud-daemon"]))?;
    let (mut passed, mut failed) = (0, 0);
    chart::test(&bpf::target().join("debug/xcloud"), |name, about, test| {
        match passes("chart", name, about, test)? {
            true => passed += 1,
            false => failed += 1,
        }
        Ok(())
    })?;
    println!("\n{passed} passed, {failed} failed, 0 skipped");
    ensure!(failed == 0, "{failed} tests of the chart failed");
    Ok(())
}

/// A real control plane with two nodes, and xcloud installed there.
pub(crate) fn cluster(xcloud: Option<&Path>) -> Result<()> {
    if !Uid::effective().is_root() || !setup::has_apt() {
        eprintln!("SKIPPED: a Kubernetes cluster takes root and Debian's packages (apt-get)");
        return Ok(());
    }
    let xcloud = xcloud.map(Path::canonicalize).transpose().context("finding --xcloud")?;
    let (mut passed, mut failed) = (0, 0);
    cluster::trial(xcloud.as_deref(), &mut |name, about, test| {
        let good = passes("cluster", name, about, test)?;
        *if good { &mut passed } else { &mut failed } += 1;
        Ok(good)
    })?;
    println!("\n{passed} passed, {failed} failed, 0 skipped");
    ensure!(failed == 0, "{failed} tests of the cluster failed");
    Ok(())
}

fn lab(args: &TestArgs) -> Result<()> {
    let mut all = scenario::load_all(&bpf::root().join("xtask/scenarios"))?;
    if !args.all {
        all.retain(|name, _| !scenario::is_further(name));
    }
    if let Some(part) = &args.scenario {
        all.retain(|name, _| name.contains(part.as_str()));
    }
    let with_suite = args.scenario.as_ref().is_none_or(|part| SUITE.contains(part.as_str()));
    let with_collectors =
        args.scenario.as_ref().is_none_or(|part| COLLECTORS.contains(part.as_str()));
    let count = all.len() + usize::from(with_suite) + usize::from(with_collectors);
    ensure!(count > 0, "no scenario's name contains {:?}", args.scenario);
    if !Uid::effective().is_root() {
        eprintln!("lab scenarios need root: skipped");
        println!("0 passed, 0 failed, {count} skipped");
        return Ok(());
    }
    let xcloud = match &args.xcloud {
        Some(path) => path.clone(),
        None => bpf::build_all()?,
    };
    let mut failed = 0;
    for (name, scenario) in &all {
        failed +=
            usize::from(!passes("scenario", name, &scenario.about, || play(scenario, &xcloud))?);
    }
    if with_suite {
        let about = "a suite in two modes ends in whole runs, a comparison and a report";
        failed += usize::from(!passes("scenario", SUITE, about, || suite::check(&xcloud))?);
    }
    if with_collectors {
        let about =
            "Prometheus, an OTLP receiver and a collector by reflection read what the split says";
        failed +=
            usize::from(!passes("scenario", COLLECTORS, about, || collectors::check(&xcloud))?);
    }
    println!("\n{} passed, {failed} failed, 0 skipped", count - failed);
    ensure!(failed == 0, "{failed} lab scenarios failed");
    Ok(())
}

/// Makes a test that returns what is wrong, and tells how it went.
fn passes(
    kind: &str,
    name: &str,
    about: &str,
    test: impl FnOnce() -> Result<Vec<String>>,
) -> Result<bool> {
    let start = Instant::now();
    let wrong = test().with_context(|| format!("{kind} {name}"));
    if signals::stopped() {
        bail!("interrupted");
    }
    let wrong = wrong.unwrap_or_else(|error| vec![format!("{error:#}")]);
    let verdict = if wrong.is_empty() { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    println!("{kind} {name} ... {verdict} ({seconds:.0} s): {about}");
    wrong.iter().for_each(|line| println!("    {line}"));
    Ok(wrong.is_empty())
}

/// Runs the baseline and the change when there is something to compare; returns what is wrong. What moved wrongly from
/// that baseline is held against a second one, for the noise of this machine, and measured again: an error of the split
/// comes again in the same figure, a busy moment of this machine does not.
fn play(scenario: &Scenario, xcloud: &Path) -> Result<Vec<String>> {
    if scenario.change.is_empty() {
        return Ok(scenario.judge(&split(scenario, &[], xcloud)?));
    }
    let baseline = || split(scenario, &scenario.baseline, xcloud).context("baseline");
    let before = baseline()?;
    let change = split(scenario, &scenario.change, xcloud)?;
    let mut wrong = scenario.judge(&change);
    let alone = Baselines { after: before.clone(), before };
    if scenario.misplaced(&alone, &change).is_empty() {
        return Ok(wrong);
    }
    let baselines = Baselines { after: baseline()?, ..alone };
    let mut misplaced = scenario.misplaced(&baselines, &change);
    for _ in 1..MOST_RUNS {
        if misplaced.is_empty() {
            break;
        }
        misplaced.values().for_each(|line| eprintln!("xtask: measuring again, as {line}"));
        let change = split(scenario, &scenario.change, xcloud)?;
        wrong.extend(scenario.judge(&change));
        let again = scenario.misplaced(&baselines, &change);
        misplaced.retain(|figure, _| again.contains_key(figure));
    }
    wrong.extend(misplaced.into_values());
    Ok(wrong)
}

/// Runs once, or again when the wire itself was late: that is this machine's doing, whatever the split says.
fn split(scenario: &Scenario, more: &[String], xcloud: &Path) -> Result<Value> {
    for attempt in 1.. {
        let (split, wire) = run_once(scenario, more, xcloud)?;
        if !scenario.calm || on_time(&wire) || attempt == MOST_RUNS {
            return Ok(split);
        }
        let late = wire.late;
        eprintln!(
            "xtask: this machine was busy: the wire was late by {} us (mean), {} us (p99); running again",
            late.mean_ns / 1000,
            late.p99_ns / 1000
        );
    }
    bail!("no run was made")
}

fn on_time(wire: &WireReport) -> bool {
    wire.late.mean_ns < MOST_LATE_NS && wire.late.p99_ns < 20 * MOST_LATE_NS
}

fn run_once(scenario: &Scenario, more: &[String], xcloud: &Path) -> Result<(Value, WireReport)> {
    // A name of its own, so that a lab that somebody works in stays. At 20 ms a step of the histogram is 16 us; at the
    // usual 40 ms, 33 us would be most of the precision asked for.
    let own = ["lab", "--name=test", "--duration=6s", "--wan-rtt=20ms"].map(String::from);
    let flags = own.iter().chain(&scenario.flags).chain(more);
    let parsed = Flags::try_parse_from(flags).context("understanding the scenario's flags")?;
    let mut args = parsed.lab;
    args.xcloud = Some(xcloud.to_owned());
    let progress = Progress::new();
    if let Some(rate) = scenario.requests {
        let (lab, split) = requests::measure(&args, rate, &progress)?;
        progress.done();
        return Ok((split, lab.wire_report()?));
    }
    let mut lab = measure(&args, &progress)?;
    progress.done();
    if args.verify {
        let checked = lab.verify()?;
        eprintln!("{checked}");
        ensure!(checked.wrong.is_empty(), "captures disagree: {}", checked.wrong.join("; "));
        ensure!(checked.right > 0, "no exchange could be checked against the captures");
    }
    Ok((lab.split_json()?, lab.wire_report()?))
}

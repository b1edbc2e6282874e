//! What a kernel must show, and showing it inside a guest.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use serde::{Deserialize, Serialize};

use super::series::Version;
use crate::{bpf, lab::run::measure, progress::Progress, scenario::Scenario, test::Flags};

/// The file that says what kernels must show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Features {
    /// What all lab cases have in common.
    lab: Scenario,
    /// What those have in common whose packets are encrypted between nodes.
    encrypted: Scenario,
    #[serde(rename = "feature")]
    pub(super) all: Vec<Feature>,
}

/// Something a kernel must show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feature {
    /// Its row in the table.
    pub(super) name: String,
    /// What it is, in a few words.
    pub(super) about: String,
    /// The kernel that brought it.
    pub(super) since: Option<Version>,
    run: Run,
    /// Whether `cargo xtask test` runs it too.
    #[serde(default)]
    pub(super) ci: bool,
}

/// How a feature is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Run {
    /// One of the daemon's kernel tests, by name.
    Test(String),
    /// All of them that are for every kernel.
    Tests,
    /// Words for a shell; `XCLOUD` is the binary, `TESTS` the daemon's kernel tests.
    Shell(String),
    /// A lab with these flags.
    Lab(Vec<String>),
    /// A lab with these flags, whose packets are encrypted between nodes.
    Encrypted(Vec<String>),
}

/// What was shown.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Shown {
    pub(super) feature: String,
    /// What is wrong; empty when nothing is.
    pub(super) wrong: Vec<String>,
    /// Instructions the verifier looked at, by program.
    pub(super) verifier: BTreeMap<String, u64>,
    pub(super) seconds: u64,
}

/// What a guest is to run with, all of it built outside.
#[derive(clap::Args, Debug)]
pub(crate) struct GuestArgs {
    /// The xcloud binary
    #[arg(long)]
    xcloud: PathBuf,
    /// The daemon's kernel tests
    #[arg(long)]
    tests: PathBuf,
    /// Names of features
    names: Vec<String>,
}

impl Features {
    pub(super) fn read() -> Result<Self> {
        let path = bpf::root().join("xtask/kernels/features.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("understanding {}", path.display()))
    }
}

/// Inside a guest: shows one feature after the other, a line of JSON each on standard output.
pub(crate) fn show(args: &GuestArgs) -> Result<()> {
    let features = Features::read()?;
    for name in &args.names {
        let feature = features.all.iter().find(|feature| feature.name == *name);
        let feature = feature.with_context(|| format!("no feature {name:?}"))?;
        eprintln!("--- {name}");
        let (start, mut verifier) = (Instant::now(), BTreeMap::new());
        let tried = try_one(feature, &features, args, &mut verifier);
        let wrong = tried.unwrap_or_else(|error| vec![format!("{error:#}")]);
        wrong.iter().for_each(|line| eprintln!("{line}"));
        let seconds = start.elapsed().as_secs();
        let shown = Shown { feature: name.clone(), wrong, verifier, seconds };
        println!("{}", serde_json::to_string(&shown)?);
    }
    Ok(())
}

fn try_one(
    feature: &Feature,
    features: &Features,
    args: &GuestArgs,
    verifier: &mut BTreeMap<String, u64>,
) -> Result<Vec<String>> {
    let mut tests = Command::new(&args.tests);
    match &feature.run {
        Run::Test(name) => {
            let said = run(tests.args(["--exact", name, "--include-ignored", "--nocapture"]))?;
            ran(name, &said)?;
            verifier.extend(said.lines().filter_map(counted));
        }
        Run::Tests => drop(run(&mut tests)?),
        Run::Shell(words) => {
            let mut shell = Command::new("sh");
            shell.env("XCLOUD", &args.xcloud).env("XTASK", crate::lab::ourselves()?);
            shell.env("TESTS", &args.tests);
            run(shell.args(["-c", words]))?;
        }
        Run::Lab(flags) => return labs(&features.lab, flags, &args.xcloud),
        Run::Encrypted(flags) => return labs(&features.encrypted, flags, &args.xcloud),
    }
    Ok(Vec::new())
}

/// A test that is not there or was skipped shows nothing.
fn ran(name: &str, said: &str) -> Result<()> {
    ensure!(said.contains("1 passed"), "there is no test {name}");
    ensure!(!said.contains("SKIPPED"), "test {name} was skipped");
    Ok(())
}

/// One lab over IPv4 and one over IPv6.
fn labs(common: &Scenario, flags: &[String], xcloud: &Path) -> Result<Vec<String>> {
    let mut wrong = lab(common, flags, xcloud).context("IPv4")?;
    let six = [flags, &["--ipv6".into()]].concat();
    wrong.extend(lab(common, &six, xcloud).context("IPv6")?);
    Ok(wrong)
}

/// A line `verifier PROGRAM COUNT`, which may follow the test's name.
fn counted(line: &str) -> Option<(String, u64)> {
    let (_, rest) = line.split_once("verifier ")?;
    let (program, count) = rest.split_once(' ')?;
    Some((program.into(), count.trim().parse().ok()?))
}

/// Runs to the end and returns what was said; an error tells the last of it.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().context("starting it")?;
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = said.concat();
    eprintln!("{said}");
    if !output.status.success() {
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        bail!(
            "{}: {}",
            output.status,
            lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ")
        );
    }
    Ok(said)
}

const LINES_SHOWN: usize = 6;

fn lab(common: &Scenario, flags: &[String], xcloud: &Path) -> Result<Vec<String>> {
    let own = ["lab", "--name=vm"].map(String::from);
    let mut args = Flags::try_parse_from(own.iter().chain(&common.flags).chain(flags))?.lab;
    args.xcloud = Some(xcloud.to_owned());
    let lab = measure(&args, &Progress::new())?;
    let split = lab.split_json()?;
    eprintln!("{split}");
    let mut wrong = common.judge(&split);
    let which = if args.ipv6 { "IPv6" } else { "IPv4" };
    wrong.iter_mut().for_each(|line| *line = format!("{which}: {line}"));
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_its_flags_understood() {
        let features = Features::read().unwrap();
        for feature in &features.all {
            let (common, flags) = match &feature.run {
                Run::Lab(flags) => (&features.lab, flags),
                Run::Encrypted(flags) => (&features.encrypted, flags),
                _ => continue,
            };
            let own = ["lab".to_owned()];
            let all = own.iter().chain(&common.flags).chain(flags);
            Flags::try_parse_from(all).unwrap();
        }
    }

    #[test]
    fn a_test_that_is_missing_or_skipped_shows_nothing() {
        let passed = "test result: ok. 1 passed; 0 failed";
        assert!(ran("one", passed).is_ok());
        assert!(ran("one", "test result: ok. 0 passed; 0 failed").is_err());
        assert!(ran("one", &format!("SKIPPED: this kernel has no kprobes\n{passed}")).is_err());
    }

    #[test]
    fn verifier_lines_are_found() {
        let line = "test verifier::accepts_every_program ... verifier pod_out 112994";
        assert_eq!(counted(line), Some(("pod_out".into(), 112_994)));
        assert_eq!(counted("test result: ok. 1 passed"), None);
    }
}

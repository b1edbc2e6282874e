//! `cargo xtask run --suite`: a suite of load tests in two modes of the lab by turns, and what may be said about one beside
//! the other.

pub(crate) mod aa;
mod arm;
mod series;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser as _, ValueEnum};

use self::{arm::Arm, series::Series};
use crate::{
    bpf, command,
    lab::{self, args::LabArgs, cni::Cni},
    progress::Progress,
    test::Flags,
};

/// Flags of `run --suite`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Suites")]
pub(crate) struct SuiteArgs {
    /// Make a suite of load tests in two modes and compare them: a name in xtask/suites, or a file
    #[arg(long, value_name = "NAME", requires = "ab")]
    pub(crate) suite: Option<String>,
    /// The two modes, each a value of --cni
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, requires = "suite")]
    ab: Vec<Cni>,
    /// How often each mode is visited
    #[arg(long, default_value_t = 8, requires = "suite")]
    repeats: u32,
    /// How long an idle machine is waited for before a visit
    #[arg(
        long,
        default_value = "1m",
        requires = "suite",
        value_parser = humantime::parse_duration
    )]
    patience: Duration,
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// One page that needs nothing else
    Html,
    /// For issues and wikis
    Markdown,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

impl Report {
    /// The value `xcloud` knows it by, which is also the file's extension.
    fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Makes a suite in two modes, prints the comparison, and where everything was written.
pub(crate) fn run(lab: &LabArgs, args: &SuiteArgs, report: Report) -> Result<()> {
    let name = args.suite.as_deref().context("no --suite")?;
    let modes = <[Cni; 2]>::try_from(args.ab.clone())
        .ok()
        .context("--ab takes two modes, as in masquerade,ebpf")?;
    lab::check(lab)?;
    let stamp = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "");
    let directory = directory(name, &stamp);
    let series = Series {
        lab,
        modes,
        suite: &file(name)?,
        repeats: args.repeats,
        patience: args.patience,
        directory: &directory,
    };
    let made = Made::new(&series, report)?;
    print!("{}", made.comparison);
    println!("A ({}): {}", made.arms[0].label, made.runs[0].display());
    println!("B ({}): {}", made.arms[1].label, made.runs[1].display());
    println!("report: {}", made.report.display());
    Ok(())
}

/// What came of a suite in two modes.
struct Made {
    arms: [Arm; 2],
    runs: [PathBuf; 2],
    comparison: String,
    report: PathBuf,
}

impl Made {
    fn new(series: &Series<'_>, report: Report) -> Result<Self> {
        let mut arms = labels(series.modes).map(|label| Arm::new(&label));
        let progress = Progress::new();
        let runs = series.run(&mut arms, &progress)?;
        progress.done();
        for (arm, run) in arms.iter().zip(&runs) {
            ensure!(run.exists(), "{}: no visit found anything: {:?}", arm.label, arm.lacks().1);
        }
        let xcloud = lab::run::xcloud(series.lab)?;
        let [a, b] = &runs;
        let comparison = compare(&xcloud, a, b, &[])?;
        let path = series.directory.join(format!("report.{}", report.name()));
        let mut tell = Command::new(&xcloud);
        let text = command::output(tell.arg("report").args([a, b]).args(["-o", report.name()]))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { arms, runs, comparison, report: path })
    }
}

fn labels(modes: [Cni; 2]) -> [String; 2] {
    let [a, b] = modes.map(Cni::name);
    if a == b { [format!("{a} A"), format!("{b} B")] } else { [a, b] }
}

/// Where a suite's results go.
fn directory(suite: &str, what: &str) -> PathBuf {
    let name = Path::new(suite).file_stem().unwrap_or_default();
    bpf::target().join("suites").join(name).join(what)
}

/// The file of a suite: the lab's own, if it has one of this name.
fn file(name: &str) -> Result<PathBuf> {
    let own = bpf::root().join(format!("xtask/suites/{name}.toml"));
    let path = if own.exists() { own } else { PathBuf::from(name) };
    ensure!(path.exists(), "--suite {name}: there is no {0} and no xtask/suites/{name}.toml", name);
    path.canonicalize().with_context(|| format!("finding {}", path.display()))
}

/// What `xcloud compare` says. That B is worse is no failure here.
fn compare(xcloud: &Path, a: &Path, b: &Path, flags: &[&str]) -> Result<String> {
    let mut compare = Command::new(xcloud);
    let output = compare.arg("compare").args([a, b]).args(flags).output();
    let output = output.with_context(|| format!("starting {compare:?}"))?;
    if !matches!(output.status.code(), Some(0 | 3)) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{compare:?} failed with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A lab from its flags.
fn lab_args(flags: &[&str]) -> Result<LabArgs> {
    let all = ["lab"].iter().chain(flags);
    Ok(Flags::try_parse_from(all).context("understanding the lab's flags")?.lab)
}

/// Makes a very short suite in two modes; returns what is wrong with what came of it.
pub(crate) fn check(xcloud: &Path) -> Result<Vec<String>> {
    let mut lab = lab_args(&["--name=test"])?;
    lab.xcloud = Some(xcloud.to_owned());
    let directory = directory("smoke", "test");
    // Of an earlier call.
    let _ = fs::remove_dir_all(&directory);
    let series = Series {
        lab: &lab,
        modes: [Cni::Masquerade, Cni::Ebpf],
        suite: &file("smoke")?,
        repeats: 1,
        patience: Duration::ZERO,
        directory: &directory,
    };
    let made = Made::new(&series, Report::Html)?;
    let page = fs::read_to_string(&made.report)?;
    let mut wrong = Vec::new();
    for arm in &made.arms {
        let (trials, lacking) = arm.lacks();
        if trials != SMOKE_TESTS || !lacking.is_empty() {
            wrong.push(format!("{}: {trials} of {SMOKE_TESTS} trials: {lacking:?}", arm.label));
        }
        if !page.contains(&arm.label) {
            wrong.push(format!("the report does not name {}", arm.label));
        }
    }
    for wanted in ["tcp-1", "rr", "</html>"] {
        if !page.contains(wanted) || (wanted != "</html>" && !made.comparison.contains(wanted)) {
            wrong.push(format!("the comparison or the report lacks {wanted}"));
        }
    }
    Ok(wrong)
}

/// Tests of xtask/suites/smoke.toml in one repeat.
const SMOKE_TESTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: PathBuf) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let suite: toml::Value = toml::from_str(&text).unwrap();
        let steps = suite["step"].as_array().unwrap().iter();
        steps.map(|step| step["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_lab_makes_the_published_methods_steps_in_miniature() {
        let built_in = bpf::root().join("xcloud-daemon/suites/crosscloud.toml");
        assert_eq!(steps(file("crosscloud").unwrap()), steps(built_in));
    }

    #[test]
    fn the_same_mode_twice_has_two_names() {
        assert_eq!(labels([Cni::Ebpf, Cni::Ebpf]), ["ebpf A", "ebpf B"]);
        assert_eq!(labels([Cni::Masquerade, Cni::Ebpf]), ["masquerade", "ebpf"]);
    }

    #[test]
    fn a_suite_that_is_nowhere_is_named() {
        let error = file("nowhere").unwrap_err().to_string();
        assert!(error.contains("xtask/suites/nowhere.toml"), "{error}");
    }
}

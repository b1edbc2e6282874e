//! What a suite consists of, as its file says it.

use std::{collections::BTreeSet, fs, io::Read as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::step::{Step, time};
use crate::{loadtest::spec::LONGEST as LONGEST_TIME, usage::usage};

/// Suites that need no file, by name.
const BUILT_IN: [(&str, &str); 1] =
    [("crosscloud", include_str!("../../../suites/crosscloud.toml"))];

/// Longest file read, in bytes.
const LONGEST: u64 = 1 << 20;
/// Most steps, and most states, of a suite.
const MOST: usize = 200;
/// Most repeats of a test.
const MOST_REPEATS: u32 = 1000;

/// A suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// How often each test is made.
    #[serde(default = "five")]
    pub repeats: u32,
    /// Time between a test and the next.
    #[serde(default = "second", deserialize_with = "time")]
    pub pause: Duration,
    /// Between which sites.
    #[serde(default)]
    pub pairs: Pairs,
    /// In which networks.
    #[serde(default = "pods")]
    pub networks: Vec<Network>,
    /// States of the network that everything is measured in; without any, as it is.
    #[serde(default, rename = "state")]
    pub states: Vec<State>,
    /// What is measured.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// Between which sites a test is made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "pairs are \"ordered\" (every site to every other), \"unordered\" (one way only) or a list such as \
                 [[\"aws\", \"gcp/us-central1\"]]"
)]
pub enum Pairs {
    /// Between all that there are.
    Every(Every),
    /// From the first to the second of each, which are clouds, regions, zones or nodes.
    Named(Vec<[String; 2]>),
}

impl Default for Pairs {
    fn default() -> Self {
        Self::Every(Every::Ordered)
    }
}

/// All pairs of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// Each way.
    Ordered,
    /// From the site whose name comes first to the other.
    Unordered,
}

/// The network that both ends of a test are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Pods', so through the CNI.
    Pod,
    /// The nodes' own: the baseline without a CNI.
    Host,
}

/// A state of the network, such as encryption on, or one more cloud joined.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its name, which becomes part of its tests'.
    pub name: String,
    /// Command that brings the network into it, from any other.
    pub enter: Option<String>,
    /// Clouds, regions, zones or nodes that take part; without any, all do.
    #[serde(default)]
    pub sites: Vec<String>,
}

fn five() -> u32 {
    5
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn pods() -> Vec<Network> {
    vec![Network::Pod]
}

impl Suite {
    /// The built-in suite of this name, or the one in this file.
    ///
    /// # Errors
    /// There is none, or it makes no sense.
    pub fn read(name: &str) -> Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text);
        }
        let path = Path::new(name);
        if !path.exists() {
            let known = BUILT_IN.map(|(known, _)| known).join(", ");
            return Err(usage(format!(
                "{name} is no file, and no suite of this name is built in; there is {known}"
            )));
        }
        let mut text = String::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
            .with_context(|| format!("reading {name}"))?;
        if read as u64 > LONGEST {
            bail!("{name} is no suite: it has more than {LONGEST} bytes");
        }
        Self::parse(&text).with_context(|| format!("{name} is no suite"))
    }

    /// A suite from its text.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn parse(text: &str) -> Result<Self> {
        let suite: Self = toml::from_str(text)?;
        suite.check()?;
        Ok(suite)
    }

    /// Keeps only the steps of these names; all, if there is no name.
    ///
    /// # Errors
    /// There is no such step.
    pub fn retain(&mut self, names: &[String]) -> Result<()> {
        let known = |name: &&String| self.steps.iter().any(|step| step.name == **name);
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let steps: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
            let (suite, steps) = (&self.name, steps.join(", "));
            return Err(usage(format!("--step {unknown}: {suite} has the steps {steps}")));
        }
        self.steps.retain(|step| names.is_empty() || names.contains(&step.name));
        Ok(())
    }

    /// Gives a command to the events that have none.
    pub fn fill_events(&mut self, command: Option<&str>) {
        for event in self.steps.iter_mut().filter_map(|step| step.event.as_mut()) {
            if event.command.is_none() {
                event.command = command.map(str::to_owned);
            }
        }
    }

    fn check(&self) -> Result<()> {
        check_name(&self.name).context("name")?;
        ensure!(
            (1..=MOST_REPEATS).contains(&self.repeats),
            "repeats is {}; it may be 1 to {MOST_REPEATS}",
            self.repeats
        );
        ensure!(self.pause <= LONGEST_TIME, "pause may be 24h at most");
        ensure!(!self.steps.is_empty(), "it has no [[step]]");
        ensure!(
            !self.networks.is_empty(),
            "networks is empty; it may be \"pod\", \"host\" or both"
        );
        ensure!(
            self.steps.len().max(self.states.len()) <= MOST,
            "it has more than {MOST} steps or states"
        );
        let mut names = BTreeSet::new();
        for step in &self.steps {
            check_name(&step.name).context("step")?;
            step.check().with_context(|| format!("step {}", step.name))?;
            ensure!(names.insert(&step.name), "step {}: there are two of this name", step.name);
        }
        for state in &self.states {
            check_name(&state.name).context("state")?;
            ensure!(names.insert(&state.name), "state {}: the name is used twice", state.name);
        }
        Ok(())
    }
}

/// Names become parts of others, and of files' names.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let reserved = ["host", ".", ".."].contains(&name);
    ensure!(
        !reserved && (1..=60).contains(&name.len()) && name.chars().all(plain),
        "{name:?} is no name: those have 1 to 60 letters, digits, '-', '_' and '.', and are not \"host\""
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = "name = \"small\"\n[[step]]\nname = \"a\"\nduration = \"1s\"\n\
                         throughput = { streams = 2 }\n";

    #[test]
    fn what_is_not_said_has_a_default() {
        let suite = Suite::parse(SMALL).expect("a suite");
        assert_eq!((suite.repeats, suite.pairs), (5, Pairs::Every(Every::Ordered)));
        assert_eq!(suite.networks, [Network::Pod]);
    }

    #[test]
    fn the_built_in_suites_make_sense() {
        for (name, _) in BUILT_IN {
            assert_eq!(Suite::read(name).expect("a suite").name, name);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            ("", "missing field `name`"),
            ("name = \"a\"\nstep = []", "no [[step]]"),
            (&SMALL.replace("small", "no/name"), "no/name"),
            (&SMALL.replace("\"a\"", "\"host\""), "host"),
            (&format!("repeats = 0\n{SMALL}"), "repeats is 0"),
            (&format!("networks = []\n{SMALL}"), "networks is empty"),
            (&format!("pairs = \"all\"\n{SMALL}"), "\"unordered\" (one way only)"),
            (&format!("{SMALL}{}", SMALL.split_once('\n').expect("lines").1), "two of this name"),
            (&format!("{SMALL}rate = 5\n"), "unknown field `rate`"),
            (&format!("{SMALL}[[state]]\nname = \"a\"\n"), "used twice"),
        ];
        for (text, says) in wrong {
            let error = format!("{:#}", Suite::parse(text).expect_err(text));
            assert!(error.contains(says), "{says} not in {error}");
        }
    }

    #[test]
    fn only_the_steps_asked_for_stay() {
        let mut suite = Suite::parse(&format!(
            "{SMALL}[[step]]\nname = \"b\"\nduration = \"1s\"\nprobes = {{}}\n"
        ))
        .expect("a suite");
        let error = suite.retain(&["c".into()]).expect_err("no such step").to_string();
        assert!(error.contains("a, b"), "{error}");
        suite.retain(&[]).expect("all");
        assert_eq!(suite.steps.len(), 2);
        suite.retain(&["b".into()]).expect("one");
        assert_eq!(suite.steps.len(), 1);
    }

    #[test]
    fn a_suite_that_is_nowhere_is_a_wrong_argument() {
        let error = Suite::read("nowhere").expect_err("none");
        assert!(error.is::<crate::usage::UsageError>() && error.to_string().contains("crosscloud"));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_nothing_else(text in "(name|step|state|=|\\[|\\]|\"|a|\n| |9){0,60}") {
            // Whatever it says, it must not panic.
            let _ = Suite::parse(&text);
        }
    }
}

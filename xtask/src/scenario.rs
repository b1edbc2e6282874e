//! Lab scenarios: files that say what is injected and what the split must then say.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it shows, in a sentence.
    pub(crate) about: String,
    /// Flags of `cargo xtask run`.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// Further flags, each entry making a scenario of its own, played under the name of this one and those flags; all but
    /// the first only with `--all`.
    #[serde(default)]
    pub(crate) variants: Vec<Vec<String>>,
    /// Further flags of the run that the other is compared with; without `change` there is no such run.
    #[serde(default)]
    pub(crate) baseline: Vec<String>,
    /// Further flags of the run that is looked at.
    #[serde(default)]
    pub(crate) change: Vec<String>,
    /// Segments that move from the baseline to the change; all others must not.
    #[serde(default)]
    pub(crate) moves: Vec<Move>,
    /// Segments whose value itself is known.
    #[serde(default)]
    pub(crate) is: Vec<Is>,
    /// How far off that may be, where time runs unevenly; otherwise 50 us and a hundredth.
    #[serde(default, deserialize_with = "some_duration")]
    pub(crate) within: Option<Duration>,
    /// Segments that may move, with the reason why.
    #[serde(default)]
    pub(crate) may_move: Vec<MayMove>,
    /// Whether the wire must have been on time: a run in which this machine was busy elsewhere says nothing, and is
    /// made again. Not for traffic that is meant to be as much as goes.
    #[serde(default = "yes")]
    pub(crate) calm: bool,
    /// Kinds of exchange looked at.
    #[serde(default = "usual_kinds")]
    pub(crate) kinds: Vec<String>,
    /// Where the pods that take part must be seen, other than at their interface on the node.
    #[serde(default)]
    pub(crate) pods: Option<PodsSeen>,
    /// Smallest share of exchanges that must be joined.
    #[serde(default)]
    pub(crate) joined: f64,
    /// Requests a second of `xcloud load rr --aggregator`, whose own split is then looked at instead of everybody's; its
    /// exchanges are the requests.
    #[serde(default)]
    pub(crate) requests: Option<u32>,
    /// Paths that must be there, as `aws>gcp`.
    #[serde(default = "usual_paths")]
    pub(crate) paths: Vec<String>,
}

/// Where pods are seen whose packets go past their interface on the node.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PodsSeen {
    /// In their network namespaces.
    Inside,
    /// At their sockets.
    Sockets,
    /// Not in full: they are left out, and no segment may be shown.
    Hidden,
}

/// A segment that moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    pub(crate) path: String,
    pub(crate) segment: String,
    #[serde(deserialize_with = "duration")]
    pub(crate) by: Duration,
}

/// A segment whose value is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Is {
    pub(crate) path: String,
    pub(crate) segment: String,
    #[serde(deserialize_with = "duration")]
    pub(crate) time: Duration,
}

/// A segment that need not stay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MayMove {
    pub(crate) path: String,
    pub(crate) segment: String,
    pub(crate) kind: String,
    /// Why.
    pub(crate) because: String,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(D::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

fn usual_kinds() -> Vec<String> {
    ["ack", "response"].map(String::from).to_vec()
}

fn usual_paths() -> Vec<String> {
    ["aws>gcp", "gcp>aws"].map(String::from).to_vec()
}

/// Reads all scenarios of a directory, by name.
pub(crate) fn load_all(directory: &Path) -> Result<BTreeMap<String, Scenario>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    let mut all = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let scenario: Scenario =
            toml::from_str(&text).with_context(|| format!("understanding {}", path.display()))?;
        for may in &scenario.may_move {
            ensure!(!may.because.is_empty(), "{}: may_move without a reason", path.display());
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        all.extend(variants(&name, scenario));
    }
    Ok(all)
}

/// Each variant as a scenario; the first keeps the file's name.
fn variants(name: &str, scenario: Scenario) -> Vec<(String, Scenario)> {
    if scenario.variants.is_empty() {
        return vec![(name.to_owned(), scenario)];
    }
    let variant = |(index, more): (usize, &Vec<String>)| {
        let flags = scenario.flags.iter().chain(more).cloned().collect();
        let name =
            if index == 0 { name.to_owned() } else { format!("{name}{VARIANT}{}", more.join(" ")) };
        (name, Scenario { flags, variants: Vec::new(), ..scenario.clone() })
    };
    scenario.variants.iter().enumerate().map(variant).collect()
}

/// Whether a scenario's name is that of a further variant.
pub(crate) fn is_further(name: &str) -> bool {
    name.contains(VARIANT)
}

/// Between a file's name and a variant's flags.
const VARIANT: &str = ": ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        assert!(!load_all(&directory).unwrap().is_empty());
    }
}

//! What a scenario may say. Times are as in "1.5ms" or "1h", true ones by a clock that no agent has.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it shows, in one sentence.
    pub(crate) about: String,
    /// Most observations that may wait.
    #[serde(default = "plenty")]
    pub(crate) join_capacity: usize,
    /// Who takes part.
    pub(crate) agents: Vec<Agent>,
    /// What happens between their pods.
    pub(crate) exchanges: Vec<Exchanges>,
    /// What they send, in the order of arrival.
    pub(crate) batches: Vec<Batch>,
    /// When the aggregator is looked at.
    #[serde(deserialize_with = "time")]
    pub(crate) ends: u64,
    /// What is seen then.
    pub(crate) expect: Expect,
}

const fn plenty() -> usize {
    1000
}

/// An agent, named CLOUD-NODE.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    pub(crate) name: String,
    /// How far its clock is ahead.
    #[serde(default, deserialize_with = "time")]
    pub(crate) clock_ahead: u64,
    /// How much faster than the true clock it runs, in parts per million.
    #[serde(default)]
    pub(crate) clock_ppm: i64,
}

/// Exchanges of one kind of connection, one every millisecond.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchanges {
    pub(crate) name: String,
    /// Agent at the sending pod's node.
    pub(crate) near: String,
    /// Agent at the answering pod's node.
    pub(crate) far: String,
    pub(crate) count: u32,
    /// `ack` and `response` when the answer carries payload; else `ack` alone, or `handshake`.
    #[serde(default = "ack")]
    pub(crate) kinds: Vec<String>,
    /// True time of each segment; those left out take none. The WAN's is split evenly between the directions.
    pub(crate) takes: BTreeMap<String, Time>,
    /// Hooks that were not passed: `near_out`, `near_in`, `far_in`, `far_out`, `near_queue`, `far_queue`.
    #[serde(default)]
    pub(crate) unseen: Vec<String>,
    /// The far node sees another peer than the near pod.
    #[serde(default)]
    pub(crate) nat: bool,
    /// The near node saw the second answer, as the first was lost on its way.
    #[serde(default)]
    pub(crate) first_answer_lost: bool,
    /// The data was sent more than once; this is the copy with this TSval.
    pub(crate) copy: Option<u32>,
    /// First end of sequence; those of different exchanges differ unless told otherwise.
    pub(crate) first_end: Option<u32>,
}

fn ack() -> Vec<String> {
    vec!["ack".into()]
}

/// One batch on its way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// True time of arrival.
    #[serde(deserialize_with = "time")]
    pub(crate) at: u64,
    pub(crate) agent: String,
    /// Exchanges whose end at this agent it carries.
    pub(crate) carries: Vec<String>,
    /// How often it comes.
    #[serde(default = "once")]
    pub(crate) times: u32,
    /// Whether it carries them last to first.
    #[serde(default)]
    pub(crate) reversed: bool,
    /// Whether the agent was killed and started again before it sent this.
    #[serde(default)]
    pub(crate) restarted: bool,
}

const fn once() -> u32 {
    1
}

/// What comes out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Counts of the join; those left out are 0.
    pub(crate) join: BTreeMap<String, u64>,
    /// Every path and kind stored.
    pub(crate) paths: Vec<Path>,
}

/// One path and kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    pub(crate) near: String,
    pub(crate) far: Option<String>,
    pub(crate) kind: String,
    /// Exchanges stored.
    pub(crate) recorded: u64,
    /// Known not to be joined though both nodes had selected them.
    #[serde(default)]
    pub(crate) missed: u64,
    /// Mean of each segment measured, all of them.
    #[serde(default)]
    pub(crate) means: BTreeMap<String, Time>,
    /// How far a mean may be off.
    #[serde(default, deserialize_with = "time")]
    pub(crate) within: u64,
    /// What hooks that were not passed leave unknown.
    #[serde(default, deserialize_with = "time")]
    pub(crate) unknown: u64,
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Time(#[serde(deserialize_with = "time")] pub(crate) u64);

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = humantime::parse_duration(&text).map_err(serde::de::Error::custom)?;
    u64::try_from(time.as_nanos()).map_err(serde::de::Error::custom)
}

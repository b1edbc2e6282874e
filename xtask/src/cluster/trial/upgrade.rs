//! Upgrades: other values over what runs.

use std::{collections::BTreeSet, time::Instant};

use anyhow::Result;

use super::{
    IMAGE, PATIENCE, RELEASE, Trial,
    hooks::{self, Place},
    manifests,
    shop::{self, exchanges, near},
};
use crate::cluster::plan::NODES;

/// Another tag of the image that is installed.
const NEXT: &str = "next";

/// What there is at one time.
#[derive(Debug)]
struct Scene {
    agents: BTreeSet<String>,
    aggregators: BTreeSet<String>,
    programs: BTreeSet<u32>,
    places: Vec<Vec<Place>>,
    /// Exchanges of the shop that are known, and how far back.
    exchanges: u64,
    oldest: String,
}

impl Scene {
    fn now(trial: &Trial) -> Result<Self> {
        let split = shop::joined(trial)?;
        Ok(Self {
            agents: pods(trial, "agent")?,
            aggregators: pods(trial, "aggregator")?,
            programs: hooks::programs()?,
            places: NODES.map(hooks::places).into_iter().collect::<Result<_>>()?,
            exchanges: exchanges(&split, |path| near(path) == "front"),
            oldest: split["oldest_available"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// What is wrong with this as what came after `before`.
    fn judge(&self, before: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.agents.len() != NODES.len() || !self.agents.is_disjoint(&before.agents) {
            wrong.push(format!("the agents are {:?}, after {:?}", self.agents, before.agents));
        }
        let left = hooks::loaded(&before.programs);
        if !left.is_empty() {
            wrong.push(format!("programs {left:?} of the agents before are still loaded"));
        }
        for places in &self.places {
            let twice = places.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]);
            wrong.extend(twice.map(|place| format!("there are two programs at {place:?}")));
        }
        wrong
    }
}

/// Changes the agents' settings, then some that are hot, then the image.
pub(super) fn rolls(trial: &mut Trial) -> Result<Vec<String>> {
    let mut wrong = settings(trial)?;
    wrong.extend(hot_settings(trial)?);
    wrong.extend(image(trial)?);
    Ok(wrong)
}

/// The aggregator is none of what changed, so it goes on with what it has.
fn settings(trial: &mut Trial) -> Result<Vec<String>> {
    let before = Scene::now(trial)?;
    manifests::put(trial, &["agent.config.flush=300ms"])?;
    trial.cluster.until(Instant::now() + PATIENCE, "hooks as before the upgrade", |_| {
        let places: Vec<_> = NODES.map(hooks::places).into_iter().collect::<Result<_>>()?;
        Ok(places == before.places)
    })?;
    let after = Scene::now(trial)?;
    let mut wrong = after.judge(&before);
    if after.aggregators != before.aggregators {
        wrong.push("the aggregator was replaced, though nothing of it changed".into());
    }
    if after.oldest != before.oldest || after.exchanges < before.exchanges {
        wrong.push(format!("the aggregator forgot something: {after:?}, after {before:?}"));
    }
    Ok(wrong)
}

/// Nothing is restarted for what takes effect without.
fn hot_settings(trial: &mut Trial) -> Result<Vec<String>> {
    let pods =
        |trial: &Trial| Ok::<_, anyhow::Error>([pods(trial, "agent")?, pods(trial, "aggregator")?]);
    let before = pods(trial)?;
    manifests::put(trial, &["agent.config.rate=5000", "aggregator.config.retention=2h"])?;
    let after = pods(trial)?;
    let same = after == before;
    Ok((!same).then(|| format!("pods are {after:?}, after {before:?}")).into_iter().collect())
}

/// The aggregator starts anew, and says since when it knows anything.
fn image(trial: &mut Trial) -> Result<Vec<String>> {
    let before = Scene::now(trial)?;
    let name = IMAGE.rsplit_once(':').map_or(IMAGE, |(name, _)| name);
    trial.cluster.tag(IMAGE, &format!("{name}:{NEXT}"))?;
    manifests::put(trial, &[&format!("image.tag={NEXT}")])?;
    let after = Scene::now(trial)?;
    let mut wrong = after.judge(&before);
    if after.oldest <= before.oldest {
        wrong.push(format!("data is said to go back to {}, after {}", after.oldest, before.oldest));
    }
    Ok(wrong)
}

/// Names of the release's pods that are of this component and not ending.
fn pods(trial: &Trial, component: &str) -> Result<BTreeSet<String>> {
    let label = format!("app.kubernetes.io/component={component}");
    let pods = trial.cluster.get(&["pods", "-n", RELEASE, "-l", &label])?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let staying = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(staying.filter_map(|pod| pod["metadata"]["name"].as_str()).map(String::from).collect())
}

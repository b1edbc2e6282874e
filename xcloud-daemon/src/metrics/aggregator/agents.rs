//! Agents, as the aggregator sees them.

use std::collections::BTreeMap;

use super::super::{Sample, Sink, Value, family, family::Family, write};
use crate::measure::{
    ledger::Agent,
    state::State,
    tier::{Labels, SITE_LABELS, Tier},
    workload::Workload,
};

/// What is known of all agents.
#[derive(Debug)]
pub(super) struct Known {
    connected: u64,
    gone: u64,
    /// By site: two agents may say that they are at the same.
    places: BTreeMap<Labels, Place>,
}

/// Agents at one place.
#[derive(Debug, Default)]
struct Place {
    connected: bool,
    last_batch_ns: Option<u64>,
    sampled: Option<f64>,
    emitted: u64,
    lost: u64,
}

impl Place {
    fn add(&mut self, agent: &Agent) {
        let account = agent.account();
        self.connected |= agent.connected;
        self.last_batch_ns = self.last_batch_ns.max(agent.last_batch_ns);
        let share = 0.5f64.powi(agent.shift.into());
        // Of several the smallest share: what is said to be seen is.
        self.sampled = Some(self.sampled.map_or(share, |other| other.min(share)));
        self.emitted += account.emitted;
        self.lost += account.lost();
    }
}

impl Known {
    /// Takes it down.
    pub(super) fn read(state: &State) -> Self {
        let most = state.store().cumulative().map_or(0, |sums| sums.limits().most);
        let mut known = Self { connected: 0, gone: 0, places: BTreeMap::new() };
        let shown = Tier::Node.shown();
        for agent in state.agents() {
            *(if agent.connected { &mut known.connected } else { &mut known.gone }) += 1;
            let site = state.store().site(agent.identity.site);
            let own = shown.labels(site, &Workload::default());
            let full = known.places.len() >= most && !known.places.contains_key(&own);
            let place = if full { shown.all("other") } else { own };
            known.places.entry(place).or_default().add(agent);
        }
        known
    }

    /// Tells it.
    pub(super) fn tell(&self, sink: &mut dyn Sink) {
        let states: [(&[&str], _); 2] = [
            (&["connected"], Value::Count(self.connected)),
            (&["disconnected"], Value::Count(self.gone)),
        ];
        write(sink, &family::AGENTS, &states);
        self.each(sink, &family::AGENT_CONNECTED, |it| Some(Value::Count(it.connected.into())));
        self.each(sink, &family::AGENT_LAST_BATCH, |it| {
            it.last_batch_ns.map(|ns| Value::Number(ns as f64 / 1e9))
        });
        self.each(sink, &family::AGENT_SAMPLED, |it| it.sampled.map(Value::Number));
        self.each(sink, &family::AGENT_EMITTED, |it| Some(Value::Count(it.emitted)));
        self.each(sink, &family::AGENT_LOST, |it| Some(Value::Count(it.lost)));
    }

    fn each(
        &self,
        sink: &mut dyn Sink,
        family: &'static Family,
        value: impl Fn(&Place) -> Option<Value<'static>>,
    ) {
        sink.family(family);
        for (labels, place) in &self.places {
            let labels: Vec<_> = labels[..SITE_LABELS].iter().map(AsRef::as_ref).collect();
            if let Some(value) = value(place) {
                sink.sample(Sample { labels: &labels, since_ns: 0, value });
            }
        }
    }
}

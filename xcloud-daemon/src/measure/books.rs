//! Where outcomes of the join are written down: in the store, in the agents' accounts, and in what is known of who
//! sees the other end of a connection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use xcloud_common::identity::{hash, selected};

use super::{
    AgentId, Observation, Site,
    join::Outcome,
    ledger::Agent,
    places::Places,
    split::Split,
    store::{Path, SiteId, Store},
    workload::Workload,
};

/// Most pairs of an agent and an address whose node was learnt.
const MAX_PEERS: usize = 1 << 16;

/// A joined exchange, as it happens.
#[derive(Debug)]
pub struct Joined<'a> {
    /// The end of the node that sent.
    pub near: &'a Observation,
    /// The end of the node that answered.
    pub far: &'a Observation,
    /// Where it was sent.
    pub near_site: &'a Arc<Site>,
    /// Where it was answered.
    pub far_site: &'a Arc<Site>,
    /// Whose pod sent it.
    pub near_workload: &'a Arc<Workload>,
    /// Whose pod answered it.
    pub far_workload: &'a Arc<Workload>,
    /// What its time was made of.
    pub split: &'a Split,
}

/// Which agent sees the other end of a connection to an address, as earlier joins showed.
pub(super) type Peers = HashMap<(AgentId, [u32; 4]), AgentId>;

/// The books, open.
#[derive(Debug)]
pub(super) struct Books<'a> {
    pub(super) store: &'a mut Store,
    pub(super) agents: &'a mut BTreeMap<AgentId, Agent>,
    pub(super) peers: &'a mut Peers,
    pub(super) places: &'a mut Places,
}

impl Books<'_> {
    pub(super) fn enter(&mut self, outcome: &Outcome, watch: &mut impl FnMut(&Joined<'_>)) {
        match outcome {
            Outcome::Joined { near, far } => self.joined(near, far, watch),
            Outcome::OtherAnswer { near, far } => {
                self.lost(near);
                self.lost(far);
                if let Some(path) = self.path(near, far) {
                    self.store.count(near.ended_ns, path, |counts| counts.other_answer += 1);
                }
            }
            Outcome::Alone(alone) => {
                self.lost(alone);
                if alone.is_far() { self.far_alone(alone) } else { self.near_alone(alone) }
            }
            Outcome::Ambiguous(one) | Outcome::TableFull(one) => self.lost(one),
        }
    }

    fn lost(&mut self, observation: &Observation) {
        if let Some(agent) = self.agents.get_mut(&observation.agent) {
            agent.fates.waiting -= 1;
            agent.fates.join += 1;
        }
    }

    fn path(&self, near: &Observation, far: &Observation) -> Option<Path> {
        let site = |agent: AgentId| Some(self.agents.get(&agent)?.identity.site);
        Some(Path {
            near_workload: near.workload,
            far_workload: far.workload,
            ..Path::new(site(near.agent)?, Some(site(far.agent)?), near.kind)
        })
    }

    fn joined(
        &mut self,
        near: &Observation,
        far: &Observation,
        watch: &mut impl FnMut(&Joined<'_>),
    ) {
        let split = Split::joined(&near.sample, &far.sample);
        let shift = near.sample.shift.max(far.sample.shift);
        // Agents with waiting observations are never forgotten, so there is a path.
        let Some(path) = self.path(near, far) else { return };
        let kept = self.store.record(near.ended_ns, path, &split, shift);
        for end in [near, far] {
            if let Some(agent) = self.agents.get_mut(&end.agent) {
                agent.fates.waiting -= 1;
                *(if kept { &mut agent.fates.delivered } else { &mut agent.fates.store }) += 1;
            }
        }
        self.learn(near, far);
        let (near_site, far_site) =
            (self.store.site(path.near), self.store.site(path.far.unwrap_or(path.near)));
        let near_workload = self.store.workloads.get(near.workload);
        let far_workload = self.store.workloads.get(far.workload);
        watch(&Joined {
            near,
            far,
            near_site,
            far_site,
            near_workload,
            far_workload,
            split: &split,
        });
    }

    fn learn(&mut self, near: &Observation, far: &Observation) {
        if self.peers.len() > MAX_PEERS {
            self.peers.clear();
        }
        self.peers.insert((near.agent, near.sample.tuple.remote), far.agent);
        self.peers.insert((far.agent, far.sample.tuple.remote), near.agent);
        self.places.met(near.agent, far.agent);
    }

    /// The agent that should have seen the other end, if earlier joins showed which and it is there.
    fn peer(&self, alone: &Observation) -> Option<&Agent> {
        let peer = self.peers.get(&(alone.agent, alone.sample.tuple.remote))?;
        self.agents.get(peer).filter(|agent| agent.connected)
    }

    fn near_alone(&mut self, near: &Observation) {
        let Some(agent) = self.agents.get(&near.agent) else { return };
        let mut path = Path {
            near_workload: near.workload,
            ..Path::new(agent.identity.site, None, near.kind)
        };
        if let Some(peer) = self.peer(near) {
            path.far = Some(peer.identity.site);
            let there = selected(hash(near.sample.end_seq), peer.shift.into());
            self.store.count(near.ended_ns, path, |counts| {
                *(if there { &mut counts.near_alone } else { &mut counts.thinned }) += 1;
            });
        } else {
            // It is counted as lost to the join either way, so what the store refuses loses nothing more.
            path.toward = self.toward(near);
            let split = Split::near_alone(&near.sample);
            let _ = self.store.record(near.ended_ns, path, &split, near.sample.shift);
        }
    }

    /// Where data went that no far node saw: the operator's word counts most, then an agent's, then a provider's.
    fn toward(&self, near: &Observation) -> Option<SiteId> {
        let address = near.sample.tuple.remote;
        let by_agent = || {
            let agent = self.places.by_agent(near.agent, address)?;
            Some(self.agents.get(&agent)?.identity.site)
        };
        let by_table = self.places.by_table(address);
        by_table.or_else(by_agent).or_else(|| self.places.by_ranges(address))
    }

    fn far_alone(&mut self, far: &Observation) {
        let Some((agent, peer)) = self.agents.get(&far.agent).zip(self.peer(far)) else { return };
        if selected(hash(far.sample.end_seq), peer.shift.into()) {
            let path = Path {
                far_workload: far.workload,
                ..Path::new(peer.identity.site, Some(agent.identity.site), far.kind)
            };
            self.store.count(far.ended_ns, path, |counts| counts.far_alone += 1);
        }
    }
}

//! The aggregator's whole memory: agents, waiting observations and stored exchanges, all in step.

use std::collections::{BTreeMap, HashMap};

use xcloud_common::sample::Sample;

use super::{
    AgentId, Kind, Observation, Site,
    account::{Account, MAX_COUNT, Totals},
    books::{Books, Joined, Peers},
    join::{self, Join},
    ledger::{Agent, BootId, Identity, PodView, Turn},
    places::{Address, Places},
    store::{self, Store},
    workload::{UNKNOWN, Workload},
};

/// How far an agent's stamp may lie after the batch that carries it was sent, in nanoseconds: nothing should, but
/// that is no reason to lose a batch to rounding.
const FUTURE_NS: u64 = 1_000_000_000;

/// What the aggregator may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Waiting observations.
    pub join: join::Limits,
    /// Stored exchanges.
    pub store: store::Limits,
    /// Most agents known at once.
    pub max_agents: usize,
}

/// What opens an agent's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The agent's name.
    pub name: String,
    /// This life of it.
    pub boot: BootId,
    /// Where it runs.
    pub site: Site,
    /// Its version.
    pub version: String,
    /// Its node's kernel release.
    pub kernel_release: String,
    /// Hooks in force.
    pub hooks: Vec<String>,
    /// Sequence of the first batch to come.
    pub first_sequence: u64,
    /// Final totals of its life before.
    pub predecessor: Option<(BootId, Totals)>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Counts from 1 in each life of the agent.
    pub sequence: u64,
    /// The agent's clock when it sent this.
    pub sent_monotonic_ns: u64,
    /// Observations sent before, given up ones left out.
    pub sent_before: u64,
    /// Totals up to and with this batch.
    pub totals: Totals,
    /// The observations; a sample of two kinds counts for two.
    pub samples: Vec<Sample>,
    /// Whose their pods are.
    pub names: Names,
}

/// Whose the pods of a batch's samples are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The names.
    pub workloads: Vec<Workload>,
    /// For each sample the index of its name plus one, or 0; empty when none is known.
    pub of_samples: Vec<u32>,
}

/// An open stream of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Whose it is.
    pub agent: AgentId,
    number: u64,
}

/// Why something was refused: a sentence, and what the sender can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong and will be when it comes again.
    Invalid(String),
    /// It is not its turn; a new stream sets that right.
    OutOfTurn(String),
    /// A newer stream of this agent, or a newer life, has taken over.
    Superseded(String),
    /// No room.
    Full(String),
    /// Somebody else has its name just now.
    Taken(String),
}

/// The memory. All times given to it are of one clock that never goes back, in nanoseconds since 1970.
#[derive(Debug)]
pub struct State {
    max_agents: usize,
    join: Join,
    store: Store,
    agents: BTreeMap<AgentId, Agent>,
    names: HashMap<String, AgentId>,
    next_agent: AgentId,
    next_stream: u64,
    /// Accounts of agents forgotten to make room.
    departed: Account,
    /// The last of them, until somebody asks.
    forgotten: Option<AgentId>,
    peers: Peers,
    places: Places,
    refused: u64,
    unnamed: u64,
}

impl State {
    /// An empty memory.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            max_agents: limits.max_agents,
            join: Join::new(limits.join),
            store: Store::new(limits.store),
            agents: BTreeMap::new(),
            names: HashMap::new(),
            next_agent: 0,
            next_stream: 0,
            departed: Account::default(),
            forgotten: None,
            peers: Peers::new(),
            places: Places::default(),
            refused: 0,
            unnamed: 0,
        }
    }

    /// Holds as much from now on; the width of an interval stays.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.max_agents = limits.max_agents;
        self.join.set_limits(limits.join);
        self.store.set_limits(limits.store);
    }

    /// Opens a stream; an older one of the same agent counts no more. Also returns the highest sequence that needs not
    /// be sent.
    ///
    /// # Errors
    /// The opening is refused; nothing has changed.
    pub fn open(&mut self, now_ns: u64, opening: Opening) -> Result<(Stream, u64), Refusal> {
        if !(1..=MAX_COUNT).contains(&opening.first_sequence) {
            return Err(Refusal::Invalid(format!("first_sequence is not in 1..={MAX_COUNT}")));
        }
        self.make_site_room(&opening.site)?;
        let known = self.named(&opening.name);
        if known.is_none() && self.agents.len() >= self.max_agents {
            self.make_room(now_ns)?;
        }
        let identity = Identity {
            version: opening.version,
            kernel_release: opening.kernel_release,
            hooks: opening.hooks,
            pods: Vec::new(),
            site: self.store.site_id(&opening.site),
        };
        let id = known.unwrap_or(self.next_agent);
        if let Some(agent) = self.agents.get_mut(&id) {
            agent
                .reopen(opening.boot, opening.first_sequence, opening.predecessor)
                .map_err(Refusal::Superseded)?;
            agent.identity = identity;
        } else {
            let agent =
                Agent::new(opening.name.clone(), identity, opening.boot, opening.first_sequence);
            self.agents.insert(id, agent);
            self.names.insert(opening.name, id);
            self.next_agent += 1;
        }
        let agent = self.agents.get_mut(&id).expect("found or made above");
        self.next_stream += 1;
        (agent.stream, agent.connected) = (self.next_stream, true);
        Ok((Stream { agent: id, number: self.next_stream }, agent.acked()))
    }

    /// The agent of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<AgentId> {
        self.names.get(name).copied()
    }

    /// The agent that was forgotten for the last opening, if one was; told once.
    pub const fn take_forgotten(&mut self) -> Option<AgentId> {
        self.forgotten.take()
    }

    /// Forgets one agent that has long been silent, but for its account.
    fn make_room(&mut self, now_ns: u64) -> Result<(), Refusal> {
        let silent_since = now_ns.saturating_sub(self.store.retention_ns());
        let idle = |agent: &Agent| {
            !agent.connected
                && agent.fates.waiting == 0
                && agent.last_batch_ns.unwrap_or(0) <= silent_since
        };
        let Some(id) = self.agents.iter().find(|(_, agent)| idle(agent)).map(|(id, _)| *id) else {
            return Err(Refusal::Full(format!(
                "{} agents are known already, no more fit",
                self.agents.len()
            )));
        };
        if let Some(agent) = self.agents.remove(&id) {
            self.names.remove(&agent.name);
            self.places.forget(id);
            self.departed.add(&agent.account());
            self.forgotten = Some(id);
        }
        Ok(())
    }

    /// Closes a stream.
    pub fn close(&mut self, stream: &Stream) {
        if let Some(agent) = self.current(stream) {
            agent.connected = false;
        }
    }

    /// Takes in what an agent's hooks see now.
    pub fn tell(
        &mut self,
        stream: &Stream,
        hooks: Vec<String>,
        pods: Vec<PodView>,
        addresses: Vec<Address>,
    ) {
        if let Some(agent) = self.current(stream) {
            (agent.identity.hooks, agent.identity.pods) = (hooks, pods);
            self.places.tell(stream.agent, addresses);
        }
    }

    fn current(&mut self, stream: &Stream) -> Option<&mut Agent> {
        self.agents.get_mut(&stream.agent).filter(|agent| agent.stream == stream.number)
    }

    /// Takes a batch, once. Returns the highest sequence merged. Exchanges that it completes go to `watch`.
    ///
    /// # Errors
    /// The batch is refused whole; nothing of it was merged.
    pub fn take(
        &mut self,
        now_ns: u64,
        stream: &Stream,
        batch: &Batch,
        watch: &mut impl FnMut(&Joined<'_>),
    ) -> Result<u64, Refusal> {
        let retention_ns = self.store.retention_ns();
        let Some(agent) = self.current(stream) else {
            return Err(Refusal::Superseded("a newer stream of this agent has taken over".into()));
        };
        if agent.turn(batch.sequence).map_err(Refusal::OutOfTurn)? == Turn::Again {
            agent.duplicates += 1;
            return Ok(agent.acked());
        }
        check_times(batch, retention_ns).map_err(Refusal::Invalid)?;
        let observations = batch.samples.iter().map(Sample::observations).sum();
        agent.check(batch.sent_before, observations, &batch.totals).map_err(Refusal::Invalid)?;
        agent.merged(batch.sent_before, observations, &batch.totals, now_ns);
        agent.shift = batch.samples.last().map_or(agent.shift, |sample| sample.shift);
        let acked = agent.acked();
        self.observe(now_ns, stream.agent, batch, watch);
        Ok(acked)
    }

    fn observe(
        &mut self,
        now_ns: u64,
        agent: AgentId,
        batch: &Batch,
        watch: &mut impl FnMut(&Joined<'_>),
    ) {
        let workloads = &mut self.store.workloads;
        let ids: Vec<_> =
            batch.names.workloads.iter().map(|full| workloads.id(now_ns, full)).collect();
        let Self { join, store, agents, peers, places, unnamed, .. } = self;
        let mut books = Books { store, agents, peers, places };
        for (at, sample) in batch.samples.iter().enumerate() {
            let named = batch.names.of_samples.get(at).map_or(0, |index| *index as usize);
            let workload = named.checked_sub(1).map_or(Some(UNKNOWN), |index| *ids.get(index)?);
            if workload.is_none() {
                *unnamed += sample.observations();
            }
            let workload = workload.unwrap_or(UNKNOWN);
            let age_ns = batch.sent_monotonic_ns.saturating_sub(sample.last_ns);
            let ended_ns = now_ns.saturating_sub(age_ns);
            for kind in Kind::of(sample) {
                let observation = Observation { agent, kind, sample: *sample, workload, ended_ns };
                join.add(now_ns, observation, &mut |outcome| books.enter(&outcome, watch));
            }
        }
    }

    /// Gives up what has waited long enough and forgets what is too old; to be called every second or so.
    pub fn tick(&mut self, now_ns: u64) {
        let Self { join, store, agents, peers, places, .. } = self;
        let mut books = Books { store, agents, peers, places };
        join.expire(now_ns, &mut |outcome| books.enter(&outcome, &mut |_| {}));
        self.store.rotate(now_ns);
    }

    /// Counts a batch or a stream that was refused, a status or a stage profile that was passed over.
    pub fn count_refused(&mut self) {
        self.refused += 1;
    }

    /// How many that were.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Observations whose workload's name found no room.
    #[must_use]
    pub const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Where all agents' observations went.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut account = self.departed;
        for agent in self.agents.values() {
            account.add(&agent.account());
        }
        account
    }

    /// The agents, by name.
    #[must_use]
    pub fn agents(&self) -> Vec<&Agent> {
        let mut agents: Vec<_> = self.agents.values().collect();
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        agents
    }

    /// One of them.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.get(&id)
    }

    /// Which agent sees the other end of an agent's connections to an address, as joins showed.
    #[must_use]
    pub fn peer(&self, of: (AgentId, [u32; 4])) -> Option<AgentId> {
        self.peers.get(&of).copied()
    }

    /// All of these: an agent, an address and the agent there.
    pub fn peers(&self) -> impl Iterator<Item = (AgentId, [u32; 4], AgentId)> {
        self.peers.iter().map(|((near, address), far)| (*near, *address, *far))
    }

    /// What the join may hold.
    #[must_use]
    pub const fn join_limits(&self) -> &join::Limits {
        self.join.limits()
    }

    /// What the join counted.
    #[must_use]
    pub const fn join_counts(&self) -> &join::Counts {
        self.join.counts()
    }

    /// Also sums what comes from now on since the start.
    pub fn keep_cumulative(&mut self, limits: super::cumulative::Limits) {
        self.store.keep_cumulative(limits);
    }

    /// The exchanges kept.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

/// Stamps must lie neither after the batch was sent nor before what is kept.
fn check_times(batch: &Batch, retention_ns: u64) -> Result<(), String> {
    for (index, sample) in batch.samples.iter().enumerate() {
        let (sent, last) = (batch.sent_monotonic_ns, sample.last_ns);
        if last > sent.saturating_add(FUTURE_NS) {
            return Err(format!(
                "sample {index} ends {} ns after sent_monotonic_ns, in the future",
                last - sent
            ));
        }
        if sent.saturating_sub(last) > retention_ns {
            return Err(format!(
                "sample {index} is {} s old, beyond the {} s that are kept",
                (sent - last) / 1_000_000_000,
                retention_ns / 1_000_000_000
            ));
        }
    }
    Ok(())
}

mod sites;
#[cfg(test)]
mod tests;

//! Holds every agent to account: what its kernel emitted, what arrived here, what was lost and where.
//!
//! For every agent and for all together, at every moment, in observations:
//! `emitted = delivered + lost + pending + earlier`. A batch is taken exactly once, in sequence, or not at all.

use std::collections::VecDeque;

use super::{
    account::{Account, Fates, MAX_COUNT, Totals},
    store::SiteId,
};

/// Ended lives of an agent that are remembered, so that none comes back and is counted again.
const ENDED_BOOTS: usize = 16;

/// Identity of one life of an agent.
pub type BootId = [u8; 16];

/// What an agent says of itself when it opens a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its version.
    pub version: String,
    /// Its node's kernel release.
    pub kernel_release: String,
    /// Hooks in force.
    pub hooks: Vec<String>,
    /// Pods seen elsewhere than at their interface on the node, or not in full.
    pub pods: Vec<PodView>,
    /// Where it runs.
    pub site: SiteId,
}

/// A pod whose packets are not seen at its interface on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// That interface.
    pub interface: String,
    /// Where they are seen instead.
    pub place: PodPlace,
    /// Why.
    pub why: String,
}

/// Where a pod's packets are seen, if not at its interface on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPlace {
    /// At its own interface, in its network namespace.
    Inside,
    /// At its TCP sockets.
    Sockets,
    /// Not in full, so nothing of it is reported.
    Hidden,
}

/// One life of an agent.
#[derive(Clone, Debug)]
struct Boot {
    id: BootId,
    /// Highest sequence taken, or given up by the agent.
    last_sequence: u64,
    /// A stream began with a jump in the sequence, or the life is new: `sent_before` of the next batch says how much
    /// went to another aggregator.
    jumped: bool,
    merged: u64,
    earlier: u64,
    totals: Totals,
}

/// One agent, through all its lives.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it last said of itself.
    pub identity: Identity,
    /// Which of its streams counts; a new one takes over from the one before.
    pub stream: u64,
    /// Whether that stream is open.
    pub connected: bool,
    /// When the last batch was merged, in nanoseconds since 1970.
    pub last_batch_ns: Option<u64>,
    /// Last sampling shift seen.
    pub shift: u8,
    /// Batches merged from this boot.
    pub batches: u64,
    /// Batches that came again.
    pub duplicates: u64,
    /// What became of what arrived, in all its lives.
    pub fates: Fates,
    boot: Boot,
    /// Ids of lives that ended.
    ended: VecDeque<BootId>,
    /// Sum over those lives, but for the fates.
    past: Account,
}

/// Whether a batch is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the next one.
    Next,
    /// It was merged before.
    Again,
}

impl Agent {
    /// An agent that was not known before.
    #[must_use]
    pub fn new(name: String, identity: Identity, boot: BootId, first_sequence: u64) -> Self {
        Self {
            name,
            identity,
            stream: 0,
            connected: false,
            last_batch_ns: None,
            shift: 0,
            batches: 0,
            duplicates: 0,
            fates: Fates::default(),
            boot: Boot::new(boot, first_sequence),
            ended: VecDeque::new(),
            past: Account::default(),
        }
    }

    /// Takes a new stream's opening: the same life goes on, or a new one begins and the last is closed, by its final
    /// totals if those are known.
    ///
    /// # Errors
    /// The life had ended before.
    pub fn reopen(
        &mut self,
        boot: BootId,
        first_sequence: u64,
        predecessor: Option<(BootId, Totals)>,
    ) -> Result<(), String> {
        if self.boot.id == boot {
            if first_sequence > self.boot.last_sequence + 1 {
                self.boot.last_sequence = first_sequence - 1;
                self.boot.jumped = true;
            }
            return Ok(());
        }
        if self.ended.contains(&boot) {
            return Err(format!(
                "agent {:?} has started again since: two agents may have this name",
                self.name
            ));
        }
        let last = predecessor.filter(|(id, _)| *id == self.boot.id).map(|(_, totals)| totals);
        self.past.add(&self.boot.closed(last));
        if self.ended.len() == ENDED_BOOTS {
            self.ended.pop_front();
        }
        self.ended.push_back(self.boot.id);
        self.boot = Boot::new(boot, first_sequence);
        self.batches = 0;
        self.duplicates = 0;
        Ok(())
    }

    /// Highest sequence of this life that needs not be sent again.
    #[must_use]
    pub const fn acked(&self) -> u64 {
        self.boot.last_sequence
    }

    /// Exchanges opened in this life.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.boot.totals.opened
    }

    /// Whether a batch of this sequence is to be merged.
    ///
    /// # Errors
    /// It is not the next.
    pub fn turn(&self, sequence: u64) -> Result<Turn, String> {
        let next = self.boot.last_sequence + 1;
        match sequence {
            0 => Err("sequence counts from 1".into()),
            _ if sequence < next => Ok(Turn::Again),
            _ if sequence == next => Ok(Turn::Next),
            _ => Err(format!("sequence {sequence} came where {next} is next")),
        }
    }

    /// Checks the next batch's totals.
    ///
    /// # Errors
    /// They contradict themselves or what was merged.
    pub fn check(
        &self,
        sent_before: u64,
        observations: u64,
        totals: &Totals,
    ) -> Result<(), String> {
        if !totals.is_sane() || sent_before > MAX_COUNT {
            return Err(format!("totals or sent_before count beyond {MAX_COUNT}"));
        }
        if totals.arrived() != Some(sent_before + observations) {
            return Err("totals do not add up: emitted must be sent_before, this batch, lost.ring, lost.queue and \
                        pending together"
                .into());
        }
        let earlier = sent_before.checked_sub(self.boot.merged);
        let known = if self.boot.jumped {
            earlier.is_some_and(|earlier| earlier >= self.boot.earlier)
        } else {
            earlier == Some(self.boot.earlier)
        };
        if !known {
            return Err(format!(
                "sent_before is {sent_before} where {} observations were merged",
                self.boot.earlier + self.boot.merged
            ));
        }
        Ok(())
    }

    /// Counts the next batch as merged; it was checked.
    pub fn merged(&mut self, sent_before: u64, observations: u64, totals: &Totals, now_ns: u64) {
        let boot = &mut self.boot;
        boot.last_sequence += 1;
        boot.earlier = sent_before.saturating_sub(boot.merged);
        boot.jumped = false;
        boot.merged += observations;
        boot.totals = *totals;
        self.batches += 1;
        self.last_batch_ns = Some(now_ns);
        self.fates.waiting += observations;
    }

    /// Where this agent's observations went.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut account = self.past;
        account.add(&self.boot.open());
        account.delivered = self.fates.delivered;
        account.join = self.fates.join;
        account.store = self.fates.store;
        account.pending += self.fates.waiting;
        account
    }
}

impl Boot {
    fn new(id: BootId, first_sequence: u64) -> Self {
        Self {
            id,
            last_sequence: first_sequence.saturating_sub(1),
            jumped: true,
            merged: 0,
            earlier: 0,
            totals: Totals::default(),
        }
    }

    /// Its account as it goes on.
    fn open(&self) -> Account {
        Account {
            emitted: self.totals.completed(),
            ring: self.totals.ring,
            slot: self.totals.slot,
            retransmit: self.totals.retransmit,
            queue: self.totals.queue,
            hidden: self.totals.hidden,
            pending: self.totals.pending,
            earlier: self.earlier,
            ..Account::default()
        }
    }

    /// Its account when it is over: what was still to come died with it. What its kernel counted last is known when
    /// `last` is; a claim that contradicts what arrived is passed over.
    fn closed(&self, last: Option<Totals>) -> Account {
        let arrived = self.earlier + self.merged;
        let last = last.filter(Totals::is_sane).map(|last| last.without_told(&self.totals));
        let grown = last.map(|last| self.totals.grown_to(&last));
        let gone = |totals: &Totals| totals.emitted.checked_sub(totals.ring + totals.queue);
        let totals = grown.filter(|totals| gone(totals) >= Some(arrived)).unwrap_or(self.totals);
        let open = Self { totals, ..self.clone() }.open();
        let died = gone(&totals).unwrap_or(arrived) - arrived;
        Account { agent: died, pending: 0, ..open }
    }
}

#[cfg(test)]
mod tests;

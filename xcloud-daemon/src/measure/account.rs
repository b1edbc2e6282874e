//! Counts of observations, and the sum they must make.

/// Highest count an agent may claim, so that sums over all agents cannot overflow: three years at 3 million a second.
pub const MAX_COUNT: u64 = 1 << 48;

/// Cumulative counts of one life of an agent, in observations but for `opened` and `unanswered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges opened in a slot.
    pub opened: u64,
    /// The last hook was seen.
    pub emitted: u64,
    /// Lost: the ring was full.
    pub ring: u64,
    /// Lost before the last hook: slot taken over or torn.
    pub slot: u64,
    /// Lost before the last hook: sent more than once.
    pub retransmit: u64,
    /// Lost: the agent's queue was full, or the aggregator refused it.
    pub queue: u64,
    /// In the ring or the agent's queue.
    pub pending: u64,
    /// Exchanges that nothing answered exactly.
    pub unanswered: u64,
    /// Lost: of pods that are not seen in full.
    pub hidden: u64,
}

impl Totals {
    fn fields(&self) -> [u64; 9] {
        [
            self.opened,
            self.emitted,
            self.ring,
            self.slot,
            self.retransmit,
            self.queue,
            self.pending,
            self.unanswered,
            self.hidden,
        ]
    }

    /// Whether no count is beyond [`MAX_COUNT`].
    pub(super) fn is_sane(&self) -> bool {
        self.fields().iter().all(|count| *count <= MAX_COUNT)
    }

    /// The later of two readings, count by count: who reads them after a kill may not know all of them.
    pub(super) fn grown_to(&self, later: &Self) -> Self {
        Self {
            opened: self.opened.max(later.opened),
            emitted: self.emitted.max(later.emitted),
            ring: self.ring.max(later.ring),
            slot: self.slot.max(later.slot),
            retransmit: self.retransmit.max(later.retransmit),
            queue: self.queue.max(later.queue),
            pending: 0,
            unanswered: self.unanswered.max(later.unanswered),
            hidden: self.hidden.max(later.hidden),
        }
    }

    /// Final totals as the kernel's counters have them after a kill: those still count among the emitted what the agent
    /// had found torn or left out. What it told of that is taken out, so that it counts once.
    pub(super) fn without_told(&self, told: &Self) -> Self {
        let hidden = told.hidden.saturating_sub(self.hidden);
        let torn = told.slot.saturating_sub(self.slot);
        Self { emitted: self.emitted.saturating_sub(hidden + torn), ..*self }
    }

    /// Completed or given up by the kernel.
    pub(super) const fn completed(&self) -> u64 {
        self.emitted + self.slot + self.retransmit + self.hidden
    }

    /// What must have arrived at some aggregator by these totals; `None` when they contradict themselves.
    pub(super) fn arrived(&self) -> Option<u64> {
        self.emitted.checked_sub(self.ring + self.queue + self.pending)
    }
}

/// Where an agent's, or all agents', observations went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Completed or given up by the kernel.
    pub emitted: u64,
    /// Became part of an answer.
    pub delivered: u64,
    /// Lost: the ring was full.
    pub ring: u64,
    /// Lost: slot taken over or torn.
    pub slot: u64,
    /// Lost: sent more than once.
    pub retransmit: u64,
    /// Lost: the agent's queue was full, or the aggregator refused it.
    pub queue: u64,
    /// Lost: not joined.
    pub join: u64,
    /// Lost: the aggregator's store had no room, for its path or for anything.
    pub store: u64,
    /// Lost: of pods that are not seen in full.
    pub hidden: u64,
    /// Lost: died with an agent.
    pub agent: u64,
    /// In a ring, a queue, or waiting for the other end.
    pub pending: u64,
    /// Delivered to another life of the aggregator.
    pub earlier: u64,
}

impl Account {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.emitted += other.emitted;
        self.delivered += other.delivered;
        self.ring += other.ring;
        self.slot += other.slot;
        self.retransmit += other.retransmit;
        self.queue += other.queue;
        self.join += other.join;
        self.store += other.store;
        self.hidden += other.hidden;
        self.agent += other.agent;
        self.pending += other.pending;
        self.earlier += other.earlier;
    }

    /// Sum of all losses.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.ring
            + self.slot
            + self.retransmit
            + self.queue
            + self.join
            + self.store
            + self.hidden
            + self.agent
    }

    /// Whether everything emitted is accounted for.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.emitted == self.delivered + self.lost() + self.pending + self.earlier
    }
}

/// What became of the observations that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Became part of an answer.
    pub delivered: u64,
    /// Not joined.
    pub join: u64,
    /// There was no room in the store.
    pub store: u64,
    /// Waiting for the other end.
    pub waiting: u64,
}

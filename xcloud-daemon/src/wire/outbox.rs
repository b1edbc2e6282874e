//! What waits to be sent or acknowledged: a bounded queue that accounts for every observation. No I/O, no clock.
//!
//! Samples get a batch and a sequence number when they are first sent, so dropping what was never sent leaves no gap.
//! Batches stay until they are acknowledged, and every new stream sends them again from the first.
//! `sent_before` counts what is acknowledged or still to be; a batch given up moves from there to `lost.queue`.

use std::{collections::VecDeque, sync::Arc};

use xcloud_common::{
    counter::{Counter, Counters},
    sample::Sample,
};
use xcloud_proto::{
    common::v1::{Loss, StageProfile, Workload},
    ingest::v1::{Egress as EgressMessage, Totals},
};

pub mod egress;
#[cfg(test)]
mod tests;

use egress::Egress;

/// Most samples in one batch.
pub const MAX_BATCH: usize = 4096;

/// What the kernel programs counted so far, in observations unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelTotals {
    /// Exchanges opened.
    pub opened: u64,
    /// Observations at the last hook, without torn and hidden ones.
    pub emitted: u64,
    /// Lost because the ring was full.
    pub ring: u64,
    /// Exchanges lost to another's claim on the slot, or torn.
    pub slot: u64,
    /// Exchanges lost to retransmission.
    pub retransmit: u64,
    /// Exchanges nobody answered.
    pub unanswered: u64,
    /// Observations of pods that are not seen in full, left out.
    pub hidden: u64,
}

impl KernelTotals {
    /// From the kernel's counters and what was found torn in the ring or left out before they were read.
    #[must_use]
    pub fn new(counters: &Counters, torn: u64, hidden: u64) -> Self {
        let of = |counter: Counter| counters[counter as usize];
        Self {
            opened: of(Counter::Opened),
            emitted: of(Counter::Emitted).saturating_sub(torn + hidden),
            ring: of(Counter::RingFull),
            slot: of(Counter::Collision) + torn,
            retransmit: of(Counter::Retransmit),
            unanswered: of(Counter::Unanswered),
            hidden,
        }
    }

    /// As the wire says it, with the agent's own loss and what is on its way.
    #[must_use]
    pub fn totals(&self, lost_in_queue: u64, pending: u64) -> Totals {
        Totals {
            opened: self.opened,
            emitted: self.emitted,
            lost: Some(Loss {
                ring: self.ring,
                slot: self.slot,
                retransmit: self.retransmit,
                queue: lost_in_queue,
                hidden: self.hidden,
                ..Loss::default()
            }),
            pending,
            unanswered: self.unanswered,
        }
    }
}

/// A batch to put on the wire now.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its number, from 1.
    pub sequence: u64,
    /// Its samples; none when only totals changed.
    pub samples: &'a [Named],
    /// Observations in all batches before it that were not given up.
    pub sent_before: u64,
    /// Totals up to and including it.
    pub totals: Totals,
    /// The stage profile, when a new one waits. It is cumulative, so one lost with its stream is made up by the next.
    pub stage_profile: Option<StageProfile>,
    /// What left by the uplinks, when that is news; likewise.
    pub egress: Option<EgressMessage>,
}

/// A sample and whose its pod was when its packets passed, as far as that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The sample.
    pub sample: Sample,
    /// Whose its pod was.
    pub workload: Option<Arc<Workload>>,
}

impl From<Sample> for Named {
    fn from(sample: Sample) -> Self {
        Self { sample, workload: None }
    }
}

#[derive(Debug)]
struct Batch {
    sequence: u64,
    samples: Vec<Named>,
    observations: u64,
}

fn observations(samples: &[Named]) -> u64 {
    samples.iter().map(|named| named.sample.observations()).sum()
}

/// The queue.
#[derive(Debug)]
pub struct Outbox {
    limit: u64,
    unsent: VecDeque<Named>,
    unsent_observations: u64,
    unacked: VecDeque<Batch>,
    unacked_observations: u64,
    /// How many of `unacked` went out on the present stream.
    in_flight: usize,
    next_sequence: u64,
    /// Highest sequence the aggregator takes now.
    window_end: u64,
    /// Up to this sequence batches go one at a time, to find the one that is refused.
    careful_until: u64,
    acked_observations: u64,
    lost: u64,
    kernel: KernelTotals,
    /// Totals of the last batch formed.
    told: KernelTotals,
    told_lost: u64,
    stage_profile: Option<StageProfile>,
    /// What left by the uplinks, and what of that was told.
    pub egress: Egress,
}

impl Outbox {
    /// An empty queue that holds at most `limit` observations.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            unsent: VecDeque::new(),
            unsent_observations: 0,
            unacked: VecDeque::new(),
            unacked_observations: 0,
            in_flight: 0,
            next_sequence: 1,
            window_end: 0,
            careful_until: 0,
            acked_observations: 0,
            lost: 0,
            kernel: KernelTotals::default(),
            told: KernelTotals::default(),
            told_lost: 0,
            stage_profile: None,
            egress: Egress::default(),
        }
    }

    /// Takes drained samples in; the oldest unsent ones go when there is no room. Returns whether a full batch waits.
    pub fn push(&mut self, samples: &mut Vec<Named>) -> bool {
        self.unsent_observations += observations(samples);
        self.unsent.extend(samples.drain(..));
        while self.unsent_observations + self.unacked_observations > self.limit {
            let Some(oldest) = self.unsent.pop_front() else {
                break;
            };
            self.unsent_observations -= oldest.sample.observations();
            self.lost += oldest.sample.observations();
        }
        self.settle();
        self.unsent.len() >= MAX_BATCH
    }

    /// Takes counters that were read after everything pushed so far was drained.
    pub fn count(&mut self, kernel: KernelTotals) {
        self.kernel = kernel;
        self.settle();
    }

    /// Takes the latest stage profile in.
    pub fn tell_stages(&mut self, profile: StageProfile) {
        self.stage_profile = Some(profile);
    }

    /// Whatever was drained or found no room was emitted, even if it was counted after the counters were read.
    fn settle(&mut self) {
        let drained = self.sent() + self.unsent_observations + self.lost;
        self.kernel.emitted = self.kernel.emitted.max(drained + self.kernel.ring);
    }

    fn sent(&self) -> u64 {
        self.acked_observations + self.unacked_observations
    }

    /// A new stream begins: everything not acknowledged goes again, once the aggregator grants credit. Returns the
    /// first sequence the stream will carry.
    pub fn begin_stream(&mut self) -> u64 {
        self.in_flight = 0;
        self.window_end = 0;
        self.egress.tell_again();
        self.first_sequence()
    }

    fn first_sequence(&self) -> u64 {
        self.unacked.front().map_or(self.next_sequence, |batch| batch.sequence)
    }

    /// The next batch within the credit, if any: one to send again, else a full one, else with `flush` whatever there
    /// is, even if only totals changed.
    pub fn next_to_send(&mut self, flush: bool) -> Option<Outgoing<'_>> {
        if self.in_flight > 0 && self.first_sequence() <= self.careful_until {
            return None;
        }
        if self.in_flight == self.unacked.len() {
            self.form_batch(flush)?;
        }
        if self.unacked[self.in_flight].sequence > self.window_end {
            return None;
        }
        self.in_flight += 1;
        let (stage_profile, egress) = (self.stage_profile.take(), self.egress.next());
        Some(Outgoing { stage_profile, egress, ..self.outgoing(self.in_flight - 1) })
    }

    fn form_batch(&mut self, flush: bool) -> Option<()> {
        let news = !self.unsent.is_empty() || self.untold();
        let wanted = self.unsent.len() >= MAX_BATCH || (flush && news);
        if !wanted || self.next_sequence > self.window_end {
            return None;
        }
        let size = self.unsent.len().min(MAX_BATCH);
        let samples: Vec<_> = self.unsent.drain(..size).collect();
        let observations = observations(&samples);
        self.unsent_observations -= observations;
        self.unacked_observations += observations;
        self.unacked.push_back(Batch { sequence: self.next_sequence, samples, observations });
        self.next_sequence += 1;
        (self.told, self.told_lost) = (self.kernel, self.lost);
        Some(())
    }

    fn untold(&self) -> bool {
        (self.told, self.told_lost) != (self.kernel, self.lost)
            || self.stage_profile.is_some()
            || self.egress.has_news()
    }

    fn outgoing(&self, index: usize) -> Outgoing<'_> {
        let batch = &self.unacked[index];
        let before: u64 = self.unacked.range(..index).map(|b| b.observations).sum();
        let sent_before = self.acked_observations + before;
        let accounted = sent_before + batch.observations + self.lost + self.kernel.ring;
        Outgoing {
            sequence: batch.sequence,
            samples: &batch.samples,
            sent_before,
            totals: self.kernel.totals(self.lost, self.kernel.emitted - accounted),
            stage_profile: None,
            egress: None,
        }
    }

    /// The aggregator has merged everything up to `acked` and takes `credit` batches more.
    ///
    /// # Errors
    /// It claims a batch that was never sent.
    pub fn answered(&mut self, acked: u64, credit: u32) -> Result<(), String> {
        if acked >= self.next_sequence {
            return Err(format!(
                "batch {acked} was acknowledged, but only {} were ever sent",
                self.next_sequence - 1
            ));
        }
        while let Some(batch) = self.unacked.pop_front_if(|b| b.sequence <= acked) {
            self.acked_observations += batch.observations;
            self.unacked_observations -= batch.observations;
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let known = self.first_sequence() - 1;
        self.window_end = acked.max(known).saturating_add(credit.into());
        Ok(())
    }

    /// The aggregator ended the stream because a batch on it was wrong. With one batch in flight that is the one: it
    /// is given up, and its observations are returned. With several, the next streams send them one at a time.
    pub fn refused(&mut self) -> Option<u64> {
        match self.in_flight {
            0 => None,
            1 => {
                let batch = self.unacked.pop_front()?;
                self.in_flight = 0;
                self.unacked_observations -= batch.observations;
                self.lost += batch.observations;
                Some(batch.observations)
            }
            several => {
                self.careful_until = self.unacked[several - 1].sequence;
                None
            }
        }
    }

    /// Whether everything, totals too, was sent and acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unsent.is_empty() && self.unacked.is_empty() && !self.untold()
    }

    /// Observations in batches formed and not given up, whether acknowledged or not.
    #[must_use]
    pub fn sent_observations(&self) -> u64 {
        self.sent()
    }

    /// Observations the aggregator acknowledged.
    #[must_use]
    pub fn acked_observations(&self) -> u64 {
        self.acked_observations
    }

    /// The present totals, apart from any batch.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let accounted = self.sent() + self.lost + self.kernel.ring;
        self.kernel.totals(self.lost, self.kernel.emitted - accounted)
    }
}

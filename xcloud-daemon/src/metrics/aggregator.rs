//! What the aggregator tells: what was measured since its start, what was lost, and how it is itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Sink, Source, Value, family, process, write};
use crate::{
    measure::{account::Account, cumulative::Cumulative, state::State},
    wire::server::Hub,
};

mod agents;
mod egress;
mod paths;

/// What became of exports by OTLP.
#[derive(Debug, Default)]
pub struct Exports {
    /// Taken by the receiver.
    pub ok: AtomicU64,
    /// Given up until the next.
    pub failed: AtomicU64,
    /// Data points that the receiver rejected.
    pub rejected: AtomicU64,
}

/// The aggregator as a source.
#[derive(Debug)]
pub struct Aggregator {
    /// Its memory.
    pub hub: Arc<Hub>,
    /// What became of exports.
    pub exports: Arc<Exports>,
}

impl Source for Aggregator {
    fn tell(&self, sink: &mut dyn Sink) {
        process::tell(sink, "aggregator");
        paths::tell(&self.hub, sink);
        egress::tell(&self.hub, sink);
        let (account, known) = self.hub.read(|state| (state.account(), agents::Known::read(state)));
        losses(sink, &account);
        self.hub.read(|state| join_and_store(sink, state));
        known.tell(sink);
        self.exports(sink);
    }
}

impl Aggregator {
    fn exports(&self, sink: &mut dyn Sink) {
        let count = |count: &AtomicU64| Value::Count(count.load(Ordering::Relaxed));
        let Exports { ok, failed, rejected } = self.exports.as_ref();
        let results: [(&[&str], _); 2] = [(&["ok"], count(ok)), (&["failed"], count(failed))];
        write(sink, &family::OTLP_EXPORTS, &results);
        write(sink, &family::OTLP_REJECTED, &[(&[], count(rejected))]);
    }
}

fn losses(sink: &mut dyn Sink, account: &Account) {
    write(sink, &family::EMITTED, &[(&[], Value::Count(account.emitted))]);
    write(sink, &family::DELIVERED, &[(&[], Value::Count(account.delivered))]);
    let lost: [(&[&str], u64); 8] = [
        (&["kernel", "ring"], account.ring),
        (&["kernel", "slot"], account.slot),
        (&["kernel", "retransmit"], account.retransmit),
        (&["agent", "hidden"], account.hidden),
        (&["agent", "queue"], account.queue),
        (&["agent", "agent"], account.agent),
        (&["aggregator", "join"], account.join),
        (&["aggregator", "store"], account.store),
    ];
    write(sink, &family::LOST, &lost.map(|(labels, count)| (labels, Value::Count(count))));
    write(sink, &family::ELSEWHERE, &[(&[], Value::Count(account.earlier))]);
    write(sink, &family::PENDING, &[(&[], Value::Count(account.pending))]);
}

fn join_and_store(sink: &mut dyn Sink, state: &State) {
    let counts = state.join_counts();
    let outcomes: [(&[&str], u64); 6] = [
        (&["joined"], 2 * counts.joined),
        (&["near_alone"], counts.near_alone),
        (&["far_alone"], counts.far_alone),
        (&["other_answer"], counts.other_answer),
        (&["table_full"], counts.table_full),
        (&["ambiguous"], counts.ambiguous),
    ];
    write(sink, &family::JOIN, &outcomes.map(|(labels, count)| (labels, Value::Count(count))));
    let store = state.store();
    let sums = store.cumulative();
    let (kept, limit) = sums.map_or((0, 0), |sums| (sums.len(), sums.most()));
    let refused = store.refused();
    let refused: [(&[&str], _); 2] =
        [(&["paths"], Value::Count(refused.paths)), (&["memory"], Value::Count(refused.memory))];
    write(sink, &family::STORE_REFUSED, &refused);
    let values = [
        (&family::JOIN_WAITING, counts.waiting),
        (&family::JOIN_CAPACITY, state.join_limits().capacity as u64),
        (&family::STORE_PATHS, store.paths() as u64),
        (&family::STORE_PATHS_LIMIT, store.limits().max_paths as u64),
        (&family::STORE_BYTES, store.bytes() as u64),
        (&family::STORE_BYTES_LIMIT, store.limits().max_bytes as u64),
        (&family::STORE_GIVEN_UP, store.given_up()),
        (&family::REFUSED, state.refused()),
        (&family::SERIES, kept as u64),
        (&family::SERIES_LIMIT, limit as u64),
        (&family::SERIES_CUT, sums.map_or(0, Cumulative::cut) as u64),
    ];
    for (family, value) in values {
        write(sink, family, &[(&[], Value::Count(value))]);
    }
}

#[cfg(test)]
mod tests;

//! What an agent tells: its hooks, its sampling, what it lost, and what its programs and itself take.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use xcloud_common::record::RING_BYTES;

use super::{Sample, Sink, Source, Value, family, process, write};
use crate::{agent::hooks::SharedHooks, wire::client::SharedOutbox};

/// Most bytes that were drained from the ring in one pass, since somebody last looked: what waited in it.
#[derive(Clone, Debug, Default)]
pub struct RingFill(Arc<AtomicU64>);

impl RingFill {
    /// Takes in how much one pass found.
    pub fn saw(&self, bytes: u64) {
        self.0.fetch_max(bytes, Ordering::Relaxed);
    }

    fn look(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// An agent as a source.
#[derive(Debug)]
pub struct Agent {
    /// Its hooks.
    pub hooks: SharedHooks,
    /// What waits to be sent.
    pub outbox: SharedOutbox,
    /// How full the ring was.
    pub ring: RingFill,
}

impl Source for Agent {
    fn tell(&self, sink: &mut dyn Sink) {
        process::tell(sink, "agent");
        self.hooks(sink);
        self.observations(sink);
        self.programs(sink);
    }
}

impl Agent {
    fn hooks(&self, sink: &mut dyn Sink) {
        let (states, shift) = {
            let hooks = self.hooks.lock();
            (hooks.hook_states(), hooks.shift())
        };
        sink.family(&family::HOOK_STATE);
        for one in states {
            let labels = [&one.interface[..], one.hook, one.state];
            sink.sample(Sample { labels: &labels, since_ns: 0, value: Value::Count(1) });
        }
        write(sink, &family::SAMPLING_SHIFT, &[(&[], Value::Count(shift.into()))]);
        write(sink, &family::SAMPLED, &[(&[], Value::Number((-f64::from(shift)).exp2()))]);
    }

    fn observations(&self, sink: &mut dyn Sink) {
        let (totals, queued, capacity) = {
            let outbox = self.outbox.lock();
            (outbox.totals(), outbox.queued(), outbox.limit())
        };
        let lost = totals.lost.unwrap_or_default();
        let reasons: [(&[&str], u64); 5] = [
            (&["ring"], lost.ring),
            (&["slot"], lost.slot),
            (&["retransmit"], lost.retransmit),
            (&["queue"], lost.queue),
            (&["hidden"], lost.hidden),
        ];
        let reasons = reasons.map(|(labels, count)| (labels, Value::Count(count)));
        write(sink, &family::LOCAL_LOST, &reasons);
        let counts = [
            (&family::OPENED, totals.opened),
            (&family::UNANSWERED, totals.unanswered),
            (&family::LOCAL_EMITTED, totals.emitted),
            (&family::QUEUED, queued),
            (&family::QUEUE_CAPACITY, capacity),
            (&family::RING_BYTES, self.ring.look()),
            (&family::RING_CAPACITY, RING_BYTES.into()),
        ];
        for (family, count) in counts {
            write(sink, family, &[(&[], Value::Count(count))]);
        }
    }

    fn programs(&self, sink: &mut dyn Sink) {
        let programs = match self.hooks.lock().run_times() {
            Ok(programs) => programs,
            Err(error) => {
                log::debug!("metrics: asking what programs take: {error:#}");
                return;
            }
        };
        sink.family(&family::PROGRAM_SECONDS);
        for one in &programs {
            let value = Value::Number(one.time.as_secs_f64());
            sink.sample(Sample { labels: &[&one.program], since_ns: 0, value });
        }
        sink.family(&family::PROGRAM_RUNS);
        for one in &programs {
            let value = Value::Count(one.runs);
            sink.sample(Sample { labels: &[&one.program], since_ns: 0, value });
        }
    }
}

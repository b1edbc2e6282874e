//! What an agent tells: its hooks, its sampling, what it lost, and what its programs and itself take.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use xcloud_common::{
    counter::{Counter, Counters},
    record::RING_BYTES,
};

use super::{Sample, Sink, Source, Value, family, process, write};
use crate::{agent::hooks::SharedHooks, wire::client::SharedOutbox};

/// What the thread that empties the ring and reads the kernel's counters saw.
#[derive(Clone, Debug, Default)]
pub struct Drained(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Most bytes that were drained from the ring in one pass, since somebody last looked: what waited in it.
    most: AtomicU64,
    /// In the order of [`Counter::LEFT_OUT`].
    left_out: [AtomicU64; Counter::LEFT_OUT.len()],
}

impl Drained {
    /// Takes in how much one pass found.
    pub fn saw(&self, bytes: u64) {
        self.0.most.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Takes in the counters.
    pub fn counted(&self, counters: &Counters) {
        for ((counter, _), last) in Counter::LEFT_OUT.into_iter().zip(&self.0.left_out) {
            last.store(counters[counter as usize], Ordering::Relaxed);
        }
    }

    fn most(&self) -> u64 {
        self.0.most.swap(0, Ordering::Relaxed)
    }

    fn left_out(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.left_out.iter().map(|count| count.load(Ordering::Relaxed));
        Counter::LEFT_OUT.into_iter().map(|(_, reason)| reason).zip(counts)
    }
}

/// An agent as a source.
#[derive(Debug)]
pub struct Agent {
    /// Its hooks.
    pub hooks: SharedHooks,
    /// What waits to be sent.
    pub outbox: SharedOutbox,
    /// How full the ring was, and what the kernel programs left out.
    pub drained: Drained,
}

impl Source for Agent {
    fn tell(&self, sink: &mut dyn Sink) {
        process::tell(sink, "agent");
        self.hooks(sink);
        self.observations(sink);
        left_out(&self.drained, sink);
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
            (&family::RING_BYTES, self.drained.most()),
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
                tracing::debug!("metrics: asking what programs take: {error:#}");
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

fn left_out(drained: &Drained, sink: &mut dyn Sink) {
    sink.family(&family::LEFT_OUT);
    for (reason, count) in drained.left_out() {
        sink.sample(Sample { labels: &[reason], since_ns: 0, value: Value::Count(count) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::{Dialect, Text};

    #[test]
    fn each_reason_for_which_packets_are_left_out_has_its_count() {
        let drained = Drained::default();
        let mut counters = Counters::default();
        counters[Counter::OtherCopy as usize] = 1;
        counters[Counter::OtherFlow as usize] = 2;
        counters[Counter::Fragment as usize] = 3;
        counters[Counter::Malformed as usize] = 4;
        counters[Counter::EncryptedUnmatched as usize] = 5;
        drained.counted(&counters);
        let mut text = Text::new(Dialect::Prometheus);
        left_out(&drained, &mut text);
        let text = text.finish();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let line = |(reason, count)| {
            format!("xcloud_kernel_packets_left_out_total{{reason=\"{reason}\"}} {count}")
        };
        let reasons = ["other_copy", "other_flow", "fragment", "malformed", "encrypted_unmatched"];
        assert_eq!(lines, reasons.into_iter().zip(1..).map(line).collect::<Vec<_>>());
    }
}

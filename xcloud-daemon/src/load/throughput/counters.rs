//! What a stream's thread tells the one that reports: numbers that only grow, read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{cpu::CpuTime, datagram::Arrivals};

/// One stream's numbers. Only its own thread writes them.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    datagrams: AtomicU64,
    lost: AtomicU64,
    out_of_order: AtomicU64,
    jitter: AtomicU64,
    user_us: AtomicU64,
    system_us: AtomicU64,
}

/// The numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Sent or received.
    pub bytes: u64,
    /// Datagrams sent, or expected from the highest number.
    pub datagrams: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams that came late.
    pub out_of_order: u64,
    /// Seconds.
    pub jitter: f64,
    /// Processor time of the stream's thread.
    pub cpu: CpuTime,
}

impl Counters {
    /// Bytes that were sent or received.
    pub fn add_bytes(&self, bytes: u64) {
        // One writer: no atomic addition is needed.
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
    }

    /// A datagram that was sent.
    pub fn sent_datagram(&self, number: u64) {
        self.datagrams.store(number, Relaxed);
    }

    /// What has come so far.
    pub fn arrived(&self, arrivals: &Arrivals) {
        self.datagrams.store(arrivals.expected, Relaxed);
        self.lost.store(arrivals.lost, Relaxed);
        self.out_of_order.store(arrivals.out_of_order, Relaxed);
        self.jitter.store(arrivals.jitter.to_bits(), Relaxed);
    }

    /// Processor time of the calling thread.
    pub fn note_cpu(&self) {
        let cpu = CpuTime::of_this_thread();
        self.user_us.store(cpu.user_us, Relaxed);
        self.system_us.store(cpu.system_us, Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn read(&self) -> Count {
        Count {
            bytes: self.bytes.load(Relaxed),
            datagrams: self.datagrams.load(Relaxed),
            lost: self.lost.load(Relaxed),
            out_of_order: self.out_of_order.load(Relaxed),
            jitter: f64::from_bits(self.jitter.load(Relaxed)),
            cpu: CpuTime {
                user_us: self.user_us.load(Relaxed),
                system_us: self.system_us.load(Relaxed),
            },
        }
    }
}

/// Bytes that may still be sent, shared by all streams of a direction.
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// At most this many.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Takes the bytes of a block, unless all are used. The last block is a whole one as well: receivers that read block
    /// by block would wait for its rest.
    pub fn take(&self, block: usize) -> bool {
        let block = u64::try_from(block).unwrap_or(u64::MAX);
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(block));
        self.0.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    /// From now on this many.
    pub fn refill(&self, bytes: u64) {
        self.0.store(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_in_whole_blocks() {
        let budget = Budget::new(10);
        assert_eq!([(); 4].map(|()| budget.take(4)), [true, true, true, false]);
        budget.refill(1);
        assert_eq!([budget.take(4), budget.take(4)], [true, false]);
    }
}

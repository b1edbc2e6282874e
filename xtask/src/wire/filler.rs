//! A standing queue: a constant number of filler packets kept in a real qdisc, one sent for each that comes out, so
//! that every packet behind them waits the same time.

use std::net::UdpSocket;

use anyhow::{Result, ensure};

use super::{clock, config::StandingQueue, probe};

/// Headers of a filler.
const HEADERS: usize = 28;
/// Largest UDP payload that fits the uplink's MTU while a queue is kept.
const LARGEST: usize = QUEUE_MTU - HEADERS;
/// Time between two fillers. Each costs the wire a reading and a sending, and a late timer of the qdisc lets out all that
/// it missed at once: at 50 us they kept real packets waiting at the wire by 100 us and more.
const SPACING_NS: u64 = 200_000;

/// MTU of an uplink with a standing queue. Traffic keeps its own, set at the pods.
pub(crate) const QUEUE_MTU: usize = 16_000;
/// Bits per second of its qdisc: fast, so that a real packet adds little to the queue, while fillers fit the MTU.
pub(crate) const QUEUE_RATE: u64 = 500_000_000;

/// Keeps one queue at its length.
#[derive(Debug)]
pub(crate) struct Filler {
    socket: UdpSocket,
    target_ns: u64,
    wanted: u64,
    size: f64,
    sent: u64,
    out: u64,
    out_at_tick: u64,
    cycle: (u64, u64),
    buffer: Vec<u8>,
}

impl Filler {
    /// Prepares the queue of `device` in `netns`.
    pub(crate) fn new(netns: &str, device: &str, queue: StandingQueue) -> Result<Self> {
        let wanted = queue.delay_ns.div_ceil(SPACING_NS);
        ensure!(wanted > 1, "a standing queue of {} ns is too short", queue.delay_ns);
        let bytes = queue.delay_ns as f64 * queue.rate as f64 / 8e9;
        Ok(Self {
            socket: probe::socket(netns, device, probe::FILLER)?,
            // A filler is sent when one has left, so it finds the longest queue; others find, on average, half a
            // filler less.
            target_ns: queue.delay_ns + queue.delay_ns / wanted / 2,
            wanted,
            size: bytes / wanted as f64,
            sent: 0,
            out: 0,
            out_at_tick: 0,
            cycle: (0, 0),
            buffer: vec![0; LARGEST],
        })
    }

    /// Sends what is missing.
    fn top_up(&mut self) {
        while self.sent - self.out < self.wanted && self.send() {}
    }

    /// To be called now and then: when none has come out since the last time, all are lost (the device had only just
    /// come up, say) and others are sent.
    pub(crate) fn tick(&mut self) {
        if self.out == self.out_at_tick {
            self.out = self.sent;
        }
        self.out_at_tick = self.out;
        self.top_up();
    }

    /// Filler `number` has come out after `waited`, of which `handoff` is not the queue's.
    pub(crate) fn came_out(&mut self, number: u64, waited: u64, handoff: u64) {
        // They keep their order, so those before it that have not come out are lost.
        self.out = self.out.max(number + 1).min(self.sent);
        self.cycle.0 += 1;
        self.cycle.1 += waited.saturating_sub(handoff);
        if self.cycle.0 >= 4 * self.wanted {
            let mean = self.cycle.1 as f64 / self.cycle.0 as f64;
            // Small steps: what is in the queue now answers only a whole queue later.
            let step = (self.target_ns as f64 / mean.max(1.0)).clamp(0.9, 1.1);
            self.size = (self.size * (1.0 + (step - 1.0) / 2.0)).clamp(64.0, LARGEST as f64);
            self.cycle = (0, 0);
        }
        self.top_up();
    }

    fn send(&mut self) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 64..LARGEST"
        )]
        let length = (self.size as usize).saturating_sub(HEADERS).clamp(16, LARGEST);
        self.buffer[..8].copy_from_slice(&clock::now().to_ne_bytes());
        self.buffer[8..16].copy_from_slice(&self.sent.to_ne_bytes());
        let sent = self.socket.send(&self.buffer[..length]).is_ok();
        self.sent += u64::from(sent);
        sent
    }
}

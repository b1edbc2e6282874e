//! One thread of the generator: an epoll loop over its share of connections and of the schedule.

use std::{
    collections::VecDeque,
    iter,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::{
    Limits,
    opening::{self, Opened},
    pacing::Pacing,
    protocol::{Ends, Link as _, Next, Outcome, Protocol},
    seconds::{Request, Second, Seconds},
    slot::{Read, Slot, State, Transport, failure},
    tally::Failure,
    timer::{self, Clock, Timer},
};

/// Most events taken at once.
const EVENTS: usize = 256;
/// How much is read at once.
const READ: usize = 64 << 10;
/// Key of the timer's events; connections have smaller ones.
const TIMER: u64 = u64::MAX;
/// How often a closed loop looks for events before it sleeps, some 50 us.
const LOOKS: usize = 200;
/// How often connections are looked over for requests that take too long, and failed ones tried again.
const TICK_NS: u64 = 20_000_000;

/// What says that something came or ended.
const INBOUND: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);

/// One thread of the generator, before it runs.
#[derive(Debug)]
pub struct Worker<'a, P: Protocol + 'a> {
    limits: &'a Limits,
    epoll: Epoll,
    slots: Vec<Slot<P::Link<'a>>>,
    /// Slots that may take a request, each once.
    free: VecDeque<u32>,
    /// Of a closed loop, those whose connection failed: tried again at the next tick, lest it spins.
    resting: Vec<u32>,
    /// Requests under way.
    busy: usize,
    /// Requests that have ended and are not recorded yet.
    ends: Ends,
    seconds: Seconds,
    buffer: Box<[u8]>,
}

impl<'a, P: Protocol> Worker<'a, P> {
    /// A worker with that many places for connections.
    ///
    /// # Errors
    /// The kernel gives no epoll instance.
    pub fn new(limits: &'a Limits, protocol: &'a P, connections: u32) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
        let slot = |_| Slot::new(limits.transport, protocol.link());
        Ok(Self {
            limits,
            epoll,
            slots: (0..connections).map(slot).collect(),
            free: (0..connections).collect(),
            resting: Vec::with_capacity(connections as usize),
            busy: 0,
            ends: Vec::new(),
            seconds: Seconds::new(limits.duration_ns),
            buffer: vec![0; READ].into(),
        })
    }

    /// Opens all connections, so that the clock starts with them.
    pub fn open(&mut self) -> Opened {
        if self.limits.transport == Transport::TcpEach {
            return Opened::default();
        }
        opening::open(&mut self.slots, self.limits, &self.epoll, &mut self.buffer)
    }

    /// Sends what `pacing` says until the run is over.
    ///
    /// # Errors
    /// The kernel refuses to wait, which has no known reason.
    pub fn run(
        mut self,
        mut pacing: Pacing,
        clock: Clock,
        stop: &AtomicBool,
    ) -> Result<Vec<Second>> {
        timer::no_slack();
        clock.wait_for_start();
        let mut timer = Timer::new(&self.epoll, TIMER, clock)?;
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut tick_ns = 0;
        let give_up_ns = self.limits.duration_ns.saturating_add(self.limits.drain_ns);
        loop {
            let now = clock.now();
            let stopped = stop.load(Ordering::Relaxed);
            if stopped {
                pacing.stop(now);
            }
            while let Some(intended) = pacing.notice(now) {
                self.seconds.noticed(now, intended);
            }
            if now >= tick_ns {
                self.tick(clock);
                tick_ns = now + TICK_NS;
            }
            self.dispatch(&mut pacing, clock);
            let over = pacing.is_over(now) && self.busy == 0;
            if over || stopped || now >= give_up_ns {
                return Ok(self.finish(pacing, clock.now()));
            }
            timer.arm(pacing.next_due().map_or(tick_ns, |due| due.min(tick_ns)))?;
            let count = self.wait(&mut events)?;
            for event in &events[..count] {
                if event.data() == TIMER {
                    timer.rang();
                } else {
                    self.event(event.data(), event.events(), clock);
                    self.dispatch(&mut pacing, clock);
                }
            }
        }
    }

    /// Takes the next events. A closed loop does not sleep at once: on the same machine, waking a client is work of the
    /// server's processor, and so takes from the very rate that is measured.
    fn wait(&self, events: &mut [EpollEvent]) -> Result<usize> {
        let looks = if self.limits.closed_loop { LOOKS } else { 0 };
        for timeout in iter::repeat_n(EpollTimeout::ZERO, looks).chain([EpollTimeout::NONE]) {
            match self.epoll.wait(events, timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(count) => return Ok(count),
                Err(error) => return Err(error).context("waiting for events"),
            }
        }
        Ok(0)
    }

    /// Sends what can be sent.
    fn dispatch(&mut self, pacing: &mut Pacing, clock: Clock) {
        while let Some(index) = self.taker() {
            let now = clock.now();
            let Some(intended_ns) = pacing.send(now) else {
                return;
            };
            if matches!(pacing, Pacing::Closed { .. }) {
                self.seconds.noticed(now, intended_ns);
            }
            self.free.pop_front();
            self.slots[index as usize].queued = false;
            self.begin(index, Request { intended_ns, sent_ns: now }, clock);
        }
    }

    /// The slot whose turn it is; those before it have come to take nothing.
    fn taker(&mut self) -> Option<u32> {
        while let Some(index) = self.free.front().copied() {
            let slot = &mut self.slots[index as usize];
            if slot.takes() {
                return Some(index);
            }
            slot.queued = false;
            self.free.pop_front();
        }
        None
    }

    /// Queues a slot that takes a request.
    fn offer(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.queued && slot.takes() {
            slot.queued = true;
            self.free.push_back(index);
        }
    }

    fn begin(&mut self, index: u32, request: Request, clock: Clock) {
        self.seconds.sent(request);
        self.busy += 1;
        let slot = &mut self.slots[index as usize];
        if slot.state != State::Open && self.limits.transport == Transport::Tcp {
            self.seconds.reconnected();
        }
        slot.link.begin(request);
        match slot.state {
            State::Closed => {
                if slot.open(self.limits, &self.epoll, index).is_err() {
                    return self.close(index, Failure::Connect, false, clock);
                }
            }
            State::Connecting => {}
            State::Open => return self.write(index, clock),
        }
        self.offer(index);
    }

    fn event(&mut self, key: u64, flags: EpollFlags, clock: Clock) {
        let Ok(index) = u32::try_from(key & u64::from(u32::MAX)) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if slot.key(index) != key || slot.state == State::Closed {
            return;
        }
        if slot.connected().is_err() {
            return self.close(index, Failure::Connect, false, clock);
        }
        if flags.intersects(INBOUND) && !self.read(index, flags, clock) {
            return;
        }
        self.write(index, clock);
    }

    /// Writes what there is to write, and takes the next request then.
    fn write(&mut self, index: u32, clock: Clock) {
        match self.slots[index as usize].write() {
            Ok(()) => self.offer(index),
            Err(error) => self.close(index, failure(&error), false, clock),
        }
    }

    /// Reads what there is to read; `false` if the connection was closed over it.
    fn read(&mut self, index: u32, flags: EpollFlags, clock: Clock) -> bool {
        loop {
            let slot = &mut self.slots[index as usize];
            let read = slot.read(flags, &mut self.buffer, &mut self.ends);
            let ended = !self.ends.is_empty();
            let failed = self.record(clock);
            match read {
                Read::Close(why) => self.close(index, why, failed, clock),
                _ if ended && self.limits.transport == Transport::TcpEach => {
                    self.close(index, Failure::Reset, failed, clock);
                }
                Read::More => continue,
                Read::Empty => return true,
            }
            return false;
        }
    }

    /// Gives a connection up, and what is still under way on it; others on it may have `failed` already.
    fn close(&mut self, index: u32, why: Failure, mut failed: bool, clock: Clock) {
        let slot = &mut self.slots[index as usize];
        slot.link.give_up(why, &mut self.ends);
        slot.close();
        failed |= self.record(clock);
        if !(self.limits.closed_loop && failed) {
            return self.offer(index);
        }
        self.slots[index as usize].rests = true;
        self.resting.push(index);
    }

    /// Records the requests that have ended; whether any failed without an answer.
    fn record(&mut self, clock: Clock) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        let (now, mut failed) = (clock.now(), false);
        self.busy -= self.ends.len();
        for (request, outcome) in self.ends.drain(..) {
            match outcome {
                Outcome::Done => self.seconds.done(now, request),
                Outcome::Failed(kind) => {
                    failed |= kind != Failure::Status;
                    self.seconds.failed(now, request, kind);
                }
                Outcome::Grpc(status) => self.seconds.refused(now, status),
            }
        }
        failed
    }

    /// Ends requests that take too long.
    fn tick(&mut self, clock: Clock) {
        while let Some(index) = self.resting.pop() {
            self.slots[index as usize].rests = false;
            self.offer(index);
        }
        let Some(sent_ns) = clock.now().checked_sub(self.limits.timeout_ns) else {
            return;
        };
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let slot = &mut self.slots[index as usize];
            let next = slot.link.expire(sent_ns, &mut self.ends);
            let late = !self.ends.is_empty();
            self.record(clock);
            match (next, self.slots[index as usize].state) {
                (Next::Close(why), _) => self.close(index, why, late, clock),
                (Next::Keep, State::Connecting) if late => {
                    self.close(index, Failure::Connect, late, clock);
                }
                (Next::Keep, State::Open) if late => self.write(index, clock),
                (Next::Keep, _) => {}
            }
        }
    }

    /// Accounts for what is still under way.
    fn finish(mut self, mut pacing: Pacing, now: u64) -> Vec<Second> {
        while let Some(intended) = pacing.notice(now) {
            self.seconds.noticed(now, intended);
        }
        if !self.limits.closed_loop {
            while let Some(intended) = pacing.send(now) {
                self.seconds.unsent(now, intended);
            }
        }
        for slot in &mut self.slots {
            slot.link.give_up(Failure::Reset, &mut self.ends);
        }
        for (request, _) in self.ends.drain(..) {
            self.seconds.unfinished(now, request);
        }
        self.seconds.finish()
    }
}

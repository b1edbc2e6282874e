//! One thread of the generator: an epoll loop over its share of connections and of the schedule.

use std::{
    collections::VecDeque,
    io,
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
    protocol::{Answer as _, Progress, Protocol},
    seconds::{Request, Second, Seconds},
    slot::{Slot, State, Transport},
    tally::Failure,
    timer::{self, Clock, Timer},
};

/// Most events taken at once.
const EVENTS: usize = 256;
/// How much is read at once.
const READ: usize = 64 << 10;
/// Key of the timer's events; connections have smaller ones.
const TIMER: u64 = u64::MAX;
/// How often connections are looked over for requests that take too long, and failed ones tried again.
const TICK_NS: u64 = 20_000_000;

/// What says that something came or ended.
const INBOUND: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);

/// One thread of the generator, before it runs.
#[derive(Debug)]
pub struct Worker<'a, P: Protocol> {
    limits: &'a Limits,
    protocol: &'a P,
    epoll: Epoll,
    slots: Vec<Slot<P::Answer>>,
    /// Slots without a request.
    free: VecDeque<u32>,
    /// Of a closed loop, those whose last request failed: tried again at the next tick, lest it spins.
    resting: Vec<u32>,
    busy: usize,
    seconds: Seconds,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
}

impl<'a, P: Protocol> Worker<'a, P> {
    /// A worker with that many places for connections.
    ///
    /// # Errors
    /// The kernel gives no epoll instance.
    pub fn new(limits: &'a Limits, protocol: &'a P, connections: u32) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
        Ok(Self {
            limits,
            protocol,
            epoll,
            slots: (0..connections).map(|_| Slot::new(protocol.answer())).collect(),
            free: (0..connections).collect(),
            resting: Vec::with_capacity(connections as usize),
            busy: 0,
            seconds: Seconds::new(limits.duration_ns),
            buffer: vec![0; READ].into(),
            scratch: Vec::new(),
        })
    }

    /// Opens all connections, so that the clock starts with them.
    pub fn open(&mut self) -> Opened {
        if self.limits.transport == Transport::TcpEach {
            return Opened::default();
        }
        opening::open(&mut self.slots, self.limits, &self.epoll)
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
                self.tick(now);
                tick_ns = now + TICK_NS;
            }
            self.dispatch(&mut pacing, clock);
            let over = pacing.is_over(now) && self.busy == 0;
            if over || stopped || now >= give_up_ns {
                return Ok(self.finish(pacing, clock.now()));
            }
            timer.arm(pacing.next_due().map_or(tick_ns, |due| due.min(tick_ns)))?;
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error).context("waiting for events"),
            };
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

    /// Sends what can be sent.
    fn dispatch(&mut self, pacing: &mut Pacing, clock: Clock) {
        while !self.free.is_empty() {
            let now = clock.now();
            let Some(intended_ns) = pacing.send(now) else {
                return;
            };
            if matches!(pacing, Pacing::Closed { .. }) {
                self.seconds.noticed(now, intended_ns);
            }
            if let Some(index) = self.free.pop_front() {
                self.begin(index, Request { intended_ns, sent_ns: now });
            }
        }
    }

    fn begin(&mut self, index: u32, request: Request) {
        self.seconds.sent(request);
        self.busy += 1;
        let transport = self.limits.transport;
        let slot = &mut self.slots[index as usize];
        slot.id += 1;
        slot.written = 0;
        slot.answer.begin(slot.id);
        if slot.is_open() {
            slot.state = State::Busy(request);
            self.write(index, request, request.sent_ns);
            return;
        }
        if transport == Transport::Tcp {
            self.seconds.reconnected();
        }
        let opened = slot.open(self.limits, transport, &self.epoll, index);
        slot.state = State::Connecting(request);
        if opened.is_err() {
            self.fail(index, request, request.sent_ns, Failure::Connect);
        }
    }

    fn event(&mut self, key: u64, flags: EpollFlags, clock: Clock) {
        let Ok(index) = u32::try_from(key & u64::from(u32::MAX)) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.key(index) == key)
        else {
            return;
        };
        if let State::Connecting(request) = slot.state {
            if slot.connected().is_err() {
                return self.fail(index, request, clock.now(), Failure::Connect);
            }
            slot.state = State::Busy(request);
        }
        match slot.state {
            State::Busy(request) => {
                if flags.contains(EpollFlags::EPOLLOUT) {
                    self.write(index, request, clock.now());
                }
                if flags.intersects(INBOUND) {
                    self.read(index, flags, clock);
                }
            }
            // The server hangs up, or speaks unasked.
            State::Idle if flags.intersects(INBOUND) => slot.close(),
            State::Idle | State::Closed | State::Connecting(_) => {}
        }
    }

    fn write(&mut self, index: u32, request: Request, now: u64) {
        let slot = &mut self.slots[index as usize];
        let bytes = self.protocol.request(slot.id, &mut self.scratch);
        if let Err(error) = slot.write(bytes) {
            self.fail(index, request, now, failure(&error));
        }
    }

    fn read(&mut self, index: u32, flags: EpollFlags, clock: Clock) {
        loop {
            let slot = &mut self.slots[index as usize];
            let State::Busy(request) = slot.state else {
                return;
            };
            let progress = match slot.read(&mut self.buffer) {
                Ok(None) => return,
                Ok(Some(0)) if self.limits.transport != Transport::Udp => slot.answer.end(),
                Ok(Some(count)) => {
                    let progress = slot.answer.take(&self.buffer[..count]);
                    // A short read has emptied the socket, unless its end is to be read too.
                    let emptied = count < self.buffer.len()
                        && self.limits.transport != Transport::Udp
                        && !flags.contains(EpollFlags::EPOLLRDHUP);
                    if emptied && progress == Progress::More {
                        return;
                    }
                    progress
                }
                Err(error) => return self.fail(index, request, clock.now(), failure(&error)),
            };
            match progress {
                Progress::More => {}
                Progress::Done { success, reusable } => {
                    let keep = reusable && !flags.contains(EpollFlags::EPOLLRDHUP);
                    return self.complete(index, request, clock.now(), success, keep);
                }
                Progress::Garbage => {
                    return self.fail(index, request, clock.now(), Failure::Protocol);
                }
                Progress::Short => return self.fail(index, request, clock.now(), Failure::Reset),
            }
        }
    }

    fn complete(&mut self, index: u32, request: Request, now: u64, success: bool, keep: bool) {
        if success {
            self.seconds.done(now, request);
        } else {
            self.seconds.failed(now, request, Failure::Status);
        }
        self.busy -= 1;
        let slot = &mut self.slots[index as usize];
        let whole = self.protocol.request(slot.id, &mut self.scratch).len();
        if keep && slot.written == whole && self.limits.transport != Transport::TcpEach {
            slot.state = State::Idle;
        } else {
            slot.close();
        }
        self.free.push_back(index);
    }

    fn fail(&mut self, index: u32, request: Request, now: u64, kind: Failure) {
        self.seconds.failed(now, request, kind);
        self.busy -= 1;
        self.slots[index as usize].close();
        if self.limits.closed_loop {
            self.resting.push(index);
        } else {
            self.free.push_back(index);
        }
    }

    /// Ends requests that take too long.
    fn tick(&mut self, now: u64) {
        self.free.extend(self.resting.drain(..));
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if let State::Connecting(request) | State::Busy(request) =
                self.slots[index as usize].state
                && now.saturating_sub(request.sent_ns) >= self.limits.timeout_ns
            {
                self.fail(index, request, now, Failure::Timeout);
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
        for slot in &self.slots {
            if let State::Connecting(request) | State::Busy(request) = slot.state {
                self.seconds.unfinished(now, request);
            }
        }
        self.seconds.finish()
    }
}

/// What an error on a connection means for its request. A datagram that nobody takes comes back as a refusal.
fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Connect,
        _ => Failure::Reset,
    }
}

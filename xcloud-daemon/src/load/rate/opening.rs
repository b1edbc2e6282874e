//! Opens connections before the clock starts.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};

use super::{
    Limits,
    slot::{Slot, State},
};

/// Handshakes under way at once: fewer than a listener's usual queue.
const AT_ONCE: usize = 100;

/// How opening went.
#[derive(Debug, Default)]
pub struct Opened {
    /// Connections that could not be made.
    pub failed: u32,
    /// Why, of the last one.
    pub error: Option<io::Error>,
}

impl Opened {
    fn failed(&mut self, error: io::Error) {
        self.failed += 1;
        self.error = Some(error);
    }
}

/// Opens a connection in each slot, waiting for each no longer than for an answer.
pub fn open<A>(slots: &mut [Slot<A>], limits: &Limits, epoll: &Epoll) -> Opened {
    let mut opened = Opened::default();
    let mut first = 0;
    for group in slots.chunks_mut(AT_ONCE) {
        for (index, slot) in (first..).zip(group.iter_mut()) {
            if let Err(error) = slot.open(limits, limits.transport, epoll, index) {
                slot.close();
                opened.failed(error);
            }
        }
        wait(group, first, limits, epoll, &mut opened);
        first += u32::try_from(group.len()).unwrap_or(u32::MAX);
    }
    opened
}

fn wait<A>(group: &mut [Slot<A>], first: u32, limits: &Limits, epoll: &Epoll, opened: &mut Opened) {
    let until = Instant::now() + Duration::from_nanos(limits.timeout_ns);
    let mut events = [EpollEvent::empty(); AT_ONCE];
    loop {
        let waits = group.iter().any(|slot| slot.is_open() && slot.state == State::Closed);
        let left = until.saturating_duration_since(Instant::now());
        if !waits || left.is_zero() {
            break;
        }
        let left = EpollTimeout::try_from(left.max(Duration::from_millis(1)));
        let count = epoll.wait(&mut events, left.unwrap_or(EpollTimeout::MAX)).unwrap_or(0);
        for event in &events[..count] {
            for (index, slot) in (first..).zip(group.iter_mut()) {
                if slot.is_open() && slot.key(index) == event.data() {
                    settle(slot, opened);
                }
            }
        }
    }
    for slot in group.iter_mut().filter(|slot| slot.is_open() && slot.state == State::Closed) {
        slot.close();
        opened.failed(io::ErrorKind::TimedOut.into());
    }
}

fn settle<A>(slot: &mut Slot<A>, opened: &mut Opened) {
    match slot.connected() {
        Ok(()) => slot.state = State::Idle,
        Err(error) => {
            slot.close();
            opened.failed(error);
        }
    }
}

//! Opens connections before the clock starts.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use super::{
    Limits,
    protocol::Link,
    slot::{Read, Slot, State},
    tally::Failure,
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
    fn failed<L: Link>(&mut self, slot: &mut Slot<L>, error: io::Error) {
        slot.close();
        self.failed += 1;
        self.error = Some(error);
    }
}

/// Opens a connection in each slot, waiting for each no longer than for an answer.
pub fn open<L: Link>(
    slots: &mut [Slot<L>],
    limits: &Limits,
    epoll: &Epoll,
    buffer: &mut [u8],
) -> Opened {
    let mut opened = Opened::default();
    let mut first = 0;
    for group in slots.chunks_mut(AT_ONCE) {
        for (index, slot) in (first..).zip(group.iter_mut()) {
            if let Err(error) = slot.open(limits, epoll, index) {
                opened.failed(slot, error);
            }
        }
        wait(group, first, limits, epoll, buffer, &mut opened);
        first += u32::try_from(group.len()).unwrap_or(u32::MAX);
    }
    opened
}

/// Whether there is more to wait for.
fn waits<L: Link>(slot: &Slot<L>) -> bool {
    match slot.state {
        State::Closed => false,
        State::Connecting => true,
        State::Open => !slot.link.settled(),
    }
}

fn wait<L: Link>(
    group: &mut [Slot<L>],
    first: u32,
    limits: &Limits,
    epoll: &Epoll,
    buffer: &mut [u8],
    opened: &mut Opened,
) {
    let until = Instant::now() + Duration::from_nanos(limits.timeout_ns);
    let mut events = [EpollEvent::empty(); AT_ONCE];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !group.iter().any(waits) || left.is_zero() {
            break;
        }
        let left = EpollTimeout::try_from(left.max(Duration::from_millis(1)));
        let count = epoll.wait(&mut events, left.unwrap_or(EpollTimeout::MAX)).unwrap_or(0);
        for event in &events[..count] {
            for (index, slot) in (first..).zip(group.iter_mut()) {
                if waits(slot)
                    && slot.key(index) == event.data()
                    && let Err(error) = settle(slot, event.events(), buffer)
                {
                    opened.failed(slot, error);
                }
            }
        }
    }
    for slot in group.iter_mut().filter(|slot| waits(slot)) {
        opened.failed(slot, io::ErrorKind::TimedOut.into());
    }
}

/// Goes as far as a connection allows.
fn settle<L: Link>(slot: &mut Slot<L>, flags: EpollFlags, buffer: &mut [u8]) -> io::Result<()> {
    slot.connected()?;
    slot.write()?;
    let mut ends = Vec::new();
    while !slot.link.settled() {
        match slot.read(flags, buffer, &mut ends) {
            Read::More => {}
            Read::Empty => break,
            Read::Close(Failure::Protocol) => {
                return Err(io::Error::other("it answers, but not in this protocol"));
            }
            Read::Close(_) => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
    // What the other side's greeting is answered with.
    slot.write()
}

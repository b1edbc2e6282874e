//! What the thread of one stream does: send or receive until it is told to stop.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    mem::MaybeUninit,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        memfd::{MFdFlags, memfd_create},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use socket2::Socket;

use super::{
    counters::{Budget, Counters},
    datagram::{Arrivals, Head},
    pace::Pace,
    plan::{Plan, Protocol},
    socket::{TICK, is_timeout},
};

/// Writes or reads between two looks at the thread's processor time, which is a system call.
const CPU_EVERY: u32 = 64;
/// Where buffers begin: the kernel copies faster to and from an address that is aligned.
const PAGE: usize = 4096;
/// Ticks without a byte after which a block is given up, once the test is over.
const MOST_STUCK: u32 = 5;
/// How long a receiver takes what still comes when the test is over.
const MOST_DRAINED: Duration = Duration::from_secs(2);

/// A stream's task.
#[derive(Clone, Debug)]
pub struct Work {
    /// What was agreed.
    pub plan: Arc<Plan>,
    /// The data connection.
    pub socket: Arc<Socket>,
    /// What is told.
    pub counters: Arc<Counters>,
    /// Bytes that may still be sent, if they are limited.
    pub budget: Option<Arc<Budget>>,
    /// Set when the test is over.
    pub stop: Arc<AtomicBool>,
}

impl Work {
    /// Sends or receives until it is over.
    ///
    /// # Errors
    /// The connection broke before that.
    pub fn run(&self, sends: bool) -> Result<()> {
        self.socket.set_write_timeout(Some(TICK)).context("setting a timeout")?;
        self.socket.set_read_timeout(Some(TICK)).context("setting a timeout")?;
        let done = match (self.plan.protocol, sends) {
            (Protocol::Tcp, true) => self.send_tcp(),
            (Protocol::Tcp, false) => self.receive_tcp(),
            (Protocol::Udp, true) => self.send_udp(),
            (Protocol::Udp, false) => self.receive_udp(),
        };
        self.counters.note_cpu();
        done.with_context(|| {
            format!("{} a data stream", if sends { "sending" } else { "receiving" })
        })
    }

    fn send_tcp(&self) -> io::Result<()> {
        let block = Block::new(&self.plan)?;
        self.send_blocks(|wanted| block.send(&self.socket, wanted))
    }

    fn send_udp(&self) -> io::Result<()> {
        let mut block = noise(self.plan.length)?;
        let mut number = 0;
        self.send_blocks(|_| {
            let head = Head { sent: clock(), number: number + 1 };
            head.write(&mut block, self.plan.wide_counters);
            let sent = match self.socket.send(&block) {
                // The device's queue is full: that is what sending without a limit does.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
                other => other,
            }?;
            number += u64::from(sent > 0);
            self.counters.sent_datagram(number);
            Ok(sent)
        })
    }

    /// Calls `send` at the plan's rate with the number of bytes to send; it answers how many it sent. A block that was
    /// begun is ended, also when the test is over: some receivers (iperf3 before 3.13) wait for it.
    fn send_blocks(&self, mut send: impl FnMut(usize) -> io::Result<usize>) -> io::Result<()> {
        let mut ready = self.readiness();
        let (mut rest, mut turns, mut stuck) = (0, 0_u32, 0);
        while rest > 0 || !self.stop.load(Relaxed) {
            if rest == 0 {
                if !self.may_begin(&mut ready) {
                    continue;
                }
                rest = self.plan.length;
            }
            let sent = match send(rest) {
                Ok(sent) => sent,
                Err(error) if is_timeout(&error) => 0,
                // The peer leaves when it has seen enough.
                Err(_) if self.stop.load(Relaxed) => return Ok(()),
                Err(error) => return Err(error),
            };
            rest -= sent.min(rest);
            self.counters.add_bytes(sent as u64);
            if let Some((_, pace)) = &mut ready {
                pace.sent(sent as u64);
            }
            stuck = if sent == 0 && self.stop.load(Relaxed) { stuck + 1 } else { 0 };
            if stuck > MOST_STUCK {
                return Ok(());
            }
            turns = self.turn(turns, sent);
        }
        Ok(())
    }

    /// A rate to keep, if there is one.
    fn readiness(&self) -> Option<(Instant, Pace)> {
        let burst = u64::from(self.plan.burst) * self.plan.length as u64;
        let pace = Pace::new(self.plan.rate?, burst);
        sharpen_timer();
        Some((Instant::now(), pace))
    }

    /// Whether it is time for the next block; waits a little when it is not.
    fn may_begin(&self, ready: &mut Option<(Instant, Pace)>) -> bool {
        if let Some((began, pace)) = ready {
            let wait = pace.wait(began.elapsed());
            if !wait.is_zero() {
                thread::sleep(wait.min(TICK));
                return false;
            }
        }
        let may = self.budget.as_ref().is_none_or(|budget| budget.take(self.plan.length));
        if !may {
            thread::sleep(Duration::from_millis(1));
        }
        may
    }

    fn receive_tcp(&self) -> io::Result<()> {
        let flags = if self.plan.skip_receive_copy { libc::MSG_TRUNC } else { 0 };
        let mut room = vec![MaybeUninit::uninit(); self.plan.length + PAGE];
        let start = room.as_ptr().align_offset(PAGE);
        let buffer = &mut room[start..start + self.plan.length];
        let mut filled = 0;
        self.receive(|| {
            // What lacks of the block and no more: shorter reads acknowledge sooner and stay in the processor's cache.
            // Always asking for a whole block cost a fifth of a single stream's throughput.
            let got = self.socket.recv_with_flags(&mut buffer[filled..], flags)?;
            filled = (filled + got) % buffer.len();
            Ok(got)
        })
    }

    fn receive_udp(&self) -> io::Result<()> {
        let mut buffer = vec![0; self.plan.length];
        let mut arrivals = Arrivals::default();
        let mut turns = 0;
        loop {
            let got = match (&*self.socket).read(&mut buffer) {
                Ok(got) => got,
                Err(error) if is_timeout(&error) => 0,
                Err(_) if self.stop.load(Relaxed) => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.stop.load(Relaxed) {
                return Ok(());
            }
            // A repeated greeting has no head.
            if let Some(head) = Head::read(&buffer[..got], self.plan.wide_counters) {
                arrivals.note(head, clock());
                self.counters.arrived(&arrivals);
                self.counters.add_bytes(got as u64);
            }
            turns = self.turn(turns, got);
        }
    }

    fn receive(&self, mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
        let mut turns = 0_u32;
        while !self.stop.load(Relaxed) {
            match receive() {
                // The control connection says whether that was the end.
                Ok(0) => return Ok(()),
                Ok(got) => {
                    self.counters.add_bytes(got as u64);
                    turns = self.turn(turns, got);
                }
                Err(error) if is_timeout(&error) => self.counters.note_cpu(),
                Err(_) if self.stop.load(Relaxed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // A sender that is in the middle of a block has to get rid of it before it can hear that it is over.
        let until = Instant::now() + MOST_DRAINED;
        while Instant::now() < until && matches!(receive(), Ok(1..)) {}
        Ok(())
    }

    fn turn(&self, turns: u32, moved: usize) -> u32 {
        if moved == 0 || turns.is_multiple_of(CPU_EVERY) {
            self.counters.note_cpu();
        }
        turns.wrapping_add(1)
    }
}

/// What is sent again and again.
enum Block {
    /// Bytes that begin at a page, and where in the room they do.
    Memory(Vec<u8>, usize),
    File(File),
}

impl Block {
    fn new(plan: &Plan) -> io::Result<Self> {
        if !plan.zero_copy {
            let room = noise(plan.length + PAGE)?;
            let start = room.as_ptr().align_offset(PAGE);
            return Ok(Self::Memory(room, start));
        }
        let bytes = noise(plan.length)?;
        let mut file = File::from(memfd_create(c"xcloud-block", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&bytes)?;
        Ok(Self::File(file))
    }

    fn send(&self, socket: &Socket, wanted: usize) -> io::Result<usize> {
        match self {
            Self::Memory(room, start) => {
                socket.send_with_flags(&room[*start..start + wanted], libc::MSG_NOSIGNAL)
            }
            Self::File(file) => socket.sendfile(file, 0, NonZeroUsize::new(wanted)),
        }
    }
}

/// Bytes that nothing on the way can compress.
fn noise(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// This machine's monotonic clock.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, |now: TimeSpec| now.into())
}

/// Sleeps of this thread end within microseconds of when they should.
fn sharpen_timer() {
    // SAFETY: changes only a number of the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

//! A test while it runs: one thread a stream, and one that looks at them each interval.

use std::{
    net::Shutdown,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use socket2::Socket;

use super::{
    counters::{Budget, Counters},
    cpu::CpuTime,
    ledger::{Ledger, Moment, Reading, Span},
    plan::{Plan, Protocol},
    protocol::{Control, State},
    socket::TICK,
    tcp_info::TcpInfo,
    work::Work,
};

/// Streams that carry data.
#[derive(Debug)]
pub struct Traffic {
    plan: Arc<Plan>,
    streams: Vec<Stream>,
    budget: Option<Arc<Budget>>,
    stop: Arc<AtomicBool>,
    began: Instant,
    cpu_before: CpuTime,
}

#[derive(Debug)]
struct Stream {
    socket: Arc<Socket>,
    counters: Arc<Counters>,
    sends: bool,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Why a test is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This end has enough.
    Here,
    /// The other end sent a state.
    There(State),
}

impl Traffic {
    /// Starts a thread for each data connection. Only a client keeps to a number of bytes: the server sends until it is
    /// told to stop, as both ends count on.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(plan: &Arc<Plan>, sockets: Vec<Socket>, is_client: bool) -> Result<Self> {
        let mut traffic = Self {
            plan: plan.clone(),
            streams: Vec::new(),
            budget: plan.bytes.filter(|_| is_client).map(|bytes| Arc::new(Budget::new(bytes))),
            stop: Arc::default(),
            began: Instant::now(),
            cpu_before: CpuTime::of_this_thread(),
        };
        for (index, socket) in sockets.into_iter().enumerate() {
            let stream = traffic.spawn(socket, plan.client_sends(index) == is_client)?;
            traffic.streams.push(stream);
        }
        Ok(traffic)
    }

    fn spawn(&self, socket: Socket, sends: bool) -> Result<Stream> {
        let work = Work {
            plan: self.plan.clone(),
            socket: Arc::new(socket),
            counters: Arc::default(),
            budget: self.budget.clone().filter(|_| sends),
            stop: self.stop.clone(),
        };
        let (socket, counters) = (work.socket.clone(), work.counters.clone());
        let thread = thread::Builder::new().name("stream".into()).spawn(move || work.run(sends));
        let thread = Some(thread.context("starting a thread for a stream")?);
        Ok(Stream { socket, counters, sends, thread })
    }

    /// Streams that this end sends are true.
    #[must_use]
    pub fn sends(&self) -> Vec<bool> {
        self.streams.iter().map(|stream| stream.sends).collect()
    }

    /// All numbers now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let is_tcp = self.plan.protocol == Protocol::Tcp;
        let reading = |stream: &Stream| Reading {
            count: stream.counters.read(),
            tcp: (is_tcp && stream.sends).then(|| TcpInfo::of(stream.socket.as_fd())).flatten(),
        };
        Moment {
            at: self.began.elapsed(),
            readings: self.streams.iter().map(reading).collect(),
            control_cpu: CpuTime::of_this_thread() - self.cpu_before,
        }
    }

    /// An account that begins now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.sends(), self.moment(), !self.plan.omit.is_zero())
    }

    /// Looks at the streams each `interval` until `over` says so or the other end sends something.
    ///
    /// # Errors
    /// A stream broke, or the control connection did.
    pub fn watch(
        &mut self,
        control: &mut Control,
        ledger: &mut Ledger,
        interval: Duration,
        over: &dyn Fn(&Ledger, &Moment) -> bool,
        show: &mut dyn FnMut(&Span),
    ) -> Result<End> {
        let mut next = interval;
        let end = loop {
            let wait =
                self.due(ledger, next).saturating_sub(self.began.elapsed()).min(self.patience());
            if control.readable(wait)? {
                break End::There(control.receive_state()?);
            }
            let now = self.moment();
            if ledger.is_warming() && now.at >= self.plan.omit {
                next = now.at + interval;
                self.begin(ledger, now, show);
            } else if over(ledger, &now) {
                break End::Here;
            } else if now.at >= next && !self.ends_with(&now, ledger, interval) {
                // Intervals keep to the grid, whatever one of them missed.
                while next <= now.at {
                    next += interval;
                }
                show(&ledger.cut(now));
            }
            self.check()?;
        };
        self.stop.store(true, Relaxed);
        show(&ledger.cut(self.moment()));
        Ok(end)
    }

    fn begin(&self, ledger: &mut Ledger, now: Moment, show: &mut dyn FnMut(&Span)) {
        if let (Some(budget), Some(bytes)) = (&self.budget, self.plan.bytes) {
            budget.refill(bytes);
        }
        show(&ledger.cut(now.clone()));
        ledger.begin(now);
    }

    /// When there is something to do next.
    fn due(&self, ledger: &Ledger, next: Duration) -> Duration {
        let end = if ledger.is_warming() {
            self.plan.omit
        } else if self.plan.bytes.is_some() {
            next
        } else {
            self.plan.omit + self.plan.time
        };
        next.min(end)
    }

    /// A number of bytes may be reached at any moment.
    fn patience(&self) -> Duration {
        if self.plan.bytes.is_some() { Duration::from_millis(2) } else { TICK }
    }

    /// Whether the test ends so soon that the interval's end is left to it.
    fn ends_with(&self, now: &Moment, ledger: &Ledger, interval: Duration) -> bool {
        let end = self.plan.omit + self.plan.time;
        !ledger.is_warming()
            && self.plan.bytes.is_none()
            && now.at + interval / 20 >= end
            && now.at < end + interval / 2
    }

    /// Whether all streams are well.
    fn check(&mut self) -> Result<()> {
        for stream in &mut self.streams {
            if let Some(thread) = stream.thread.take_if(|thread| thread.is_finished()) {
                thread.join().map_err(|_| anyhow!("a stream's thread panicked"))??;
            }
        }
        Ok(())
    }

    /// Stops all streams and waits for those that send.
    pub fn finish_sending(&mut self) {
        self.stop.store(true, Relaxed);
        for stream in self.streams.iter_mut().filter(|stream| stream.sends) {
            drop(stream.thread.take().map(JoinHandle::join));
        }
    }

    /// Stops all streams and waits for their threads; the connections stay until the value is dropped.
    pub fn finish(&mut self) {
        self.stop.store(true, Relaxed);
        for stream in &mut self.streams {
            // What breaks now has been counted.
            drop(stream.thread.take().map(JoinHandle::join));
        }
    }

    /// Stops all streams and tells the other end that nothing more comes: clients before iperf3 3.13 read data until then
    /// before they hear anything else.
    pub fn close(&mut self) {
        self.finish_sending();
        for stream in self.streams.iter().filter(|stream| stream.sends) {
            // A datagram socket or one whose peer has left needs no such word.
            let _ = stream.socket.shutdown(Shutdown::Write);
        }
        self.finish();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.finish();
    }
}

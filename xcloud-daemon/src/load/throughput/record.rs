//! A test that was made, with what both ends saw: what all reports are made from.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use socket2::Socket;

use super::{
    cookie::Cookie,
    ledger::{Ledger, Part, Span},
    plan::{Plan, Protocol},
    results::{Cpu, Results, StreamResult},
    socket::{congestion, plain},
};

/// Facts of the beginning of a test.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What was agreed.
    pub plan: Arc<Plan>,
    /// Whether this is the client's end.
    pub is_client: bool,
    /// What tells the test from others.
    pub cookie: Cookie,
    /// As the user called the server, or the client's address.
    pub peer: String,
    /// The server's port.
    pub port: u16,
    /// When it began.
    pub started: SystemTime,
    /// The data connections: local and remote ends.
    pub connected: Vec<(SocketAddr, SocketAddr)>,
    /// The congestion control of the first.
    pub congestion: Option<String>,
    /// Socket buffers of the first, in bytes: sending and receiving.
    pub buffers: (usize, usize),
    /// The largest segment of the first.
    pub mss: u32,
}

impl Setting {
    /// Of a test on these connections that begins now.
    #[must_use]
    pub fn new(
        plan: &Arc<Plan>,
        is_client: bool,
        cookie: Cookie,
        peer: String,
        port: u16,
        sockets: &[Socket],
    ) -> Self {
        let end = |address: std::io::Result<socket2::SockAddr>| {
            plain(address.ok().and_then(|a| a.as_socket()))
        };
        let connected =
            sockets.iter().map(|socket| (end(socket.local_addr()), end(socket.peer_addr())));
        let first = sockets.first();
        let size = |size: Option<std::io::Result<usize>>| size.and_then(Result::ok).unwrap_or(0);
        Self {
            plan: plan.clone(),
            is_client,
            cookie,
            peer,
            port,
            started: SystemTime::now(),
            connected: connected.collect(),
            congestion: first.filter(|_| plan.protocol == Protocol::Tcp).and_then(congestion),
            buffers: (
                size(first.map(Socket::send_buffer_size)),
                size(first.map(Socket::recv_buffer_size)),
            ),
            mss: first.and_then(|socket| socket.tcp_mss().ok()).unwrap_or(0),
        }
    }
}

/// A test.
#[derive(Clone, Debug)]
pub struct Record {
    /// How it began.
    pub setting: Setting,
    /// What this end saw.
    pub ledger: Ledger,
    /// What the other end saw.
    pub peer: Results,
}

/// What both ends saw of one or more streams of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// Whether the client sends.
    pub from_client: bool,
    /// Bytes that left.
    pub sent: u64,
    /// Time of the sender.
    pub sent_time: Duration,
    /// Bytes that came.
    pub received: u64,
    /// Time of the receiver.
    pub received_time: Duration,
    /// Segments sent again, where the sender counts them.
    pub retransmits: Option<u64>,
    /// Datagrams sent, by the sender's count.
    pub datagrams_sent: u64,
    /// Datagrams expected, by the receiver's count.
    pub datagrams: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Of these, behind the last that came.
    pub tail: u64,
    /// Datagrams out of order, where the receiver is here.
    pub out_of_order: u64,
    /// In seconds.
    pub jitter: f64,
}

/// Bits per second.
#[must_use]
pub fn rate(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { bytes as f64 * 8.0 / time.as_secs_f64() }
}

/// A share in percent.
#[must_use]
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

impl Flow {
    /// A receiver expects what it has seen the number of: what it saw nothing of, the sender's count tells. The last
    /// second's worth of datagrams may be under way when the receiver stops, or overtaken by the end of the test.
    fn with_tail(mut self) -> Self {
        let behind = self.datagrams_sent.saturating_sub(self.datagrams);
        let of_a_second = self.datagrams_sent as f64 / self.sent_time.as_secs_f64();
        if behind > 0 && (self.received == 0 || behind as f64 > of_a_second) {
            self.tail = behind;
            self.lost += behind;
            self.datagrams = self.datagrams_sent;
        }
        self
    }
}

impl Record {
    /// Stream by stream.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        let whole = self.ledger.whole();
        let parts = whole.parts.iter().enumerate();
        parts.map(|(index, part)| self.flow(index, part, &whole)).collect()
    }

    fn flow(&self, index: usize, part: &Part, whole: &Span) -> Flow {
        let id = Plan::id(index);
        let far =
            self.peer.streams.iter().find(|stream| stream.id == id).cloned().unwrap_or_default();
        // A peer's clock may say anything; rates of a time of nothing are none.
        let far_time = Duration::try_from_secs_f64(far.end).unwrap_or_default();
        let near = result(index, part, whole);
        let (sent, sent_time, received, received_time) = if part.sends {
            (near, whole.time(), far, far_time)
        } else {
            (far, far_time, near, whole.time())
        };
        let flow = Flow {
            from_client: part.sends == self.setting.is_client,
            sent: sent.bytes,
            sent_time,
            received: received.bytes,
            received_time,
            retransmits: sent.retransmits,
            datagrams_sent: sent.packets,
            datagrams: received.packets,
            lost: received.errors,
            tail: 0,
            out_of_order: part.out_of_order,
            jitter: received.jitter,
        };
        if self.setting.plan.protocol == Protocol::Udp { flow.with_tail() } else { flow }
    }

    /// All streams of one direction together; nothing where there are none.
    #[must_use]
    pub fn sum(&self, from_client: bool) -> Option<Flow> {
        let flows: Vec<_> =
            self.flows().into_iter().filter(|f| f.from_client == from_client).collect();
        let count = flows.len() as f64;
        let mut sum = flows.into_iter().reduce(|sum, flow| Flow {
            from_client,
            sent: sum.sent + flow.sent,
            sent_time: sum.sent_time.max(flow.sent_time),
            received: sum.received + flow.received,
            received_time: sum.received_time.max(flow.received_time),
            retransmits: sum.retransmits.zip(flow.retransmits).map(|(a, b)| a + b),
            datagrams_sent: sum.datagrams_sent + flow.datagrams_sent,
            datagrams: sum.datagrams + flow.datagrams,
            lost: sum.lost + flow.lost,
            tail: sum.tail + flow.tail,
            out_of_order: sum.out_of_order + flow.out_of_order,
            jitter: sum.jitter + flow.jitter,
        })?;
        sum.jitter /= count;
        Some(sum)
    }

    /// Processor time of this end.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        let whole = self.ledger.whole();
        whole.cpu.share(whole.time())
    }

    /// What the other end is told.
    #[must_use]
    pub fn results(setting: &Setting, ledger: &Ledger) -> Results {
        let whole = ledger.whole();
        let parts = whole.parts.iter().enumerate();
        Results {
            cpu: whole.cpu.share(whole.time()),
            has_retransmits: whole.parts.iter().any(|part| part.retransmits.is_some()),
            congestion: setting.congestion.clone(),
            streams: parts.map(|(index, part)| result(index, part, &whole)).collect(),
            report: None,
        }
    }
}

fn result(index: usize, part: &Part, whole: &Span) -> StreamResult {
    StreamResult {
        id: Plan::id(index),
        bytes: part.bytes,
        retransmits: part.retransmits,
        jitter: part.jitter,
        errors: part.lost,
        packets: part.datagrams,
        end: whole.time().as_secs_f64(),
    }
}

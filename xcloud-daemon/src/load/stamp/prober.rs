//! Sends probes when they are due and takes down what comes back. One thread sends, the calling one receives.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};

use super::{
    auth::Key,
    clock::{Clock, error_estimate, monotonic_ns},
    packet::{self, Probe, Reply},
    probes::{Answer, Measured, Sent},
    schedule::Schedule,
    socket::{self, Receiver},
    timestamp::{ErrorEstimate, Format},
    tlv,
};
use crate::load::rate::timer::no_slack;

/// What to send, to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The reflector.
    pub target: SocketAddr,
    /// Source ports, used in turn.
    pub flows: u16,
    /// Bytes of a packet, without UDP's header.
    pub size: usize,
    /// For authenticated mode.
    pub key: Option<Key>,
    /// How times are told.
    pub format: Format,
    /// When.
    pub schedule: Schedule,
    /// Most probes.
    pub count: u32,
    /// How long an answer may take.
    pub timeout_ns: u64,
}

/// A source port of this run.
struct Flow {
    socket: UdpSocket,
    session: u16,
}

/// Sends until the count is reached or `stop` is set, and waits for the last answers.
///
/// # Errors
/// No socket can be had.
pub fn run(plan: &Plan, clock: Clock, stop: &AtomicBool) -> Result<Measured> {
    let flows = open(plan)?;
    let sending = AtomicBool::new(true);
    let mut measured = Measured::new(plan.flows, plan.timeout_ns, clock.unix_ns(clock.start_ns()));
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send_all(plan, &flows, clock, stop);
            sending.store(false, Ordering::Release);
            sent
        });
        let received = receive_all(plan, &flows, clock, &sending, &mut measured);
        let sent = sender.join().expect("the sender does not panic");
        received.map(|()| sent)
    })?;
    measured.duration_ns = monotonic_ns().saturating_sub(clock.start_ns());
    measured.sent = sent;
    measured.drop_foreign(|at_ns| plan.format.encode(clock.unix_ns(clock.start_ns() + at_ns)));
    Ok(measured)
}

fn open(plan: &Plan) -> Result<Vec<Flow>> {
    let any = if plan.target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let any = any.parse().context("an address")?;
    (0..plan.flows)
        .map(|index| {
            let socket = socket::open(any)?;
            socket.connect(plan.target).with_context(|| format!("no route to {}", plan.target))?;
            socket.set_nonblocking(true).context("setting up a socket")?;
            // Sessions of an earlier run from the same port have another number; 0 means none.
            let [.., high, low] = (monotonic_ns() >> 10).to_be_bytes();
            let session = u16::from_be_bytes([high, low]).wrapping_add(index).max(1);
            Ok(Flow { socket, session })
        })
        .collect()
}

fn send_all(plan: &Plan, flows: &[Flow], clock: Clock, stop: &AtomicBool) -> Vec<Sent> {
    no_slack();
    let error = error_estimate(plan.format);
    let mut bytes = vec![0; plan.size];
    tlv::pad(&mut bytes[packet::length(plan.key.as_ref())..]);
    let mut sent = Vec::new();
    for (index, intended_ns) in (0..plan.count).zip(plan.schedule.clone()) {
        sleep_until(clock.start_ns().saturating_add(intended_ns));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let flow = &flows[index as usize % flows.len()];
        let sequence = index / u32::from(plan.flows);
        let now_ns = monotonic_ns();
        let time = plan.format.encode(clock.unix_ns(now_ns));
        let probe = Probe { sequence, sent: time, error, session: flow.session };
        probe.encode(plan.key.as_ref(), &mut bytes);
        let failed = !send(&flow.socket, &bytes);
        sent.push(Sent { intended_ns, at_ns: now_ns - clock.start_ns(), failed });
    }
    sent
}

/// Sends a probe. A connected socket first tells the failure of an earlier one, which that one has already paid for.
fn send(socket: &UdpSocket, bytes: &[u8]) -> bool {
    socket.send(bytes).is_ok() || socket.send(bytes).is_ok()
}

fn sleep_until(at_ns: u64) {
    let at = TimeSpec::from_duration(std::time::Duration::from_nanos(at_ns));
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &at) == Err(Errno::EINTR) {}
}

fn receive_all(
    plan: &Plan,
    flows: &[Flow],
    clock: Clock,
    sending: &AtomicBool,
    measured: &mut Measured,
) -> Result<()> {
    let mut receiver = Receiver::new();
    let mut bytes = vec![0; packet::LARGEST];
    let mut waiting: Vec<_> =
        flows.iter().map(|flow| PollFd::new(flow.socket.as_fd(), PollFlags::POLLIN)).collect();
    let mut end_ns = None;
    loop {
        if end_ns.is_none() && !sending.load(Ordering::Acquire) {
            end_ns = Some(monotonic_ns().saturating_add(plan.timeout_ns));
        }
        if end_ns.is_some_and(|end| monotonic_ns() >= end) {
            return Ok(());
        }
        match poll(&mut waiting, PollTimeout::from(20u8)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for answers"),
        }
        for (index, flow) in (0..).zip(flows) {
            if waiting[usize::from(index)].any() == Some(true) {
                drain(plan, (index, flow), clock, &mut receiver, &mut bytes, measured);
            }
        }
    }
}

/// Takes what a socket has; errors on it are those of packets sent earlier.
fn drain(
    plan: &Plan,
    (index, flow): (u16, &Flow),
    clock: Clock,
    receiver: &mut Receiver,
    bytes: &mut [u8],
    measured: &mut Measured,
) {
    // Others get their turn too.
    for _ in 0..64 {
        match receiver.receive(&flow.socket, bytes) {
            Ok(received) => {
                let reply = Reply::decode(plan.key.as_ref(), &bytes[..received.length])
                    .filter(|reply| [0, flow.session].contains(&reply.session));
                let arrived_ns = received.monotonic_ns.saturating_sub(clock.start_ns());
                measured
                    .take(plan.count, reply.map(|reply| answer(index, &reply, clock, arrived_ns)));
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => measured.foreign += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {}
        }
    }
}

/// An answer as it is taken down: times since the clock's start.
pub(in crate::load) fn answer(flow: u16, reply: &Reply, clock: Clock, arrived_ns: u64) -> Answer {
    let start = clock.unix_ns(clock.start_ns());
    let ErrorEstimate { format, .. } = reply.error;
    let since = |bits| format.decode(bits, start).saturating_sub(start);
    Answer {
        flow,
        sequence: reply.probe.sequence,
        probe_sent: reply.probe.sent,
        reflector: reply.sequence,
        received_ns: since(reply.received),
        sent_ns: since(reply.sent),
        arrived_ns,
    }
}

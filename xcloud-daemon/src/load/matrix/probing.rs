//! Probes peers one after the other, each when it is due, and takes down what comes back. One thread does both: the rate
//! is low.

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use super::{choose, peers::Peer, track::Track};
use crate::load::stamp::{
    auth::Key,
    clock::{Clock, error_estimate, monotonic_ns},
    packet::{self, Probe, Reply},
    prober,
    probes::Sent,
    socket::{self, Receiver},
    timestamp::{ErrorEstimate, Format},
};

/// How times are told.
const FORMAT: Format = Format::Ntp;

/// How to probe.
#[derive(Clone, Debug)]
pub struct Plan {
    /// This endpoint.
    pub me: Peer,
    /// Time between probes of a peer.
    pub interval_ns: u64,
    /// How long an answer may take.
    pub timeout_ns: u64,
    /// What is told together: a minute.
    pub minute_ns: u64,
    /// For authenticated mode.
    pub key: Option<Key>,
}

/// A peer that is probed, or was.
#[derive(Debug)]
pub struct Target {
    /// Who it is.
    pub peer: Peer,
    /// What is known of it.
    pub track: Track,
    /// When its next probe is due, since the start; none if it is no peer any more.
    due_ns: Option<u64>,
    /// Probes that were not sent, as their time had passed.
    pub skipped: u64,
}

/// All peers.
#[derive(Debug)]
pub struct Probing {
    plan: Plan,
    clock: Clock,
    socket: UdpSocket,
    receiver: Receiver,
    error: ErrorEstimate,
    targets: BTreeMap<String, Target>,
    /// Names by address, also of those that were probed: answers may still come.
    names: HashMap<SocketAddr, String>,
    bytes: Vec<u8>,
}

impl Probing {
    /// Probes nobody yet, from an address.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn new(plan: Plan, clock: Clock, from: SocketAddr) -> Result<Self> {
        let socket = socket::open(SocketAddr::new(from.ip(), 0))?;
        socket.set_nonblocking(true).context("setting up a socket")?;
        Ok(Self {
            plan,
            clock,
            socket,
            receiver: Receiver::new(),
            error: error_estimate(FORMAT),
            targets: BTreeMap::new(),
            names: HashMap::new(),
            bytes: vec![0; packet::LARGEST],
        })
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        monotonic_ns().saturating_sub(self.clock.start_ns())
    }

    /// From now on probes these peers; what is known of others is kept.
    pub fn set(&mut self, peers: &[&Peer]) {
        let now = self.now();
        for target in self.targets.values_mut() {
            if !peers.iter().any(|peer| peer.name == target.peer.name) {
                target.due_ns = None;
            }
        }
        for peer in peers {
            self.names.insert(peer.address, peer.name.clone());
            let Plan { minute_ns, timeout_ns, interval_ns, .. } = self.plan;
            let target = self.targets.entry(peer.name.clone()).or_insert_with(|| {
                // Sessions of an earlier run from the same port have another number.
                let [.., high, low] = (monotonic_ns() >> 10).to_be_bytes();
                let session = u16::from_be_bytes([high, low]);
                let track = Track::new(minute_ns, timeout_ns, session);
                Target { peer: (*peer).clone(), track, due_ns: None, skipped: 0 }
            });
            target.peer = (*peer).clone();
            let phase = choose::phase(&self.plan.me, peer, interval_ns);
            target.due_ns = target.due_ns.or(Some(now + phase));
        }
    }

    /// Sends what is due.
    pub fn send(&mut self) {
        let unix_ns = self.clock.unix_ns(self.clock.start_ns());
        let length = packet::length(self.plan.key.as_ref());
        let now = self.now();
        for target in self.targets.values_mut() {
            let Some(due) = target.due_ns.filter(|due| *due <= now) else {
                continue;
            };
            let passed = (now - due) / self.plan.interval_ns;
            target.skipped += passed;
            target.due_ns = Some(due + (passed + 1) * self.plan.interval_ns);
            let next = target.track.next(now, unix_ns);
            let bytes = &mut self.bytes[..length];
            let at = monotonic_ns();
            let sent = FORMAT.encode(self.clock.unix_ns(at));
            let (sequence, session) = (next.sequence, next.session);
            Probe { sequence, sent, error: self.error, session }
                .encode(self.plan.key.as_ref(), bytes);
            let failed = self.socket.send_to(bytes, target.peer.address).is_err();
            let at_ns = at.saturating_sub(self.clock.start_ns());
            let intended_ns = due + passed * self.plan.interval_ns;
            target.track.sent(Sent { intended_ns, at_ns, failed });
        }
    }

    /// Waits for answers until the next probe is due, or for so long.
    pub fn wait(&self, most: Duration) {
        let due = self.targets.values().filter_map(|target| target.due_ns).min();
        let left = due.map_or(most, |due| Duration::from_nanos(due.saturating_sub(self.now())));
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // An interruption is as good as an answer.
        let _ = ppoll(&mut waiting, Some(TimeSpec::from_duration(left.min(most))), None);
    }

    /// Takes the answers that came; errors are those of probes sent earlier.
    pub fn receive(&mut self) {
        // Probes get their turn too.
        for _ in 0..256 {
            match self.receiver.receive(&self.socket, &mut self.bytes) {
                Ok(received) => {
                    let key = self.plan.key.as_ref();
                    let reply = Reply::decode(key, &self.bytes[..received.length]);
                    let name = received.from.and_then(|from| self.names.get(&from));
                    let target = name.and_then(|name| self.targets.get_mut(name));
                    let arrived_ns = received.monotonic_ns.saturating_sub(self.clock.start_ns());
                    let known = target.zip(reply).is_some_and(|(target, reply)| {
                        let answer = prober::answer(0, &reply, self.clock, arrived_ns);
                        target.track.answered(reply.session, answer)
                    });
                    if !known {
                        tracing::debug!("a packet that answers no probe, from {:?}", received.from);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => tracing::debug!("receiving: {error}"),
            }
        }
    }

    /// Tells each minute that is over, and to whom it belongs; all of them once the run has `ended`.
    pub fn over(&mut self, ended: bool, mut tell: impl FnMut(&Peer, &super::track::Minute)) {
        let (now, clock) = (self.now(), self.clock);
        let encoded = |at_ns| FORMAT.encode(clock.unix_ns(clock.start_ns() + at_ns));
        for target in self.targets.values_mut() {
            while let Some(minute) = target.track.over(now, ended, encoded) {
                tell(&target.peer, minute);
            }
        }
    }

    /// What is known of all peers, by name.
    #[must_use]
    pub fn into_targets(self) -> Vec<Target> {
        self.targets.into_values().collect()
    }
}

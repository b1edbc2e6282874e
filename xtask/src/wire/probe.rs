//! How long a packet takes from being sent into a TUN device to being read from it: part of every delay the wire
//! makes, so it is measured all the time and its median taken off.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt};

use super::{clock, impair::Random};
use crate::netns;

/// Probes go here: an address for benchmarks that no node has.
pub(crate) const PROBE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Fillers go here.
pub(crate) const FILLER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

const DISCARD: u16 = 9;
const KEPT: usize = 101;
/// IPv4 and UDP header.
const HEADERS: usize = 28;

/// A socket in `netns` that sends through `device` to `address`.
pub(crate) fn socket(netns: &str, device: &str, address: Ipv4Addr) -> Result<UdpSocket> {
    netns::within(netns, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("binding")?;
        setsockopt(&socket, sockopt::BindToDevice, &device.into()).context("SO_BINDTODEVICE")?;
        setsockopt(&socket, sockopt::SndBufForce, &(64 << 20)).context("SO_SNDBUFFORCE")?;
        socket.connect(SocketAddrV4::new(address, DISCARD)).context("connecting")?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
    .with_context(|| format!("opening a socket on {device} in {netns}"))
}

/// The time written into a probe or filler when it was sent.
pub(crate) fn sent_at(ip: &[u8]) -> Option<u64> {
    let stamp = ip.get(HEADERS..HEADERS + 8)?.try_into().ok()?;
    Some(u64::from_ne_bytes(stamp))
}

/// The number written into a filler.
pub(crate) fn number(ip: &[u8]) -> Option<u64> {
    let number = ip.get(HEADERS + 8..HEADERS + 16)?.try_into().ok()?;
    Some(u64::from_ne_bytes(number))
}

/// The usual hand-off time.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    recent: VecDeque<u64>,
    median: u64,
}

impl Handoff {
    /// Takes one measurement.
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(nanoseconds);
        let mut sorted: Vec<u64> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted[sorted.len() / 2];
    }

    /// Median of the last ones.
    pub(crate) fn median(&self) -> u64 {
        self.median
    }
}

/// Sends a probe through one of `sockets` about every 5 ms, at irregular times, until `stop`.
pub(crate) fn spawn(sockets: Vec<UdpSocket>, seed: u64, stop: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut random = Random::new(seed);
        for socket in sockets.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_secs_f64(0.002 + 0.006 * random.unit()));
            // A lost probe is one measurement less.
            let _ = socket.send(&clock::now().to_ne_bytes());
        }
    });
}

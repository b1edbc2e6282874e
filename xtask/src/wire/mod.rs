//! The wire between the nodes: a delay line in user space on TUN devices. Whatever a kernel knows about a packet
//! beyond its bytes ends here, as it does on a real wire.
//!
//! One thread does everything: it reads packets, decides when each is due, and hands it over then. It sleeps until
//! shortly before the next due time and polls the rest, because waking up costs more than the precision wanted.

mod clock;
pub(crate) mod config;
pub(crate) mod filler;
mod impair;
mod line;
mod packet;
mod probe;
mod segment;
pub(crate) mod stats;
mod tun;

use std::{
    fs,
    net::IpAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};

use self::{
    clock::Budget,
    config::{Prefix, Uplink, WireConfig},
    filler::Filler,
    impair::{Direction, Fate},
    line::Line,
    packet::{LARGEST, VNET},
    probe::Handoff,
    stats::Stats,
    tun::Tun,
};
use crate::signals;

/// What is taken off as hand-off time at most: a wire that lags further is overloaded, and shows it.
const MOST_HANDOFF_NS: u64 = 200_000;
/// Packets read from one device before looking at the clock again.
const BATCH: usize = 32;
const SECOND_NS: u64 = 1_000_000_000;

/// What a device is for.
#[derive(Debug)]
enum Role {
    /// To other nodes; one direction per device, by its index.
    Uplink { to: Vec<Direction> },
    /// Back to itself, later.
    Detour { delay_ns: u64 },
}

struct Port {
    role: Role,
    prefixes: Vec<Prefix>,
    filler: Option<Filler>,
    name: String,
}

struct Wire {
    tuns: Vec<Tun>,
    ports: Vec<Port>,
    mtu: Option<u16>,
    line: Line,
    handoff: Handoff,
    stats: Stats,
}

/// Runs the wire that the file at `path` describes until SIGTERM or SIGINT.
pub(crate) fn run(path: &Path) -> Result<()> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let config: WireConfig = serde_json::from_slice(&text)
        .with_context(|| format!("understanding {}", path.display()))?;
    let stop = signals::stop_flag()?;
    let sockets = probe_sockets(&config)?;
    // After the probes' thread is made, which must not inherit the priority.
    let mut wire = Wire::open(&config)?;
    probe::spawn(sockets, config.seed, Arc::clone(&stop));
    wire.stats.counts.real_time = clock::be_punctual();
    fs::write(&config.ready_file, "")
        .with_context(|| format!("writing {}", config.ready_file.display()))?;
    wire.carry(&stop, &config.report_file)?;
    wire.stats.write(&config.report_file)
}

/// Probes for every device but those with a queue, where they would measure the queue.
fn probe_sockets(config: &WireConfig) -> Result<Vec<std::net::UdpSocket>> {
    let uplinks = config.uplinks.iter().filter(|u| u.queue.is_none());
    uplinks
        .map(|u| (&u.netns, &u.device))
        .chain(config.detours.iter().map(|d| (&d.netns, &d.device)))
        .map(|(netns, device)| probe::socket(netns, device, probe::PROBE))
        .collect()
}

impl Wire {
    fn open(config: &WireConfig) -> Result<Self> {
        let mut tuns = Vec::new();
        let mut ports = Vec::new();
        for (index, uplink) in config.uplinks.iter().enumerate() {
            tuns.push(Tun::attach(&uplink.netns, &uplink.device, config.mtu.is_some())?);
            ports.push(Port::uplink(config, index, uplink)?);
        }
        for detour in &config.detours {
            tuns.push(Tun::attach(&detour.netns, &detour.device, false)?);
            ports.push(Port {
                role: Role::Detour { delay_ns: detour.delay_ns },
                prefixes: Vec::new(),
                filler: None,
                name: detour.device.clone(),
            });
        }
        Ok(Self {
            tuns,
            ports,
            mtu: config.mtu,
            line: Line::default(),
            handoff: Handoff::default(),
            stats: Stats::new(false)?,
        })
    }

    fn carry(&mut self, stop: &AtomicBool, report: &Path) -> Result<()> {
        let mut buffer = vec![0; LARGEST];
        let mut ready = Vec::new();
        let mut tick = clock::now();
        let mut budget = Budget::new(tick);
        while !stop.load(Ordering::Relaxed) {
            let now = clock::now();
            self.release(now);
            if now >= tick {
                tick = now + SECOND_NS;
                self.stats.write(report)?;
                self.fillers().for_each(Filler::tick);
            }
            let next = self.line.next_due().map_or(tick, |due| due.min(tick));
            let left = next.saturating_sub(clock::now());
            let asleep = left.saturating_sub(budget.awake(now));
            clock::wait(&self.tuns, asleep, &mut ready);
            for port in ready.drain(..) {
                self.read(port, &mut buffer);
            }
        }
        Ok(())
    }

    fn fillers(&mut self) -> impl Iterator<Item = &mut Filler> {
        self.ports.iter_mut().filter_map(|p| p.filler.as_mut())
    }

    /// Hands over everything that is due.
    fn release(&mut self, mut now: u64) {
        while let Some(flying) = self.line.pop_due(now) {
            now = clock::now();
            self.stats.late(now.saturating_sub(flying.due));
            let accepted = self.tuns[flying.port].write(&flying.frame);
            self.stats.counts.refused += u64::from(!accepted);
        }
    }

    fn read(&mut self, port: usize, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Some(length) = self.tuns[port].read(buffer) else {
                return;
            };
            let now = clock::now();
            if length > VNET {
                self.take(port, &buffer[..length], now);
            }
            if self.line.next_due().is_some_and(|due| due <= now) {
                return;
            }
        }
    }

    /// Decides what becomes of a packet read from `port` at `now`.
    fn take(&mut self, port: usize, frame: &[u8], now: u64) {
        let Some(destination) = packet::destination(&frame[VNET..]) else {
            self.stats.counts.unroutable += 1;
            return;
        };
        if destination == probe::PROBE || destination == probe::FILLER {
            self.measure(port, &frame[VNET..], now);
            return;
        }
        let entered = now - self.handoff.median().min(MOST_HANDOFF_NS);
        if let Role::Detour { delay_ns } = self.ports[port].role {
            self.line.push(entered + delay_ns, port, frame.to_vec());
            return;
        }
        let Some(to) = self.way_to(destination, port) else {
            self.stats.counts.unroutable += 1;
            return;
        };
        let Some(mtu) = self.mtu else {
            self.send(port, to, entered, frame.to_vec());
            return;
        };
        for piece in segment::cut(frame, mtu).unwrap_or_default() {
            self.send(port, to, entered, piece);
        }
    }

    /// The port that leads to an address; of several the one of the same name, as if each name were a network.
    fn way_to(&self, destination: IpAddr, from: usize) -> Option<usize> {
        let leads = |p: &Port| p.prefixes.iter().any(|prefix| prefix.contains(destination));
        let all = self.ports.iter().enumerate().filter(|(_, port)| leads(port));
        all.max_by_key(|(_, port)| port.name == self.ports[from].name).map(|(index, _)| index)
    }

    fn send(&mut self, from: usize, to: usize, entered: u64, frame: Vec<u8>) {
        let Role::Uplink { to: directions } = &mut self.ports[from].role else {
            return;
        };
        let counts = &mut self.stats.counts;
        match directions[to].send(entered, frame.len() - VNET) {
            Fate::Due(due) => {
                counts.packets += 1;
                counts.bytes += (frame.len() - VNET) as u64;
                self.line.push(due, to, frame);
            }
            Fate::Lost => counts.lost += 1,
            Fate::Overflow => counts.overflowed += 1,
        }
    }

    /// A probe or a filler has come through.
    fn measure(&mut self, port: usize, ip: &[u8], now: u64) {
        let waited = now.saturating_sub(probe::sent_at(ip).unwrap_or(now));
        if let (Some(filler), Some(number)) = (&mut self.ports[port].filler, probe::number(ip)) {
            self.stats.queue(waited);
            filler.came_out(number, waited, self.handoff.median());
        } else {
            self.stats.handoff(waited);
            self.handoff.add(waited);
        }
    }
}

impl Port {
    fn uplink(config: &WireConfig, index: usize, uplink: &Uplink) -> Result<Self> {
        let direction = |other: usize| {
            let seed = config.seed ^ ((index as u64) << 32) ^ other as u64;
            Direction::new(config.wan, seed)
        };
        Ok(Self {
            role: Role::Uplink { to: (0..config.uplinks.len()).map(direction).collect() },
            prefixes: uplink.prefixes.clone(),
            name: uplink.device.clone(),
            filler: uplink
                .queue
                .map(|queue| Filler::new(&uplink.netns, &uplink.device, queue))
                .transpose()?,
        })
    }
}

//! What is to be measured, once it was checked: the aggregator and the endpoints read it with the same eyes.

use std::time::Duration;

use xcloud_proto::loadtest::v1::{
    LoadTestSpec, Probes, RequestProtocol, Requests, Throughput, load_test_spec::Kind as WireKind,
};

use crate::{
    escape::is_harmful,
    load::{
        rr::frame::{ASK, LARGEST_DATAGRAM},
        throughput::plan::{MAX_OMIT, MAX_STREAMS},
    },
};

/// Longest test.
pub const LONGEST: Duration = Duration::from_hours(24);
/// Longest name of an endpoint, in bytes: that of a DNS name.
pub const MAX_ENDPOINT_NAME: usize = 253;
/// Longest name of a trial, in bytes.
const MAX_NAME: usize = 128;
/// Most bits per second that may be asked for.
const MOST_BITS: u64 = 10_000_000_000_000;
/// Most requests per second.
const MOST_REQUESTS: u64 = 10_000_000;
/// Most connections: what a responder lets in.
const MOST_CONNECTIONS: u32 = 10_000;
/// Connections when none are named, as of `xcloud load rr`.
const CONNECTIONS: u32 = 10;
/// Most threads that send.
const MOST_THREADS: u32 = 256;
/// Largest payload of a request or an answer.
const MOST_PAYLOAD: u32 = 16 << 20;
/// Time between probes when none is named, as of `xcloud load stamp`.
const INTERVAL: Duration = Duration::from_millis(10);
/// Shortest time between probes.
const SHORTEST_INTERVAL: Duration = Duration::from_micros(10);
/// Most probes of a test: each is kept until the end.
const MOST_PROBES: u128 = 4_000_000;
/// Most source ports of probes.
const MOST_FLOWS: u32 = 256;

/// A test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The endpoint that sends.
    pub from: String,
    /// The endpoint that answers.
    pub to: String,
    /// For how long load is sent.
    pub duration: Duration,
    /// What the trial is called.
    pub name: String,
    /// How.
    pub kind: Kind,
}

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How much the path carries.
    Throughput {
        /// Streams at once.
        streams: u32,
        /// UDP instead of TCP.
        udp: bool,
        /// Of all streams together.
        bits_per_second: Option<u64>,
        /// The answering endpoint sends.
        reverse: bool,
        /// Sent before the figures count.
        omit: Duration,
    },
    /// Requests and answers.
    Requests {
        /// How.
        protocol: RequestProtocol,
        /// How many.
        pace: Pace,
        /// Connections.
        connections: u32,
        /// Payload of a request.
        request_bytes: u32,
        /// Payload of an answer.
        response_bytes: u32,
        /// Threads that send.
        threads: u32,
    },
    /// STAMP probes.
    Probes {
        /// Mean time between two of all flows together.
        interval: Duration,
        /// Source ports.
        flows: u32,
    },
}

/// How many requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many per second, of all connections together.
    PerSecond(u64),
    /// As fast as they are answered, up to so many.
    AsAnswered(Option<u64>),
}

impl Spec {
    /// Reads what was asked for.
    ///
    /// # Errors
    /// Says what makes no sense.
    pub fn read(wire: &LoadTestSpec) -> Result<Self, String> {
        for (side, name) in [("from", &wire.from), ("to", &wire.to)] {
            if name.is_empty() || name.len() > MAX_ENDPOINT_NAME {
                return Err(format!(
                    "{side}: an endpoint's name has 1 to {MAX_ENDPOINT_NAME} bytes"
                ));
            }
        }
        if wire.from == wire.to {
            return Err("from and to are the same endpoint; a test needs two".into());
        }
        let duration = time("duration", wire.duration.as_ref())?.unwrap_or_default();
        if duration.is_zero() || duration > LONGEST {
            return Err("duration has to be above 0, up to a day".into());
        }
        let kind = match &wire.kind {
            Some(WireKind::Throughput(wish)) => throughput(wish, duration)?,
            Some(WireKind::Requests(wish)) => requests(wish)?,
            Some(WireKind::Probes(wish)) => probes(wish, duration)?,
            None => return Err("no kind of test is named".into()),
        };
        let name = if wire.name.is_empty() { kind.name().into() } else { wire.name.clone() };
        if name.len() > MAX_NAME || name.chars().any(is_harmful) {
            return Err(format!(
                "name has at most {MAX_NAME} bytes and no control or invisible characters"
            ));
        }
        Ok(Self { from: wire.from.clone(), to: wire.to.clone(), duration, name, kind })
    }

    /// For how long bytes flow, those that do not count included.
    #[must_use]
    pub fn whole_time(&self) -> Duration {
        match self.kind {
            Kind::Throughput { omit, .. } => self.duration + omit,
            Kind::Requests { .. } | Kind::Probes { .. } => self.duration,
        }
    }

    /// As it is told to others, with everything filled in.
    #[must_use]
    pub fn wire(&self) -> LoadTestSpec {
        LoadTestSpec {
            from: self.from.clone(),
            to: self.to.clone(),
            duration: prost_types::Duration::try_from(self.duration).ok(),
            name: self.name.clone(),
            kind: Some(self.kind.wire()),
        }
    }
}

impl Kind {
    /// Its command below `xcloud load`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Throughput { .. } => "throughput",
            Self::Requests { protocol, .. } => match protocol {
                RequestProtocol::Http => "http",
                RequestProtocol::Crr => "crr",
                RequestProtocol::UdpRr => "udp-rr",
                RequestProtocol::Grpc => "grpc",
                RequestProtocol::Rr | RequestProtocol::Unspecified => "rr",
            },
            Self::Probes { .. } => "stamp",
        }
    }

    fn wire(&self) -> WireKind {
        match *self {
            Self::Throughput { streams, udp, bits_per_second, reverse, omit } => {
                WireKind::Throughput(Throughput {
                    streams,
                    udp,
                    bits_per_second: bits_per_second.unwrap_or(0),
                    reverse,
                    omit: prost_types::Duration::try_from(omit).ok(),
                })
            }
            Self::Requests {
                protocol,
                pace,
                connections,
                request_bytes,
                response_bytes,
                threads,
            } => WireKind::Requests(Requests {
                protocol: protocol.into(),
                requests_per_second: if let Pace::PerSecond(rate) = pace { rate } else { 0 },
                max_requests: if let Pace::AsAnswered(Some(most)) = pace { most } else { 0 },
                connections,
                request_bytes,
                response_bytes,
                threads,
            }),
            Self::Probes { interval, flows } => WireKind::Probes(Probes {
                interval: prost_types::Duration::try_from(interval).ok(),
                flows,
            }),
        }
    }
}

fn throughput(wish: &Throughput, duration: Duration) -> Result<Kind, String> {
    let omit = time("omit", wish.omit.as_ref())?.unwrap_or_default();
    let most = u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX);
    let faults = [
        (wish.streams > most, "streams: at most 128"),
        (duration.subsec_nanos() > 0, "duration of throughput is in whole seconds"),
        (omit.subsec_nanos() > 0 || omit > MAX_OMIT, "omit is in whole seconds, at most 10m"),
        (wish.udp && wish.bits_per_second == 0, "UDP needs bits_per_second"),
        (wish.bits_per_second > MOST_BITS, "bits_per_second: at most 10 Tbit/s"),
    ];
    sound(&faults)?;
    Ok(Kind::Throughput {
        streams: wish.streams.max(1),
        udp: wish.udp,
        bits_per_second: Some(wish.bits_per_second).filter(|rate| *rate > 0),
        reverse: wish.reverse,
        omit,
    })
}

fn requests(wish: &Requests) -> Result<Kind, String> {
    let protocol = wish.protocol();
    let connections = if wish.connections == 0 { CONNECTIONS } else { wish.connections };
    let threads = wish.threads.max(1);
    let largest = wish.request_bytes.max(wish.response_bytes);
    let in_datagram = u32::try_from(LARGEST_DATAGRAM - ASK).unwrap_or(u32::MAX);
    let faults = [
        (protocol == RequestProtocol::Unspecified, "protocol is not named"),
        (wish.requests_per_second > MOST_REQUESTS, "requests_per_second: at most 10000000"),
        (
            wish.requests_per_second > 0 && wish.max_requests > 0,
            "max_requests is for tests without requests_per_second",
        ),
        (connections > MOST_CONNECTIONS, "connections: at most 10000"),
        (
            threads > MOST_THREADS.min(connections),
            "threads: at most 256, and a connection for each",
        ),
        (
            protocol == RequestProtocol::Http && wish.request_bytes > 0,
            "request_bytes: requests of HTTP carry no payload here",
        ),
        (largest > MOST_PAYLOAD, "request_bytes and response_bytes: at most 16 MiB"),
        (
            protocol == RequestProtocol::UdpRr && largest > in_datagram,
            "request_bytes and response_bytes: a datagram holds less",
        ),
    ];
    sound(&faults)?;
    Ok(Kind::Requests {
        protocol,
        pace: match wish.requests_per_second {
            0 => Pace::AsAnswered(Some(wish.max_requests).filter(|most| *most > 0)),
            rate => Pace::PerSecond(rate),
        },
        connections,
        request_bytes: wish.request_bytes,
        response_bytes: wish.response_bytes,
        threads,
    })
}

fn probes(wish: &Probes, duration: Duration) -> Result<Kind, String> {
    let interval = time("interval", wish.interval.as_ref())?.unwrap_or(INTERVAL);
    let too_many = duration.as_nanos() > MOST_PROBES.saturating_mul(interval.as_nanos());
    let faults = [
        (interval < SHORTEST_INTERVAL, "interval: at least 10us"),
        (too_many, "duration has room for more than 4000000 probes"),
        (wish.flows > MOST_FLOWS, "flows: at most 256"),
    ];
    sound(&faults)?;
    Ok(Kind::Probes { interval, flows: wish.flows.max(1) })
}

fn time(what: &str, wire: Option<&prost_types::Duration>) -> Result<Option<Duration>, String> {
    let read = |one: &prost_types::Duration| Duration::try_from(*one);
    wire.map(read).transpose().map_err(|_| format!("{what} is no length of time"))
}

fn sound(faults: &[(bool, &str)]) -> Result<(), String> {
    faults.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, why)| Err((*why).into()))
}

#[cfg(test)]
pub(crate) mod tests;

//! Bytes that a test puts on the wire, at most. Arithmetic only.

use std::time::Duration;

use xcloud_proto::loadtest::v1::RequestProtocol;

use super::spec::{Kind, Pace, Spec};
use crate::{
    cost::{estimate::bytes_of, what_if::HEADER_BYTES},
    load::rr::frame::{ASK, REPLY},
};

/// Headers of IPv6 and TCP with timestamps: the longest without options of other kinds.
const TCP_HEADER: u64 = HEADER_BYTES as u64 + 20;
/// Headers of IPv6 and UDP.
const UDP_HEADER: u64 = 48;
/// Payload of a full segment, of the shortest packets that paths of today have.
const SEGMENT: u64 = 1280 - TCP_HEADER;
/// What goes with a request or an answer of HTTP or gRPC: lines, header fields and frames.
const HEAD: u64 = 300;
/// Packets that opening and closing a connection takes, each way.
const CONNECTION_PACKETS: u64 = 4;
/// Bytes of a STAMP packet.
const PROBE: u64 = 44;

/// Bytes each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the endpoint that sends to the one that answers.
    pub forward: u64,
    /// The other way.
    pub backward: u64,
}

impl Traffic {
    /// Both ways.
    #[must_use]
    pub const fn sum(self) -> u64 {
        self.forward.saturating_add(self.backward)
    }
}

/// What a test moves, retransmissions aside; nothing where no bound is known.
#[must_use]
pub fn traffic(spec: &Spec) -> Option<Traffic> {
    match spec.kind {
        Kind::Throughput { bits_per_second, udp, reverse, .. } => {
            let payload = bytes_of(bits_per_second?, spec.whole_time());
            let (data, answers) = if udp {
                (with_headers(payload, UDP_HEADER), 0)
            } else {
                (segments(payload), acks(payload))
            };
            Some(if reverse {
                Traffic { forward: answers, backward: data }
            } else {
                Traffic { forward: data, backward: answers }
            })
        }
        Kind::Requests { protocol, pace, request_bytes, response_bytes, .. } => {
            let count = match pace {
                Pace::PerSecond(rate) => {
                    let count = u128::from(rate).saturating_mul(spec.duration.as_nanos());
                    u64::try_from(count.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
                }
                Pace::AsAnswered(most) => most?,
            };
            let one = exchange(protocol, request_bytes.into(), response_bytes.into());
            Some(Traffic {
                forward: count.saturating_mul(one.forward),
                backward: count.saturating_mul(one.backward),
            })
        }
        Kind::Probes { interval, .. } => {
            let count = spec.duration.as_nanos().div_ceil(interval.as_nanos().max(1));
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let bytes = count.saturating_mul(PROBE + UDP_HEADER);
            Some(Traffic { forward: bytes, backward: bytes })
        }
    }
}

/// How many requests of these sizes are at most so many bits per second each way, over a time; one at least.
#[must_use]
pub fn requests_within(
    bits_per_second: u64,
    duration: Duration,
    protocol: RequestProtocol,
    sizes: (u32, u32),
) -> u64 {
    let one = exchange(protocol, sizes.0.into(), sizes.1.into());
    (bytes_of(bits_per_second, duration) / one.forward.max(one.backward)).max(1)
}

/// One request and its answer.
fn exchange(protocol: RequestProtocol, request: u64, response: u64) -> Traffic {
    let (ask, reply) = match protocol {
        RequestProtocol::Http | RequestProtocol::Grpc => (HEAD + request, HEAD + response),
        _ => (ASK as u64 + request, REPLY as u64 + response),
    };
    if protocol == RequestProtocol::UdpRr {
        // A request is as long as its answer, so that the responder is no amplifier.
        let ask = ask.max(reply);
        return Traffic { forward: datagram(ask), backward: datagram(reply) };
    }
    let opening =
        if protocol == RequestProtocol::Crr { CONNECTION_PACKETS * TCP_HEADER } else { 0 };
    Traffic {
        forward: opening + segments(ask) + acks(reply),
        backward: opening + segments(reply) + acks(ask),
    }
}

fn segments(payload: u64) -> u64 {
    with_headers(payload, TCP_HEADER)
}

/// A packet of acknowledgement for each segment is the most that comes.
fn acks(payload: u64) -> u64 {
    payload.div_ceil(SEGMENT).saturating_mul(TCP_HEADER)
}

fn with_headers(payload: u64, header: u64) -> u64 {
    payload.saturating_add(payload.div_ceil(SEGMENT).saturating_mul(header))
}

/// A datagram may be cut into several packets, each with an IP header and what tells where it belongs.
fn datagram(payload: u64) -> u64 {
    with_headers(payload, UDP_HEADER + 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(kind: Kind, seconds: u64) -> Option<Traffic> {
        let duration = Duration::from_secs(seconds);
        traffic(&Spec { from: "a".into(), to: "b".into(), duration, name: "x".into(), kind })
    }

    fn throughput(bits_per_second: Option<u64>, reverse: bool) -> Kind {
        let omit = Duration::from_secs(2);
        Kind::Throughput { streams: 4, udp: false, bits_per_second, reverse, omit }
    }

    /// By hand: 1 Gbit/s for 8 + 2 s are 1.25 GB, in segments of 1 208 B with 72 B of headers each.
    #[test]
    fn throughput_moves_its_rate_and_headers() {
        let there = of(throughput(Some(1_000_000_000), false), 8).expect("bounded");
        let count = 1_250_000_000_u64.div_ceil(1_208);
        assert_eq!(there, Traffic { forward: 1_250_000_000 + count * 72, backward: count * 72 });
        let back = of(throughput(Some(1_000_000_000), true), 8).expect("bounded");
        assert_eq!((back.forward, back.backward), (there.backward, there.forward));
        assert_eq!(of(throughput(None, false), 8), None);
    }

    /// By hand: 1 000 probes of 44 + 48 B.
    #[test]
    fn probes_move_as_much_each_way() {
        let kind = Kind::Probes { interval: Duration::from_millis(10), flows: 1 };
        assert_eq!(of(kind, 10), Some(Traffic { forward: 92_000, backward: 92_000 }));
    }

    #[test]
    fn requests_as_fast_as_they_are_answered_are_bounded_by_their_number() {
        let kind = |most| Kind::Requests {
            protocol: RequestProtocol::Rr,
            pace: Pace::AsAnswered(most),
            connections: 1,
            request_bytes: 1,
            response_bytes: 1,
            threads: 1,
        };
        let second = Duration::from_secs(1);
        let most = requests_within(8_000_000, second, RequestProtocol::Rr, (1, 1));
        let moved = of(kind(Some(most)), 1).expect("bounded");
        assert!((990_000..=1_000_000).contains(&moved.forward.max(moved.backward)), "{moved:?}");
        assert_eq!(requests_within(1, second, RequestProtocol::Rr, (1, 1)), 1);
        assert_eq!(of(kind(None), 1), None);
    }

    proptest! {
        #[test]
        fn no_number_overflows(rate: u64, per_second in 0u64..10_000_001, size in 0u32..(16 << 20), seconds in 1u64..86_400) {
            prop_assert!(of(throughput(Some(rate), false), seconds).is_some());
            for protocol in [RequestProtocol::Http, RequestProtocol::UdpRr, RequestProtocol::Crr] {
                let kind = Kind::Requests {
                    protocol, pace: Pace::PerSecond(per_second), connections: 1, request_bytes: size, response_bytes: size, threads: 1,
                };
                let moved = of(kind, seconds).expect("bounded");
                prop_assert!(moved.forward >= per_second.saturating_mul(seconds).saturating_mul(size.into()));
            }
        }
    }
}

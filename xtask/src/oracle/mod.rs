//! A second opinion: works out each exchange's segments from captures at the same places, by other code, and compares
//! them with what xcloud observed.

pub(crate) mod pcap;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use self::pcap::Packet;

/// A difference this large is no scheduling noise: it means that other packets were taken. Reordered packets are held
/// back by more.
const MOST_OFF_NS: i64 = 900_000;

/// One line of `xcloud observe -o json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Exchange {
    near: Site,
    far: Site,
    kind: String,
    segments: BTreeMap<String, i64>,
    end_sequence: u32,
    timestamp_value: u32,
}

#[derive(Debug, Deserialize)]
struct Site {
    cloud: String,
}

/// What one node's interfaces saw.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// At the pods' interfaces.
    pub(crate) pods: Seen,
    /// At the uplink.
    pub(crate) uplink: Seen,
}

/// Packets of one place, by what identifies data and what identifies an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    data: HashMap<(u32, Option<u32>), Packet>,
    answers: HashMap<u32, Vec<Packet>>,
}

impl Seen {
    /// Takes packets in the order of their times; of the same packet seen twice, the first counts.
    pub(crate) fn add(&mut self, mut packets: Vec<Packet>) {
        packets.sort_by_key(|p| p.time);
        for packet in packets {
            if packet.length > 0 {
                self.data.entry((packet.end(), packet.tsval)).or_insert(packet);
            }
            if packet.acks {
                self.answers.entry(packet.ack).or_default().push(packet);
            }
        }
    }

    /// The same packet as `other`, seen here.
    fn same(&self, other: &Packet) -> Option<&Packet> {
        let alike = |p: &&Packet| {
            (p.ports, p.seq, p.length, p.tsval)
                == (other.ports, other.seq, other.length, other.tsval)
        };
        self.answers.get(&other.ack)?.iter().find(alike)
    }
}

/// How an observed exchange compares.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Every segment is what the captures say.
    Right,
    /// A segment differs: which, observed, captured.
    Wrong(String),
    /// The captures do not have all its packets.
    Unseen,
}

/// Compares one exchange.
pub(crate) fn compare(exchange: &Exchange, nodes: &BTreeMap<String, Node>) -> Verdict {
    let both = nodes.get(&exchange.near.cloud).zip(nodes.get(&exchange.far.cloud));
    let captured = both.and_then(|(near, far)| segments(exchange, near, far));
    let Some(captured) = captured else {
        return Verdict::Unseen;
    };
    let observed = |names: &[&str]| -> i64 {
        names.iter().filter_map(|name| exchange.segments.get(*name)).sum()
    };
    for (names, captured) in captured {
        let observed = observed(names);
        if (observed - captured).abs() > MOST_OFF_NS {
            let id = (exchange.end_sequence, exchange.timestamp_value);
            return Verdict::Wrong(format!(
                "{} {id:?} {}: observed {observed} ns, captured {captured} ns",
                exchange.kind,
                names.join(" + ")
            ));
        }
    }
    Verdict::Right
}

type Segments = [(&'static [&'static str], i64); 6];

/// The segments by the captures. A capture lies behind the queue, so CNI egress and queue are one.
fn segments(exchange: &Exchange, near: &Node, far: &Node) -> Option<Segments> {
    let id = (exchange.end_sequence, Some(exchange.timestamp_value));
    let sent = [&near.pods, &near.uplink, &far.uplink, &far.pods];
    let [t1, t2, t3, t4] = sent.map(|seen| seen.data.get(&id).map(|p| (p.time, p.ports)));
    let ((t1, ports), (t2, _), (t3, _), (t4, _)) = (t1?, t2?, t3?, t4?);
    let is_answer = |p: &&Packet| {
        let kind = match exchange.kind.as_str() {
            "response" => p.payload > 0,
            "handshake" => p.syn,
            _ => true,
        };
        kind && p.time >= t4 && p.ports == (ports.1, ports.0)
    };
    let answer = far.pods.answers.get(&exchange.end_sequence)?.iter().find(is_answer)?;
    let t5 = answer.time;
    let t6 = far.uplink.same(answer)?.time;
    let t7 = near.uplink.same(answer)?.time;
    let t8 = near.pods.same(answer)?.time;
    Some([
        (&["near_cni_egress", "near_queue"], t2 - t1),
        (&["wan"], (t7 - t2) - (t6 - t3)),
        (&["far_cni_ingress"], t4 - t3),
        (&["far_pod"], t5 - t4),
        (&["far_cni_egress", "far_queue"], t6 - t5),
        (&["near_cni_ingress"], t8 - t7),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(time: i64, ports: (u16, u16), seq: u32, ack: u32, payload: u32) -> Packet {
        let length = payload;
        let tsval = Some(7);
        Packet { time, ports, seq, ack, syn: false, acks: true, length, payload, tsval }
    }

    /// A request and its answer, one millisecond from place to place.
    fn nodes() -> BTreeMap<String, Node> {
        let mut nodes = BTreeMap::new();
        let seen = |sent: i64, answered: i64| {
            let mut seen = Seen::default();
            let request = packet(sent * 1_000_000, (1, 2), 100, 50, 10);
            seen.add(vec![packet(answered * 1_000_000, (2, 1), 50, 110, 5), request]);
            seen
        };
        nodes.insert("a".to_owned(), Node { pods: seen(1, 8), uplink: seen(2, 7) });
        nodes.insert("b".to_owned(), Node { pods: seen(4, 5), uplink: seen(3, 6) });
        nodes
    }

    fn exchange(wan: i64) -> Exchange {
        let one = ["near_cni_egress", "far_cni_ingress", "far_pod", "far_cni_egress"];
        let mut segments: BTreeMap<_, _> = one
            .into_iter()
            .chain(["near_cni_ingress"])
            .map(|s| (s.to_owned(), 1_000_000))
            .collect();
        segments.insert("wan".to_owned(), wan);
        Exchange {
            near: Site { cloud: "a".into() },
            far: Site { cloud: "b".into() },
            kind: "response".into(),
            segments,
            end_sequence: 110,
            timestamp_value: 7,
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(compare(&exchange(2_000_000), &nodes()), Verdict::Right);
        assert!(matches!(compare(&exchange(3_000_000), &nodes()), Verdict::Wrong(_)));
        let unknown = Exchange { end_sequence: 1, ..exchange(2_000_000) };
        assert_eq!(compare(&unknown, &nodes()), Verdict::Unseen);
    }
}

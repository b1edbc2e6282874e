//! What is to be told of what left by the uplinks. Sums are cumulative: a row that is told again, or whose message is
//! lost with its stream, is never counted twice.

use std::collections::{BTreeSet, HashMap};

use xcloud_common::{
    egress::{Key, Kind, Sums},
    slot::octets,
};
use xcloud_proto::{
    common::v1::{EgressKind, EgressRow, EgressSums},
    ingest::v1::Egress as Message,
};

use crate::kernel::egress::Left;

/// Most rows of one life of an agent; what finds no room is in the totals alone.
pub const MOST_ROWS: usize = 8192;
/// Most rows in one message.
const ROWS_A_MESSAGE: usize = 512;

/// Names of the interfaces in a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The uplink's.
    pub uplink: String,
    /// That of the one the packets came in by; empty for none.
    pub interface: String,
    /// Whether that is a pod's.
    pub from_pod: bool,
}

/// The table.
#[derive(Debug, Default)]
pub struct Egress {
    rows: Vec<(EgressRow, Sums)>,
    by_key: HashMap<Key, usize>,
    /// By what the aggregator knows a row by: an index of an interface may come again with the same name.
    by_row: HashMap<EgressRow, usize>,
    /// Rows that changed since the present round began.
    news: BTreeSet<usize>,
    /// Rows of the present round that are still to be told.
    round: BTreeSet<usize>,
    totals: Sums,
    /// As they were when the round began: what is beside the rows is never more than was truly beside them.
    round_totals: Sums,
    counted_for_ns: u64,
    addresses: Vec<Vec<u8>>,
    untold: bool,
}

impl Egress {
    /// Adds what left since the last time; the account has been kept for `counted_for_ns`.
    pub fn add(&mut self, left: &Left, counted_for_ns: u64, labels: impl Fn(&Key) -> Labels) {
        self.counted_for_ns = counted_for_ns;
        for (key, sums) in left {
            self.untold = true;
            self.totals.add(*sums);
            if let Some(at) = self.row(key, &labels) {
                self.rows[at].1.add(*sums);
                self.news.insert(at);
            }
        }
    }

    fn row(&mut self, key: &Key, labels: &impl Fn(&Key) -> Labels) -> Option<usize> {
        if let Some(at) = self.by_key.get(key) {
            return Some(*at);
        }
        // What could not be told apart is what the totals have beside the rows.
        let rest = key.kind().is_none_or(|kind| kind == Kind::Rest);
        if self.rows.len() >= MOST_ROWS || rest {
            return None;
        }
        let row = row(key, labels(key));
        let next = self.rows.len();
        let at = *self.by_row.entry(row.clone()).or_insert(next);
        if at == next {
            self.rows.push((row, Sums::default()));
        }
        self.by_key.insert(*key, at);
        Some(at)
    }

    /// The uplinks' own addresses, 4 or 16 bytes each.
    pub fn set_addresses(&mut self, addresses: Vec<Vec<u8>>) {
        self.untold |= self.addresses != addresses;
        self.addresses = addresses;
    }

    /// A new stream begins: whoever answers may know nothing.
    pub(in crate::wire) fn tell_again(&mut self) {
        self.news = (0..self.rows.len()).collect();
        self.round.clear();
        self.untold = self.totals.packets > 0;
    }

    /// Whether something was not told yet.
    pub(super) fn has_news(&self) -> bool {
        self.untold || !self.round.is_empty()
    }

    /// The next message, if there is something to tell. Rows that changed go in a round of messages, of which the last
    /// has the totals: whoever takes rows from totals must know all of them.
    pub(in crate::wire) fn next(&mut self) -> Option<Message> {
        if !self.has_news() {
            return None;
        }
        if self.round.is_empty() {
            (self.round, self.round_totals) = (std::mem::take(&mut self.news), self.totals);
            self.untold = false;
        }
        let mut rows = Vec::new();
        while rows.len() < ROWS_A_MESSAGE
            && let Some(at) = self.round.pop_first()
        {
            let (row, sums) = &self.rows[at];
            rows.push(EgressRow { sums: Some(wire(sums)), ..row.clone() });
        }
        Some(Message {
            counted_for_ns: self.counted_for_ns,
            rows,
            totals: self.round.is_empty().then(|| wire(&self.round_totals)),
            addresses: self.addresses.clone(),
        })
    }
}

const fn wire(sums: &Sums) -> EgressSums {
    EgressSums {
        wire_bytes: sums.wire_bytes,
        packets: sums.packets,
        payload_bytes: sums.payload_bytes,
    }
}

/// A key as the wire says it, without sums.
fn row(key: &Key, labels: Labels) -> EgressRow {
    let kind = match key.kind() {
        Some(Kind::Plain) => EgressKind::Plain,
        Some(Kind::Carried) => EgressKind::Carried,
        Some(Kind::Encrypted) => EgressKind::Encrypted,
        Some(Kind::NoIp) => EgressKind::NoIp,
        Some(Kind::Rest) | None => EgressKind::Rest,
    };
    let Labels { uplink, interface, from_pod } = labels;
    let (source, destination) = (bytes(key.source()), bytes(key.destination()));
    EgressRow { uplink, interface, from_pod, source, destination, kind: kind.into(), sums: None }
}

/// An address of 4 or 16 bytes; none of one that is all zeros.
fn bytes(address: [u32; 4]) -> Vec<u8> {
    match octets(address) {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, four @ ..] => four.into(),
        all if all == [0; 16] => Vec::new(),
        all => all.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(peer: u32, interface: u32) -> Key {
        let mapped = |word| [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), word];
        Key::new(mapped(1), mapped(peer), interface, 2, Kind::Plain)
    }

    fn left(rows: &[(Key, u64)]) -> Left {
        let sums = |bytes: u64| Sums { wire_bytes: bytes, packets: 1, payload_bytes: 0 };
        rows.iter().map(|(key, bytes)| (*key, sums(*bytes))).collect()
    }

    fn named(key: &Key) -> Labels {
        // Indexes 10 and 20 had the same name, one after the other.
        let interface = format!("veth{}", key.came_in_by() % 10);
        Labels { uplink: "eth0".into(), interface, from_pod: true }
    }

    /// What an aggregator would know that replaces each row it is told.
    fn tell(egress: &mut Egress, known: &mut HashMap<EgressRow, u64>) -> u64 {
        let mut total = 0;
        while let Some(message) = egress.next() {
            total = message.totals.map_or(total, |totals| totals.wire_bytes);
            for row in message.rows {
                let bytes = row.sums.expect("sums").wire_bytes;
                known.insert(EgressRow { sums: None, ..row }, bytes);
            }
        }
        total
    }

    #[test]
    fn nothing_left_is_nothing_to_tell() {
        let mut egress = Egress::default();
        egress.add(&Left::new(), 5, named);
        assert!(!egress.has_news() && egress.next().is_none());
    }

    #[test]
    fn only_what_changed_is_told_and_all_of_it_on_a_new_stream() {
        let mut egress = Egress::default();
        egress.add(&left(&[(key(1, 1), 10), (key(2, 1), 20)]), 5, named);
        assert_eq!(egress.next().map(|message| message.rows.len()), Some(2));
        egress.add(&left(&[(key(2, 1), 7)]), 6, named);
        let message = egress.next().expect("news");
        assert_eq!((message.rows.len(), message.counted_for_ns), (1, 6));
        assert_eq!(message.rows[0].sums.map(|sums| sums.wire_bytes), Some(27));
        assert_eq!(message.totals.map(|sums| sums.wire_bytes), Some(37));
        egress.tell_again();
        assert_eq!(egress.next().map(|message| message.rows.len()), Some(2));
    }

    #[test]
    fn an_index_that_comes_again_under_the_same_name_is_the_same_row() {
        let mut egress = Egress::default();
        egress.add(&left(&[(key(1, 10), 10)]), 5, named);
        egress.add(&left(&[(key(1, 20), 5)]), 6, named);
        let message = egress.next().expect("news");
        assert_eq!(message.rows.len(), 1);
        assert_eq!(message.rows[0].sums.map(|sums| sums.wire_bytes), Some(15));
        assert_eq!(
            (&*message.rows[0].source, message.rows[0].destination.len()),
            (&1u32.to_ne_bytes()[..], 4)
        );
    }

    #[test]
    fn what_finds_no_row_is_in_the_totals() {
        let mut egress = Egress::default();
        let most = u32::try_from(MOST_ROWS).expect("few");
        let many: Vec<_> = (0..most + 10).map(|peer| (key(peer, 1), 1)).collect();
        egress.add(&left(&many), 5, named);
        egress.add(&left(&[(Key::rest(2), 3)]), 5, named);
        let mut known = HashMap::new();
        let total = tell(&mut egress, &mut known);
        assert_eq!((known.len(), total), (MOST_ROWS, many.len() as u64 + 3));
    }

    #[test]
    fn totals_come_with_the_last_rows_of_a_round_and_are_those_of_its_beginning() {
        let mut egress = Egress::default();
        let many: Vec<_> = (0..1_200).map(|peer| (key(peer, 1), 1)).collect();
        egress.add(&left(&many), 5, named);
        let mut told = Vec::new();
        while let Some(message) = egress.next() {
            // What leaves meanwhile begins the next round, and starves no row of this one.
            if told.len() < 2 {
                egress.add(&left(&many[..600]), 6, named);
            }
            told.push((message.rows.len(), message.totals.map(|totals| totals.wire_bytes)));
        }
        let round = [(512, None), (512, None), (176, Some(1_200))];
        let next = [(512, None), (88, Some(2_400))];
        assert_eq!(told, [&round[..], &next[..]].concat());
    }

    proptest! {
        #[test]
        fn however_streams_break_the_last_word_is_right(
            steps in prop::collection::vec((0u32..50, 1u64..1000, any::<bool>(), any::<bool>()), 1..100),
        ) {
            let (mut egress, mut known, mut wanted) = (Egress::default(), HashMap::new(), 0);
            for (peer, bytes, told, broken) in steps {
                egress.add(&left(&[(key(peer, 1), bytes)]), 1, named);
                wanted += bytes;
                if told {
                    let _lost_or_not = egress.next();
                }
                if broken {
                    egress.tell_again();
                }
            }
            egress.tell_again();
            prop_assert_eq!(tell(&mut egress, &mut known), wanted);
            prop_assert_eq!(known.values().sum::<u64>(), wanted);
        }
    }
}

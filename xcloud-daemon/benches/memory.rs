//! What measurements take in memory, and what a scrape of them is: `cargo bench --bench memory`.
//!
//! Exchanges over a WAN of 40 ms with jitter, on several paths, for an hour of stamps; and 2 000 paths that are scraped
//! once, of whose segments all were measured.

#[path = "common/limits.rs"]
mod limits;
#[path = "common/random.rs"]
mod random;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xcloud::{
    measure::{
        Kind, Site,
        account::Totals,
        cumulative,
        split::Split,
        state::{Batch, Names, Opening, Stream},
        store::{Path, Store},
        tier::Tier,
    },
    metrics::{
        Source as _, Written,
        aggregator::Aggregator,
        protobuf::Protobuf,
        text::{Dialect, Text},
    },
    wire::server::Hub,
};
use xcloud_common::{
    sample::{Sample, flag, kind},
    slot::Tuple,
};

use self::random::Random;

const SECOND_NS: u64 = 1_000_000_000;
const BEGIN_NS: u64 = 1_700_000_000 * SECOND_NS;
const HOUR: u64 = 3_600;

fn main() {
    let mut random = Random(1);
    // None is dropped before the end: the next would be measured in the room that it left.
    let _stores = [
        store(&mut random, "with one exchange", 4_096, 1, 1, 1),
        store(&mut random, "an hour, one exchange in 10 s", 512, HOUR, 10, 1),
        store(&mut random, "an hour, 10 exchanges a second", 64, HOUR, 1, 10),
        store(&mut random, "an hour, 100 exchanges a second", 16, HOUR, 1, 100),
    ];
    scrape(&mut random);
}

/// Memory that this process holds, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// A store with so many exchanges a path, every so many seconds.
fn store(
    random: &mut Random,
    what: &str,
    paths: u32,
    seconds: u64,
    every: u64,
    exchanges: usize,
) -> Store {
    let before = resident();
    let mut store = Store::new(limits::limits().store);
    for second in 0..seconds {
        let now_ns = BEGIN_NS + second * SECOND_NS;
        if second.is_multiple_of(every) {
            for path in (0..paths).flat_map(|path| std::iter::repeat_n(path, exchanges)) {
                let path = Path::new(path, Some(path), Kind::Ack);
                assert!(store.record(now_ns, path, &random.split(), 0), "there is room");
            }
        }
        store.rotate(now_ns);
    }
    let all = resident() - before;
    let bytes = |all: usize| all / paths as usize;
    println!("a path {what}: {} bytes, counted as {}", bytes(all), bytes(store.bytes()));
    store
}

/// Sums of paths, and what is told of them.
fn scrape(random: &mut Random) {
    const SIDE: u32 = 50;
    const PATHS: usize = 2_000;
    let hub = Hub::new(limits::limits(), CancellationToken::new());
    hub.keep_cumulative(cumulative::Limits { tier: Tier::Node, most: PATHS, idle_ns: u64::MAX });
    let ends = |hub: &Hub, side| (0..SIDE).map(|node| Sender::new(hub, side, node)).collect();
    let (mut near, mut far): (Vec<_>, Vec<_>) = (ends(&hub, "near"), ends(&hub, "far"));
    for pair in 0..SIDE * SIDE {
        let exchanges: Vec<_> = (0..20).map(|_| random.exchange()).collect();
        near[(pair / SIDE) as usize].bring(&hub, exchanges.iter().map(|both| both.0).collect());
        far[(pair % SIDE) as usize].bring(&hub, exchanges.iter().map(|both| both.1).collect());
    }
    let (paths, sums) = hub.read(|state| {
        let sums = state.store().cumulative().expect("kept");
        (sums.len(), sums.bytes())
    });
    assert_eq!(paths, PATHS);
    println!("a path's sums: {} bytes", sums / paths);
    let source = Aggregator { hub, exports: Arc::default() };
    told(&source, "text", paths, Text::new(Dialect::Prometheus));
    told(&source, "protocol buffers", paths, Protobuf::default());
}

fn told(source: &Aggregator, what: &str, paths: usize, mut sink: impl Written) {
    source.tell(&mut sink);
    sink.end();
    let pieces: Vec<_> = std::iter::from_fn(|| sink.next(0)).collect();
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let largest = pieces.iter().map(Vec::len).max().unwrap_or(0);
    println!(
        "a scrape, {what}: {} bytes a path, the largest piece {}",
        bytes / paths,
        largest / paths
    );
}

struct Sender {
    stream: Stream,
    sequence: u64,
    sent: u64,
}

impl Sender {
    fn new(hub: &Hub, side: &str, node: u32) -> Self {
        let node = format!("ip-10-0-{node}-23.us-east-1.{side}.internal");
        let opening = Opening {
            name: node.clone(),
            boot: [1; 16],
            site: Site {
                cloud: "aws".into(),
                region: "us-east-1".into(),
                zone: "us-east-1a".into(),
                cluster: "production".into(),
                node,
            },
            version: String::new(),
            kernel_release: String::new(),
            hooks: Vec::new(),
            first_sequence: 1,
            predecessor: None,
        };
        let (stream, ..) = hub.open(opening, None).expect("room");
        Self { stream, sequence: 0, sent: 0 }
    }

    fn bring(&mut self, hub: &Hub, samples: Vec<Sample>) {
        let sent_before = self.sent;
        self.sent += samples.iter().map(Sample::observations).sum::<u64>();
        self.sequence += 1;
        let batch = Batch {
            sequence: self.sequence,
            sent_monotonic_ns: 100 * SECOND_NS,
            sent_before,
            totals: Totals { emitted: self.sent, ..Totals::default() },
            samples,
            names: Names::default(),
        };
        hub.take(&self.stream, &batch).expect("an honest batch");
    }
}

impl Random {
    fn micros(&mut self, least: u32, spread: u32) -> u64 {
        u64::from(least) * 1_000 + u64::from(self.below(spread * 1_000))
    }

    /// What an exchange was made of, both ends seen by all hooks.
    fn split(&mut self) -> Split {
        let (near, far) = self.exchange();
        Split::joined(&near, &far)
    }

    /// Both ends of an exchange over a WAN.
    fn exchange(&mut self) -> (Sample, Sample) {
        let first_ns = 99 * SECOND_NS;
        let queue_ns = first_ns + self.micros(5, 40);
        let second_ns = queue_ns + self.micros(1, 30);
        let far_first_ns = second_ns + self.micros(20_000, 3_000);
        let far_second_ns = far_first_ns + self.micros(5, 40);
        let far_third_ns = far_second_ns + self.micros(50, 2_000);
        let far_queue_ns = far_third_ns + self.micros(5, 40);
        let far_last_ns = far_queue_ns + self.micros(1, 30);
        let third_ns = far_last_ns + self.micros(20_000, 3_000);
        let near = Sample {
            first_ns,
            second_ns,
            third_ns,
            last_ns: third_ns + self.micros(5, 40),
            queue_ns,
            end_seq: self.below(u32::MAX),
            tsval: self.below(u32::MAX),
            answer: 1,
            pod_ifindex: 1,
            uplink_ifindex: 2,
            tuple: Tuple::default(),
            kinds: kind::ACK,
            flags: 0,
            shift: 0,
        };
        let far = Sample {
            first_ns: far_first_ns,
            second_ns: far_second_ns,
            third_ns: far_third_ns,
            last_ns: far_last_ns,
            queue_ns: far_queue_ns,
            flags: flag::FAR,
            ..near
        };
        (near, far)
    }
}

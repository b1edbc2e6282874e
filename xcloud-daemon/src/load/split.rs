//! Where the time of a load test's own requests went: the aggregator's joined exchanges of the test's connections, picked
//! out of all that agents see.

use std::{
    array,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::sleep,
};
use tonic::Streaming;
use xcloud_proto::{
    common::v1::{Endpoint, ExchangeKind, Site as WireSite},
    observer::v1::{
        Exchange, ExchangeFilter, WatchExchangesRequest, WatchExchangesResponse,
        watch_exchanges_response::Item,
    },
};

use crate::{
    cli::Address,
    measure::{Segment, Site, cell::Cell, split::Split, tail::Tail},
    wire::{answer, connect},
};

/// How long exchanges may take from their end to here: agents send five times a second.
const SETTLE: Duration = Duration::from_secs(2);

/// The local ends of a test's connections.
#[derive(Debug)]
pub struct Sources {
    address: OnceLock<IpAddr>,
    /// A bit for each port.
    ports: Box<[AtomicU64; 1024]>,
}

impl Sources {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { address: OnceLock::new(), ports: Box::new(array::from_fn(|_| AtomicU64::new(0))) }
    }

    /// Adds a connection's end. All connections of a test go to one address, so they come from one.
    pub fn add(&self, end: SocketAddr) {
        self.address.get_or_init(|| end.ip().to_canonical());
        let port = usize::from(end.port());
        self.ports[port / 64].fetch_or(1 << (port % 64), Ordering::Relaxed);
    }

    fn has(&self, end: &Endpoint) -> bool {
        let address = answer::address(&end.address);
        let port = end.port as usize;
        address.is_some()
            && address == self.address.get().copied()
            && self
                .ports
                .get(port / 64)
                .is_some_and(|bits| bits.load(Ordering::Relaxed) >> (port % 64) & 1 == 1)
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::new()
    }
}

/// What was seen of a test's requests.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By the nodes at both ends.
    pub paths: BTreeMap<(Site, Site), Cell>,
    /// Exchanges of anybody's that the aggregator left out, as this program read too slowly.
    pub skipped: u64,
    /// Why it ended early.
    pub lost: Option<String>,
}

impl Seen {
    /// All paths together.
    #[must_use]
    pub fn all(&self) -> Cell {
        Cell::merged(&self.paths.values().collect::<Vec<_>>())
    }

    /// Where the test's requests came from and went to, if all went one way.
    #[must_use]
    pub fn ends(&self) -> Option<&(Site, Site)> {
        let mut all = self.paths.keys();
        all.next().filter(|_| all.len() == 0)
    }

    /// What the slowest hundredth is made of.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        self.all().tail(0.99)
    }

    /// What a reader has to know before believing it, of a test with so many requests answered.
    #[must_use]
    pub fn warnings(&self, done: u64) -> Vec<String> {
        let mut all: Vec<_> =
            self.lost.iter().map(|why| format!("the split is cut short: {why}")).collect();
        if self.skipped > 0 {
            all.push(format!(
                "the split lacks some of {} exchanges that were read too slowly",
                self.skipped
            ));
        }
        if self.paths.is_empty() && done > 0 {
            all.push(
                "no request was seen at both ends: the test has to run in a pod that an agent watches, and so has its \
                 server"
                    .into(),
            );
        }
        all
    }

    fn record(&mut self, exchange: &Exchange) {
        let parts = exchange.segments.iter().filter_map(|part| {
            let wire = part.segment();
            let known = Segment::ALL.iter().find(|(one, ..)| answer::segment(*one) == wire)?;
            Some((known.0, part.duration_ns))
        });
        let split = Split::of(exchange.total_ns, parts);
        let path = (site(exchange.near.as_ref()), site(exchange.far.as_ref()));
        self.paths.entry(path).or_default().record(&split, 0);
    }
}

fn site(site: Option<&WireSite>) -> Site {
    let WireSite { cloud, region, zone, node, cluster } = site.cloned().unwrap_or_default();
    Site { cloud, region, zone, node, cluster }
}

/// Follows a test's exchanges on a thread of its own.
#[derive(Debug)]
pub struct Watcher {
    end: oneshot::Sender<()>,
    thread: JoinHandle<Seen>,
}

impl Watcher {
    /// Begins, before the test does.
    ///
    /// # Errors
    /// No aggregator answers.
    pub fn start(aggregator: &Address, to: SocketAddr, sources: Arc<Sources>) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the asynchronous runtime")?;
        let stream = runtime.block_on(subscribe(aggregator, to))?;
        let (end, ended) = oneshot::channel();
        let aggregator = aggregator.clone();
        let thread = thread::Builder::new()
            .name("load-split".into())
            .spawn(move || follow(&runtime, stream, ended, &sources, &aggregator))
            .context("starting a thread")?;
        Ok(Self { end, thread })
    }

    /// Waits for what is still on its way.
    ///
    /// # Errors
    /// The thread panicked.
    pub fn finish(self) -> Result<Seen> {
        // It has ended already if the aggregator went away.
        let _ = self.end.send(());
        self.thread.join().map_err(|_| anyhow!("the thread that follows exchanges panicked"))
    }
}

async fn subscribe(
    aggregator: &Address,
    to: SocketAddr,
) -> Result<Streaming<WatchExchangesResponse>> {
    let address = match to.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let request = WatchExchangesRequest {
        filter: Some(ExchangeFilter {
            kinds: vec![ExchangeKind::Response.into()],
            ..ExchangeFilter::default()
        }),
        destination: Some(Endpoint { address, port: to.port().into() }),
        ..WatchExchangesRequest::default()
    };
    let mut observer = connect::observer(aggregator).await?;
    Ok(connect::answered(observer.watch_exchanges(request).await, aggregator)?.into_inner())
}

fn follow(
    runtime: &Runtime,
    mut stream: Streaming<WatchExchangesResponse>,
    mut ended: oneshot::Receiver<()>,
    sources: &Sources,
    aggregator: &Address,
) -> Seen {
    let mut seen = Seen::default();
    let next = async {
        let last = async {
            // That its sender is gone ends it too.
            let _ = (&mut ended).await;
            sleep(SETTLE).await;
        };
        tokio::pin!(last);
        loop {
            let message = tokio::select! {
                message = stream.message() => connect::answered(message, aggregator)?,
                () = &mut last => break,
            };
            match message.and_then(|one| one.item) {
                Some(Item::Exchange(one))
                    if one.source.as_ref().is_some_and(|end| sources.has(end)) =>
                {
                    seen.record(&one);
                }
                Some(Item::Exchange(_)) => {}
                Some(Item::Skipped(count)) => seen.skipped += count,
                None => break,
            }
        }
        Ok(())
    };
    let result: Result<()> = runtime.block_on(next);
    seen.lost = result.err().map(|error| format!("{error:#}"));
    seen
}

#[cfg(test)]
mod tests {
    use xcloud_proto::observer::v1::ExchangeSegment;

    use super::*;

    fn end(address: [u8; 4], port: u16) -> Endpoint {
        Endpoint { address: address.to_vec(), port: port.into() }
    }

    #[test]
    fn only_the_tests_own_connections_count() {
        let sources = Sources::new();
        assert!(!sources.has(&end([10, 0, 0, 1], 40_000)), "none was opened yet");
        sources.add("10.0.0.1:40000".parse().unwrap());
        sources.add("10.0.0.1:65535".parse().unwrap());
        assert!(
            sources.has(&end([10, 0, 0, 1], 40_000)) && sources.has(&end([10, 0, 0, 1], 65_535))
        );
        assert!(!sources.has(&end([10, 0, 0, 1], 40_001)), "another port");
        assert!(!sources.has(&end([10, 0, 0, 2], 40_000)), "another pod");
        assert!(!sources.has(&Endpoint { address: vec![10, 0, 0], port: 40_000 }), "no address");
        assert!(!sources.has(&Endpoint { port: 1 << 20, ..end([10, 0, 0, 1], 0) }), "no port");
    }

    #[test]
    fn the_tail_of_what_was_seen_adds_up() {
        let part = |segment, duration_ns| ExchangeSegment {
            segment: answer::segment(segment).into(),
            duration_ns,
        };
        let mut seen = Seen::default();
        for _ in 0..3 {
            seen.record(&Exchange {
                total_ns: 100,
                segments: vec![part(Segment::Wan, 70), part(Segment::FarPod, 25)],
                ..Exchange::default()
            });
        }
        let tail = seen.tail().expect("a tail");
        assert_eq!((tail.exchanges, tail.total_ns, tail.unattributed_ns), (3, 100, 5));
        assert_eq!(seen.all().counts.recorded, 3);
    }
}

//! Those who mean harm: the aggregator lives, holds no more memory for it, and answers all others meanwhile.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};
use xcloud::cli::access::TlsArgs;

use crate::{
    authority::{NOW, Secret},
    harness::{Aggregator, COLLECTOR, ask, caller, connect, secured},
    raw::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, call, field,
        frame, is_ended, pour, preface,
    },
};

/// How much more memory any attack here may leave behind.
const MOST_MORE_KIB: u64 = 16 << 10;
const INGEST: &str = "/xcloud.ingest.v1.IngestService/StreamBatches";
const STATUS: &str = "/xcloud.observer.v1.ObserverService/GetServerStatus";

/// Somebody who only wants answers, all the while.
struct Bystander {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Bystander {
    async fn start(args: &TlsArgs, at: SocketAddr) -> Self {
        let caller = caller(args);
        let channel = connect(&caller, at).await.expect("connected");
        ask(channel.clone()).await.expect("an answer");
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), answered.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                ask(channel.clone()).await.expect("an answer");
                // Whoever comes anew is served as well.
                let anew = connect(&caller, at).await.expect("connected");
                ask(anew).await.expect("an answer");
                counted.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, answered, task }
    }

    /// Waits for one more answer, and ends it.
    async fn finish(self) {
        let before = self.answered.load(Ordering::Relaxed);
        while self.answered.load(Ordering::Relaxed) <= before && !self.task.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every call was answered");
    }
}

/// Attacks once to let the process grow to its working size, then again and again, and compares.
async fn withstands(
    aggregator: &Aggregator,
    args: &TlsArgs,
    attack: impl Fn(SocketAddr) + Clone + Send + 'static,
) {
    let at = aggregator.address;
    let bystander = Bystander::start(args, at).await;
    let run = |times: usize| {
        let attack = attack.clone();
        tokio::task::spawn_blocking(move || (0..times).for_each(|_| attack(at)))
    };
    run(1).await.expect("an attack");
    let before = aggregator.resident_kib();
    run(3).await.expect("an attack");
    bystander.finish().await;
    let after = aggregator.resident_kib();
    eprintln!("memory before {before} KiB, after {after} KiB");
    assert!(after <= before + MOST_MORE_KIB, "{before} KiB before, {after} KiB after");
}

/// A connection that has said its first words.
fn greeted(at: SocketAddr) -> TcpStream {
    let mut stream = raw::connect(at).expect("it listens");
    stream.write_all(&preface()).expect("it reads");
    stream
}

/// Odd numbers of streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|at| 2 * at + 1)
}

fn rapid_reset(at: SocketAddr) {
    let mut stream = greeted(at);
    let headers = call(STATUS);
    let pair = |id| {
        let open = frame(HEADERS, END_HEADERS | END_STREAM, id, &headers);
        [open, frame(RST_STREAM, 0, id, &8u32.to_be_bytes())].concat()
    };
    pour(&mut stream, streams(20_000).map(pair));
    assert!(is_ended(&mut stream), "twenty thousand calls taken back are too many");
}

fn continuation_flood(at: SocketAddr) {
    let mut stream = greeted(at);
    pour(&mut stream, std::iter::once(frame(HEADERS, 0, 1, &call(STATUS))));
    let piece = field("x-filler", &"y".repeat(100)).repeat(100);
    pour(&mut stream, (0..5_000).map(|_| frame(CONTINUATION, 0, 1, &piece)));
    assert!(is_ended(&mut stream), "headers without end are too many");
}

fn empty_continuations(at: SocketAddr) {
    let mut stream = greeted(at);
    pour(&mut stream, std::iter::once(frame(HEADERS, 0, 1, &call(STATUS))));
    pour(&mut stream, (0..50_000).map(|_| frame(CONTINUATION, 0, 1, &[])));
    drop(stream);
}

fn huge_headers(at: SocketAddr) {
    let mut stream = greeted(at);
    let piece = field("x-filler", &"y".repeat(100)).repeat(100);
    for id in streams(50) {
        let begin = frame(HEADERS, 0, id, &call(STATUS));
        let more = frame(CONTINUATION, 0, id, &piece).repeat(3);
        let end = frame(CONTINUATION, END_HEADERS, id, &[]);
        pour(&mut stream, std::iter::once([begin, more, end].concat()));
    }
    drop(stream);
}

fn idle_streams(at: SocketAddr) {
    let mut stream = greeted(at);
    let headers = call(INGEST);
    pour(&mut stream, streams(10_000).map(|id| frame(HEADERS, END_HEADERS, id, &headers)));
    assert!(is_ended(&mut stream), "ten thousand calls at once are too many");
}

fn pings(at: SocketAddr) {
    let mut stream = greeted(at);
    pour(&mut stream, (0..20_000).map(|_| frame(PING, 0, 0, &[0; 8])));
    drop(stream);
}

/// A message that says it has 4 GB, and much of it.
fn huge_message(at: SocketAddr) {
    let mut stream = greeted(at);
    let open = frame(HEADERS, END_HEADERS, 1, &call(INGEST));
    let head = frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff]);
    let body = (0..512).map(|_| frame(DATA, 0, 1, &[7; 16 << 10]));
    // The window is never opened further, so this ends in a closed stream or in silence.
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    pour(&mut stream, std::iter::once([open, head].concat()).chain(body));
}

fn garbage(at: SocketAddr) {
    let mut state = 1u64;
    for _ in 0..100 {
        let mut bytes = vec![0; 512];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = state.to_be_bytes()[0];
        }
        let mut stream = raw::connect(at).expect("it listens");
        pour(&mut stream, std::iter::once(bytes));
        assert!(is_ended(&mut stream), "garbage ends a connection");
    }
}

/// Connections that never say what they want.
fn silent_connections(at: SocketAddr) {
    let mut silent: Vec<_> = (0..300).map(|_| raw::connect(at).expect("it listens")).collect();
    // The first ones are waited for, the last ones have no place.
    let late = silent.last_mut().expect("some");
    assert!(is_ended(late), "three hundred silent connections of one address are too many");
}

/// The head of a TLS handshake, byte by byte.
fn slow_handshakes(at: SocketAddr) {
    let mut slow: Vec<_> = (0..100).map(|_| raw::connect(at).expect("it listens")).collect();
    for byte in [22, 3, 1, 2, 0, 1, 0] {
        for stream in &mut slow {
            let _ = stream.write_all(&[byte]);
        }
    }
}

#[tokio::test]
async fn attacks_by_http2_are_withstood() {
    let aggregator = Aggregator::start("");
    let open = TlsArgs::default();
    let attacks: [fn(SocketAddr); 9] = [
        rapid_reset,
        continuation_flood,
        empty_continuations,
        huge_headers,
        idle_streams,
        pings,
        huge_message,
        garbage,
        silent_connections,
    ];
    for attack in attacks {
        withstands(&aggregator, &open, attack).await;
    }
}

#[tokio::test]
async fn attacks_on_the_handshake_are_withstood() {
    let (authority, aggregator) = secured("");
    let mine = Secret::new(&authority.issue(&[COLLECTOR], NOW), authority.pem());
    for attack in [slow_handshakes as fn(SocketAddr), garbage, silent_connections] {
        withstands(&aggregator, &mine.args(), attack).await;
    }
    // Whatever was tried, each address is told of once a minute.
    assert!(aggregator.lines_with("refused") <= 2, "{}", aggregator.said());
}

#[tokio::test]
async fn a_connection_that_calls_too_often_is_told_so_and_others_are_not() {
    let aggregator = Aggregator::start("--max-call-rate 20");
    let caller = caller(&TlsArgs::default());
    let busy = connect(&caller, aggregator.address).await.expect("connected");
    let calm = connect(&caller, aggregator.address).await.expect("connected");
    let mut refused = None;
    for _ in 0..1_000 {
        if let Err(status) = ask(busy.clone()).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("a thousand calls at once are too many");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    ask(calm).await.expect("an answer");
}

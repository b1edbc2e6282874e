//! Certificates are replaced while calls are made, and some of the new ones are wrong: no call fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rcgen::ExtendedKeyUsagePurpose;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use xcloud::{
    access::caller::{Caller, identify},
    cli::{Address, access::TlsArgs},
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, Named, Outbox},
    },
};
use xcloud_common::sample::Sample;
use xcloud_proto::{
    common::v1::Site,
    ingest::v1::{Hello, Status as HookStatus},
};

use crate::{
    authority::{Authority, NOW, PAST, Pair, Secret},
    harness::{AGENT, AGGREGATOR, Aggregator, COLLECTOR, ask, caller, connect},
    sample::{SENT_NS, near},
};

const ROTATIONS: usize = 1_000;
/// Every so many rotations the new certificates must have come into use.
const CHECK_EVERY: usize = 50;
/// Between rotations; whoever looks does so more often.
const PAUSE: Duration = Duration::from_millis(6);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a secret is replaced by: certificate, key, authorities.
type Files = (String, String, String);

/// Right ones first, then one wrong in each way.
fn versions(authority: &Authority, names: &[&str]) -> (Vec<Files>, Vec<Files>) {
    let ca = || authority.pem().to_owned();
    let right: Vec<Pair> = (0..8).map(|_| authority.issue(names, NOW)).collect();
    let [one, two] = [right[0].clone(), right[1].clone()];
    let expired = authority.issue(names, PAST);
    let other = Authority::new();
    let foreign = other.issue(names, NOW);
    let neither = authority.issue_for(names, NOW, &[ExtendedKeyUsagePurpose::CodeSigning]);
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let wrong = vec![
        (half(&one.cert), one.key.clone(), ca()),
        (one.cert.clone(), half(&one.key), ca()),
        (one.cert.clone(), two.key, ca()),
        (String::new(), one.key.clone(), ca()),
        (one.cert.clone(), String::new(), ca()),
        (one.cert.clone(), one.key.clone(), String::new()),
        (expired.cert, expired.key, ca()),
        (foreign.cert, foreign.key, ca()),
        (neither.cert, neither.key, ca()),
        ("\0\u{7f}garbage".repeat(99), one.key, ca()),
    ];
    (right.into_iter().map(|pair| (pair.cert, pair.key, ca())).collect(), wrong)
}

/// Puts the version for this turn; every third is wrong. Returns whether it is right.
fn put(secret: &Secret, (right, wrong): &(Vec<Files>, Vec<Files>), turn: usize) -> bool {
    let is_right = turn % 3 != 2;
    let (cert, key, ca) = match is_right {
        true => &right[turn % right.len()],
        false => &wrong[turn / 3 % wrong.len()],
    };
    secret.put(cert, key, ca);
    is_right
}

/// Calls until told to stop; counts what was answered, and fails at the first call that was not.
async fn load(
    caller: Caller,
    at: SocketAddr,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    anew: bool,
) {
    let mut channel = connect(&caller, at).await.expect("connected");
    while !stop.load(Ordering::Relaxed) {
        if anew {
            channel = connect(&caller, at).await.expect("connected");
        }
        ask(channel.clone()).await.expect("an answer");
        answered.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
}

/// An agent's client, as this process.
struct Sending {
    outbox: SharedOutbox,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    emitted: u64,
}

impl Sending {
    fn start(address: SocketAddr) -> Self {
        let (outbox, stop) = (SharedOutbox::new(Outbox::new(100_000)), CancellationToken::new());
        let site = Site { cloud: "aws".into(), node: "a".into(), ..Site::default() };
        let client = Client {
            address: Address::Tcp(address),
            hello: Hello {
                agent_id: "aws::a".into(),
                boot_id: vec![1; 16],
                site: Some(site),
                ..Hello::default()
            },
            status: watch::channel(HookStatus::default()).1,
            outbox: outbox.clone(),
            flush: Duration::from_millis(10),
            clock: || SENT_NS,
        };
        Self { outbox, stop: stop.clone(), task: tokio::spawn(client.run(stop)), emitted: 0 }
    }

    fn emit(&mut self) {
        let samples = vec![near(u32::try_from(self.emitted).expect("few"))];
        self.emitted += samples.iter().map(Sample::observations).sum::<u64>();
        let mut outbox = self.outbox.lock();
        outbox.push(&mut samples.into_iter().map(Named::from).collect());
        outbox.count(KernelTotals { emitted: self.emitted, ..KernelTotals::default() });
    }

    /// Sends what is left; returns what was emitted and acknowledged.
    async fn finish(self) -> (u64, u64) {
        self.stop.cancel();
        self.task.await.expect("no panic");
        (self.emitted, self.outbox.lock().acked_observations())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rotations_some_of_them_wrong_fail_no_call() {
    let authority = Authority::new();
    let [server, collector, agent] = [&AGGREGATOR[..], &[COLLECTOR], &[AGENT]].map(|names| {
        let versions = versions(&authority, names);
        let (cert, key, ca) = versions.0[0].clone();
        (Secret::new(&Pair { cert, key }, &ca), versions)
    });
    let every = format!("--tls-poll {}ms", LOOK_EVERY.as_millis());
    let aggregator = Aggregator::with_tls(&server.0, &format!("{every} --max-call-rate 10000"));
    identify(&TlsArgs { tls_poll: LOOK_EVERY, ..agent.0.args() }).expect("nobody else did");
    let mut sending = Sending::start(aggregator.address);
    let asks = caller(&collector.0.args());
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut loads = JoinSet::new();
    for anew in [false, true, true] {
        let (stop, answered) = (stop.clone(), answered.clone());
        loads.spawn(load(asks.clone(), aggregator.address, stop, answered, anew));
    }
    let mut came = 0;
    for turn in 0..ROTATIONS {
        let right = put(&server.0, &server.1, turn);
        put(&collector.0, &collector.1, turn + 1);
        put(&agent.0, &agent.1, turn + 2);
        sending.emit();
        sleep(PAUSE).await;
        if right && turn % CHECK_EVERY == 0 && turn > 0 {
            came = more_in_use(&aggregator, came).await;
        }
        if let Some(ended) = loads.try_join_next() {
            panic!("a caller ended: {ended:?}\n{}", aggregator.said());
        }
    }
    // Whatever was wrong last, right ones end it.
    put(&server.0, &server.1, 0);
    put(&agent.0, &agent.1, 0);
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = loads.join_next().await {
        ended.expect("every call was answered");
    }
    let (emitted, acknowledged) = sending.finish().await;
    assert_eq!(emitted, acknowledged, "what the agent's client sent");
    let said = aggregator.said();
    eprintln!(
        "{} calls answered; {} rotations came into use, {} were told to be wrong",
        answered.load(Ordering::Relaxed),
        aggregator.lines_with("are in use"),
        aggregator.lines_with("the new ones are wrong")
    );
    assert!(answered.load(Ordering::Relaxed) > 500, "too few calls to mean anything");
    for why in ["holds no certificate", "KeyMismatch", "expired at", "none of these authorities"] {
        assert!(said.contains(why), "never said {why:?}");
    }
}

/// Waits until more certificates came into use than before; returns how many.
async fn more_in_use(aggregator: &Aggregator, before: usize) -> usize {
    for _ in 0..5_000 {
        let now = aggregator.lines_with("are in use");
        if now > before {
            return now;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("certificates no longer come into use:\n{}", aggregator.said());
}

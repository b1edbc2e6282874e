//! Each key that takes effect while an aggregator runs, by what it does, and that all others do not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nix::sys::signal::Signal;
use tonic::transport::{Channel, Endpoint};
use xcloud::config::Section;
use xcloud_common::sample::Sample;
use xcloud_proto::observer::v1::{
    GetServerStatusRequest, GetServerStatusResponse, QuerySplitRequest,
    observer_service_client::ObserverServiceClient,
};

use crate::{
    agent::{Agent, batch, far, hello},
    harness::{ConfigMap, Daemon, passes, xcloud},
    sample::near,
};

/// An agent that brings samples.
struct Source {
    agent: Agent,
    sequence: u64,
    sent: u64,
}

impl Source {
    async fn of(name: &str, channel: Channel) -> Self {
        let mut agent = Agent::on(channel, hello(name, 1, 1)).await;
        agent.acked().await.expect("welcome");
        Self { agent, sequence: 0, sent: 0 }
    }

    async fn bring(&mut self, samples: &[Sample]) {
        self.sequence += 1;
        let batch = batch(self.sequence, self.sent, samples);
        self.sent += samples.iter().map(Sample::observations).sum::<u64>();
        assert_eq!(self.agent.batch(batch).await.expect("taken"), self.sequence);
    }
}

/// A running aggregator with a file, and the agents of two nodes.
struct Scene {
    daemon: Daemon,
    map: ConfigMap,
    channel: Channel,
    observer: ObserverServiceClient<Channel>,
    near: Source,
    far: Source,
    exchanges: u32,
}

impl Scene {
    async fn begin(key: &str, value: &str) -> Self {
        let map = ConfigMap::new(&text(key, value));
        let path = map.path();
        let command = &mut xcloud(&["aggregator", "--config", path.to_str().expect("UTF-8")]);
        let daemon = Daemon::start(command);
        let url = format!("http://{}", daemon.address());
        let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("it runs");
        Self {
            daemon,
            map,
            observer: ObserverServiceClient::new(channel.clone()),
            near: Source::of("aws-a", channel.clone()).await,
            far: Source::of("gcp-b", channel.clone()).await,
            channel,
            exchanges: 0,
        }
    }

    /// One end of a new exchange.
    async fn bring_near(&mut self) {
        self.exchanges += 1;
        self.near.bring(&[near(self.exchanges)]).await;
    }

    /// Both ends of one.
    async fn bring_both(&mut self) {
        self.bring_near().await;
        self.far.bring(&[far(self.exchanges)]).await;
    }

    async fn status(&mut self) -> GetServerStatusResponse {
        let answer = self.observer.get_server_status(GetServerStatusRequest {}).await;
        answer.expect("an answer").into_inner()
    }

    async fn kept(&mut self) -> usize {
        let answer = self.observer.query_split(QuerySplitRequest::default()).await;
        answer.expect("an answer").into_inner().paths.len()
    }

    /// Whether what a key does shows, after something was brought that shows it.
    async fn shows(&mut self, key: &str) -> bool {
        match key {
            "join-capacity" => {
                let full = async |scene: &mut Self| {
                    scene.status().await.join_loss.map_or(0, |loss| loss.table_full)
                };
                let before = full(self).await;
                self.bring_near().await;
                self.bring_near().await;
                full(self).await > before
            }
            "join-window" => {
                self.bring_near().await;
                self.status().await.join_loss.is_some_and(|loss| loss.near_alone > 0)
            }
            "max-memory" | "max-paths" => {
                let lost = async |scene: &mut Self| {
                    let loss = scene.status().await.loss.and_then(|loss| loss.lost);
                    loss.map_or(0, |lost| lost.store)
                };
                let before = lost(self).await;
                self.bring_both().await;
                lost(self).await > before
            }
            "retention" => {
                if self.exchanges == 0 {
                    self.bring_both().await;
                }
                self.kept().await > 0
            }
            "log-level" => {
                Source::of("aws-c", self.channel.clone()).await;
                self.daemon.said().contains("agent \"aws-c\" connected")
            }
            _ => panic!("nothing shows {key}"),
        }
    }
}

fn text(key: &str, value: &str) -> String {
    format!("aggregator:\n  listen: ['127.0.0.1:0']\n  interval: 100ms\n  {key}: {value}\n")
}

/// A key, its value before and after, and whether what it does shows then.
const MEASURING: [(&str, &str, &str, [bool; 2]); 6] = [
    ("join-capacity", "1", "1000", [true, false]),
    ("join-window", "1h", "1ms", [false, true]),
    ("log-level", "info,xcloud::wire=warn", "info", [false, true]),
    ("max-memory", "1", "1GB", [true, false]),
    ("max-paths", "1", "1000", [true, false]),
    ("retention", "1h", "100ms", [true, false]),
];
/// Keys of load tests, that `tests/load_tests/reload.rs` is about.
const LOAD: [&str; 4] = ["load-max-bytes", "load-max-duration", "load-max-rate", "load-max-usd"];

#[tokio::test]
async fn each_key_that_can_change_does_so_at_once() {
    for (key, before, after, [first, then]) in MEASURING {
        let mut scene = Scene::begin(key, before).await;
        assert_eq!(scene.shows(key).await, first, "{key}: {before}");
        scene.map.replace(&text(key, after));
        scene.daemon.await_word(&format!("{key} is {after} from now on, it was "));
        while scene.shows(key).await != then {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[test]
fn every_key_that_can_change_is_tried() {
    let tried: BTreeSet<_> = MEASURING.iter().map(|(key, ..)| *key).chain(LOAD).collect();
    assert_eq!(tried, Section::Aggregator.hot().iter().copied().collect());
}

/// Another value for each key that cannot change.
const COLD: [(&str, &str); 26] = [
    ("allow-load-tests", "true"),
    ("health-listen", "127.0.0.1:1"),
    ("insecure", "true"),
    ("interval", "20s"),
    ("ip-ranges", "[/a]"),
    ("listen", "['127.0.0.1:1']"),
    ("load-results", "/a"),
    ("log-format", "json"),
    ("max-call-rate", "7"),
    ("max-connections", "7"),
    ("max-connections-per-peer", "7"),
    ("metrics-labels", "cloud"),
    ("metrics-listen", "127.0.0.1:1"),
    ("metrics-max-series", "7"),
    ("names", "pod"),
    ("otlp-ca", "/a"),
    ("otlp-endpoint", "http://127.0.0.1:1"),
    ("otlp-headers", SECRET),
    ("otlp-interval", "7s"),
    ("otlp-show-cert", "true"),
    ("role", "[\"agent=dns:a\"]"),
    ("sites", "/a"),
    ("tls-ca", "/a"),
    ("tls-cert", "/a"),
    ("tls-key", "/a"),
    ("tls-server-name", "a"),
];

/// What nobody may be told again.
const SECRET: &str = "token=abc";

/// Keys of the aggregator, and when the reference says that they take effect.
fn reference() -> BTreeMap<String, String> {
    let page = passes(&mut xcloud(&["config", "reference"]));
    let (_, table) = page.split_once("### `aggregator:`").expect("a table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |line: &str| {
        let key = line.split_once('`')?.0.to_owned();
        // `|` stands in cells as well, but not in this one.
        let when = ["at once", "at restart"]
            .into_iter()
            .find(|when| line.contains(&format!("| {when} |")))?;
        Some((key, when.to_owned()))
    };
    rows.filter_map(row).collect()
}

#[test]
fn each_key_that_cannot_change_says_so_and_keeps_its_value() {
    let reference = reference();
    // A file has only one of the two keys for headers.
    let other = |key: &str| key == "otlp-headers-file";
    let cold = reference.iter().filter(|(key, when)| *when == "at restart" && !other(key));
    let cold = cold.map(|(key, _)| &key[..]);
    assert_eq!(cold.collect::<Vec<_>>(), COLD.map(|(key, _)| key), "each has a value here");
    let map = ConfigMap::new("aggregator:\n  listen: ['127.0.0.1:0']\n");
    let path = map.path();
    let command = &mut xcloud(&["aggregator", "--config", path.to_str().expect("UTF-8")]);
    let daemon = Daemon::start(command);
    let address = daemon.address();
    let lines = COLD.map(|(key, value)| format!("  {key}: {value}\n"));
    map.replace(&format!("aggregator:\n{}", lines.concat()));
    let told = |key: &str, value: &str| {
        let shown = if value == SECRET { "(hidden)".into() } else { value.replace('\'', "") };
        let (stays, says) = (format!(": {key} stays "), shown);
        let says = format!(" until a restart; the file says {says}");
        let said = daemon.said();
        said.lines().filter(|line| line.contains(&stays) && line.ends_with(&says)).count()
    };
    daemon.await_word("tls-server-name stays ");
    for (key, value) in COLD {
        assert_eq!(told(key, value), 1, "{key}\n{}", daemon.said());
    }
    // Had one of them changed, it would be what the file says by now.
    daemon.signal(Signal::SIGHUP);
    while told("tls-server-name", "a") < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    for (key, value) in COLD {
        assert_eq!(told(key, value), 2, "{key}\n{}", daemon.said());
    }
    std::net::TcpStream::connect(address).expect("it listens where it did");
}

//! A step: what one test of a suite does, in the aggregator's words.

use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};
use xcloud_proto::loadtest::v1::{self as wire, RequestProtocol, load_test_spec::Kind};

use super::file::{Network, Pairs};
use crate::{cli::throughput::decimal, loadtest::spec::Spec};

/// A step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// For how long load is sent.
    #[serde(deserialize_with = "time")]
    pub duration: Duration,
    /// Between which sites, if not between those of the suite.
    pub pairs: Option<Pairs>,
    /// In which networks, if not in those of the suite.
    pub networks: Option<Vec<Network>>,
    /// Command run before each test.
    pub before: Option<String>,
    /// Command run after each test, however it ended.
    pub after: Option<String>,
    /// What happens while load is sent.
    pub event: Option<Event>,
    /// How much the path carries.
    throughput: Option<Throughput>,
    /// How long requests take.
    requests: Option<Requests>,
    /// How probes fare.
    probes: Option<Probes>,
}

/// Something that happens in the middle of a test.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, since load is sent.
    #[serde(deserialize_with = "time")]
    pub after: Duration,
    /// The command; without one, what `--event` says. One that still runs when the test has ended is killed.
    pub command: Option<String>,
}

/// As `xcloud load throughput`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Throughput {
    streams: u32,
    udp: bool,
    rate: Option<String>,
    reverse: bool,
    #[serde(deserialize_with = "time")]
    omit: Duration,
}

/// As `xcloud load http`, `rr`, `crr`, `udp-rr` and `grpc`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    protocol: Protocol,
    #[serde(default)]
    rate: u64,
    #[serde(default)]
    max_requests: u64,
    #[serde(default)]
    connections: u32,
    #[serde(default)]
    request_bytes: u32,
    #[serde(default)]
    response_bytes: u32,
    #[serde(default)]
    threads: u32,
}

/// How requests are made.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Protocol {
    Http,
    Rr,
    Crr,
    UdpRr,
    Grpc,
}

/// As `xcloud load stamp`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Probes {
    #[serde(deserialize_with = "time")]
    interval: Duration,
    flows: u32,
}

/// A time such as 30s.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("{text:?} is no time, as in 30s: {error}")))
}

impl Step {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.networks.as_ref().is_none_or(|some| !some.is_empty()),
            "networks is empty; it may be \"pod\", \"host\" or both"
        );
        if let Some(event) = &self.event {
            ensure!(event.after < self.duration, "the event comes after the step's duration");
        }
        Spec::read(&self.spec("a-test", "one", "another")?).map_err(Error::msg).map(drop)
    }

    /// How it is done.
    ///
    /// # Errors
    /// It says nothing or too much.
    pub fn kind(&self) -> Result<Kind> {
        match (&self.throughput, &self.requests, &self.probes) {
            (Some(one), None, None) => throughput(one),
            (None, Some(one), None) => Ok(requests(one)),
            (None, None, Some(one)) => probes(one),
            _ => Err(anyhow!("it needs throughput, requests or probes, one of them")),
        }
    }

    /// What is asked of the aggregator.
    ///
    /// # Errors
    /// The step makes no sense.
    pub fn spec(&self, name: &str, from: &str, to: &str) -> Result<wire::LoadTestSpec> {
        Ok(wire::LoadTestSpec {
            from: from.into(),
            to: to.into(),
            duration: Some(duration(self.duration)?),
            name: name.into(),
            kind: Some(self.kind()?),
        })
    }
}

fn throughput(one: &Throughput) -> Result<Kind> {
    let rate = one.rate.as_deref().map(decimal).transpose();
    let rate = rate.map_err(|why| anyhow!("rate: {why}"))?.unwrap_or(0);
    Ok(Kind::Throughput(wire::Throughput {
        streams: one.streams,
        udp: one.udp,
        bits_per_second: rate,
        reverse: one.reverse,
        omit: Some(duration(one.omit)?),
    }))
}

fn requests(one: &Requests) -> Kind {
    let protocol = match one.protocol {
        Protocol::Http => RequestProtocol::Http,
        Protocol::Rr => RequestProtocol::Rr,
        Protocol::Crr => RequestProtocol::Crr,
        Protocol::UdpRr => RequestProtocol::UdpRr,
        Protocol::Grpc => RequestProtocol::Grpc,
    };
    Kind::Requests(wire::Requests {
        protocol: protocol.into(),
        requests_per_second: one.rate,
        max_requests: one.max_requests,
        connections: one.connections,
        request_bytes: one.request_bytes,
        response_bytes: one.response_bytes,
        threads: one.threads,
    })
}

fn probes(one: &Probes) -> Result<Kind> {
    let interval = Some(one.interval).filter(|interval| !interval.is_zero());
    let interval = interval.map(duration).transpose()?;
    Ok(Kind::Probes(wire::Probes { interval, flows: one.flows }))
}

fn duration(duration: Duration) -> Result<prost_types::Duration> {
    prost_types::Duration::try_from(duration).context("a time that long cannot be told")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Result<Step> {
        let step: Step = toml::from_str(&format!("name = \"a\"\n{text}"))?;
        step.check()?;
        Ok(step)
    }

    #[test]
    fn settings_are_passed_on() {
        let text = "duration = \"1m\"\nthroughput = { streams = 10, udp = true, rate = \"1.5G\", omit = \"2s\" }";
        let spec = step(text).and_then(|one| one.spec("a/host", "x", "y")).expect("a step");
        let Some(Kind::Throughput(told)) = spec.kind else { panic!("{spec:?}") };
        assert_eq!((told.streams, told.udp, told.bits_per_second), (10, true, 1_500_000_000));
        assert_eq!(told.omit.map(|omit| omit.seconds), Some(2));
        assert_eq!((&*spec.name, &*spec.from, &*spec.to), ("a/host", "x", "y"));
        assert_eq!(spec.duration.map(|time| time.seconds), Some(60));
    }

    #[test]
    fn every_protocol_has_its_name() {
        for (name, wanted) in [
            ("http", RequestProtocol::Http),
            ("rr", RequestProtocol::Rr),
            ("crr", RequestProtocol::Crr),
            ("udp-rr", RequestProtocol::UdpRr),
            ("grpc", RequestProtocol::Grpc),
        ] {
            let text = format!(
                "duration = \"1s\"\nrequests = {{ protocol = \"{name}\", rate = 7, connections = 4, \
                 response_bytes = 2, threads = 4 }}"
            );
            let kind = step(&text).and_then(|one| one.kind()).expect("a step");
            let told = wire::Requests {
                protocol: wanted.into(),
                requests_per_second: 7,
                max_requests: 0,
                connections: 4,
                request_bytes: 0,
                response_bytes: 2,
                threads: 4,
            };
            assert_eq!(kind, Kind::Requests(told));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            ("duration = \"1s\"", "throughput, requests or probes"),
            ("duration = \"1s\"\nprobes = {}\nthroughput = {}", "one of them"),
            ("duration = \"0s\"\nprobes = {}", "above 0"),
            ("duration = \"soon\"\nprobes = {}", "\"soon\" is no time"),
            ("duration = \"1s\"\nthroughput = { udp = true }", "UDP needs bits_per_second"),
            ("duration = \"1s\"\nthroughput = { rate = \"fast\" }", "\"fast\""),
            ("duration = \"1500ms\"\nthroughput = {}", "whole seconds"),
            (
                "duration = \"1s\"\nrequests = { protocol = \"rr\", rate = 1, max_requests = 2 }",
                "without requests_per_second",
            ),
            ("duration = \"1s\"\nrequests = { protocol = \"smtp\" }", "smtp"),
            ("duration = \"1s\"\nprobes = {}\nevent = { after = \"2s\" }", "after the step's"),
            ("duration = \"1s\"\nprobes = { speed = 1 }", "unknown field `speed`"),
            ("duration = \"1s\"\nprobes = {}\nnetworks = []", "networks is empty"),
        ];
        for (text, says) in wrong {
            let error = format!("{:#}", step(text).expect_err(text));
            assert!(error.contains(says), "{says} not in {error}");
        }
    }
}

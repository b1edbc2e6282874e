//! Whole tests, from the wish to the figures.

use xcloud::result::Trial;
use xcloud_proto::loadtest::v1::{
    LoadTestSpec, RequestProtocol, Requests, Throughput, load_test_spec::Kind,
};

use crate::harness::{Aggregator, LEAVE, requests, spec, stamp, throughput};

/// The only trial of a test that has to go well.
async fn trial(aggregator: &Aggregator, spec: LoadTestSpec) -> Trial {
    let test = aggregator.make(spec).await;
    let run = aggregator.export(&[&test.id]).await.expect("a result");
    let [trial] = &run.trials[..] else { panic!("{} trials", run.trials.len()) };
    assert_eq!(trial.from, "aws/us-east-1//node-a");
    assert_eq!(trial.to, "gcp/us-central1//node-b");
    assert_eq!(
        (&*trial.settings["from_network"], &*trial.settings["to_network"]),
        ("host", "host")
    );
    trial.clone()
}

fn figure(trial: &Trial, name: &str) -> f64 {
    trial.metrics.get(name).unwrap_or_else(|| panic!("no {name} in {trial:#?}")).value
}

#[tokio::test]
async fn throughput_is_measured_both_ways() {
    let aggregator = Aggregator::start(LEAVE);
    let ends = aggregator.endpoints(["a", "b"]).await;
    let there = trial(&aggregator, spec(throughput(), 2)).await;
    assert_eq!((&*there.test, &*there.settings["time"]), ("throughput", "2"));
    let rate = figure(&there, "throughput");
    assert!((1e7..2.5e7).contains(&rate), "{rate} is not about 20 Mbit/s");
    let back = Throughput {
        reverse: true,
        streams: 4,
        bits_per_second: 20_000_000,
        ..Throughput::default()
    };
    let back = trial(&aggregator, spec(Kind::Throughput(back), 1)).await;
    assert_eq!((&*back.settings["reverse"], &*back.settings["parallel"]), ("true", "4"));
    assert_eq!(&*back.settings["bitrate"], "5000000", "a quarter for each stream");
    let udp = Throughput { udp: true, bits_per_second: 5_000_000, ..Throughput::default() };
    let udp = trial(&aggregator, spec(Kind::Throughput(udp), 1)).await;
    assert!(figure(&udp, "throughput") > 0.0 && udp.metrics.contains_key("lost"));
    assert!(ends.iter().all(|end| end.children().is_empty()));
}

#[tokio::test]
async fn requests_of_every_protocol_are_answered() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    for protocol in [
        RequestProtocol::Rr,
        RequestProtocol::Crr,
        RequestProtocol::UdpRr,
        RequestProtocol::Http,
        RequestProtocol::Grpc,
    ] {
        let named = LoadTestSpec { name: "step one".into(), ..spec(requests(protocol), 1) };
        let trial = trial(&aggregator, named).await;
        assert_eq!(trial.test, "step one");
        assert_eq!(figure(&trial, "scheduled"), 200.0, "{protocol:?}");
        assert_eq!(figure(&trial, "done"), 200.0, "{protocol:?}");
    }
}

#[tokio::test]
async fn requests_without_a_rate_end_at_their_number() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let wish = Requests {
        protocol: RequestProtocol::Rr.into(),
        max_requests: 500,
        request_bytes: 1,
        ..Requests::default()
    };
    let trial = trial(&aggregator, spec(Kind::Requests(wish), 60)).await;
    assert_eq!((figure(&trial, "scheduled"), figure(&trial, "done")), (500.0, 500.0));
    assert!(
        trial.warnings.iter().any(|one| one.contains("--max-requests")),
        "{:?}",
        trial.warnings
    );
}

#[tokio::test]
async fn an_endpoint_in_a_pod_asks_where_the_time_went() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = [aggregator.endpoint("a", "--network pod"), aggregator.endpoint("b", "")];
    aggregator.await_endpoints(&["a", "b"]).await;
    let test = aggregator.make(spec(requests(RequestProtocol::Rr), 1)).await;
    let run = aggregator.export(&[&test.id]).await.expect("a result");
    let trial = &run.trials[0];
    assert_eq!((&*trial.settings["from_network"], &*trial.settings["to_network"]), ("pod", "host"));
    // No agent watches these pods.
    let warned = trial.warnings.iter().any(|one| one.contains("no request was seen at both ends"));
    assert!(warned, "{:?}", trial.warnings);
}

#[tokio::test]
async fn probes_are_reflected() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let trial = trial(&aggregator, spec(stamp(), 1)).await;
    assert_eq!(trial.test, "stamp");
    assert_eq!((figure(&trial, "sent"), figure(&trial, "answered")), (100.0, 100.0));
}

#[tokio::test]
async fn other_paths_are_free_while_one_is_busy() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b", "a2", "b2"]).await;
    let long = aggregator.create(spec(stamp(), 60)).await.expect("allowed");
    let elsewhere = LoadTestSpec { from: "a2".into(), to: "b2".into(), ..spec(stamp(), 1) };
    aggregator.make(elsewhere).await;
    // The same path in the other direction, and a free path with an end that plays.
    for (from, to, says) in [("b", "a", "runs on this path"), ("a", "b2", "plays in test")] {
        let busy = LoadTestSpec { from: from.into(), to: to.into(), ..spec(stamp(), 1) };
        let status = aggregator.create(busy).await.expect_err("busy");
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        assert!(status.message().contains(says) && status.message().contains(&long.id), "{status}");
    }
}

//! Tests that end before their time leave a clear state and no load, and the next one works.

use std::time::Duration;

use nix::sys::signal::Signal;
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, LoadTest, LoadTestState, RequestProtocol, load_test_spec::Kind,
};

use crate::harness::{Aggregator, LEAVE, Process, lives, requests, spec, stamp, throughput, until};

/// A long test that is under way, and the processes that play its parts.
async fn under_way(
    aggregator: &Aggregator,
    kind: Kind,
    ends: [&Process; 2],
) -> (LoadTest, [u32; 2]) {
    let test = aggregator.create(spec(kind, 300)).await.expect("allowed");
    aggregator.await_running(&test.id).await;
    let parts = ends.map(Process::await_child);
    assert!(parts.iter().all(|part| lives(*part)));
    (test, parts)
}

fn await_none(parts: [u32; 2]) {
    until("no part lives", || !parts.iter().any(|part| lives(*part)));
}

async fn cancelled(aggregator: &Aggregator, id: &str) -> LoadTest {
    let request = CancelLoadTestRequest { id: id.into() };
    let answer = aggregator.client().await.cancel_load_test(request).await;
    answer.expect("a known test").into_inner().test.expect("a test")
}

#[tokio::test]
async fn a_cancelled_test_ends_and_keeps_what_it_found() {
    let aggregator = Aggregator::start(LEAVE);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    let (test, parts) = under_way(&aggregator, requests(RequestProtocol::Rr), [&a, &b]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ended = cancelled(&aggregator, &test.id).await;
    assert_eq!((ended.state(), ended.has_result), (LoadTestState::Cancelled, true), "{ended:?}");
    await_none(parts);
    let run = aggregator.export(&[&test.id]).await.expect("a result");
    assert!(run.trials[0].metrics["done"].value > 0.0);
    assert_eq!(cancelled(&aggregator, &test.id).await, ended, "a second time changes nothing");
    aggregator.make(spec(stamp(), 1)).await;
}

#[tokio::test]
async fn a_cancelled_throughput_test_keeps_what_it_found() {
    let aggregator = Aggregator::start(LEAVE);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    let (test, parts) = under_way(&aggregator, throughput(), [&a, &b]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ended = cancelled(&aggregator, &test.id).await;
    assert_eq!((ended.state(), ended.has_result), (LoadTestState::Cancelled, true), "{ended:?}");
    await_none(parts);
    let run = aggregator.export(&[&test.id]).await.expect("a result");
    assert!(run.trials[0].metrics["throughput"].value > 0.0);
    aggregator.make(spec(throughput(), 1)).await;
}

#[tokio::test]
async fn a_killed_endpoint_takes_its_part_with_it_and_the_other_is_ended() {
    for (killed, kind) in [("a", throughput()), ("b", throughput()), ("a", stamp()), ("b", stamp())]
    {
        let aggregator = Aggregator::start(LEAVE);
        let [mut a, mut b] = aggregator.endpoints(["a", "b"]).await;
        let (test, parts) = under_way(&aggregator, kind, [&a, &b]).await;
        if killed == "a" {
            a.kill()
        } else {
            b.kill()
        }
        await_none(parts);
        let ended = aggregator.end_of(&test.id).await;
        assert_eq!(ended.state(), LoadTestState::Failed, "{ended:?}");
        assert!(ended.error.contains(&format!("\"{killed}\"")), "{ended:?}");
        let _again = aggregator.endpoint(killed, "");
        aggregator.await_endpoints(&["a", "b"]).await;
        aggregator.make(spec(stamp(), 1)).await;
    }
}

#[tokio::test]
async fn a_killed_part_fails_the_test() {
    let aggregator = Aggregator::start(LEAVE);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    for index in [0, 1] {
        let (test, parts) = under_way(&aggregator, throughput(), [&a, &b]).await;
        let part = nix::unistd::Pid::from_raw(parts[index].cast_signed());
        nix::sys::signal::kill(part, Signal::SIGKILL).expect("a process");
        let ended = aggregator.end_of(&test.id).await;
        assert_eq!(ended.state(), LoadTestState::Failed, "{ended:?}");
        assert!(!ended.error.is_empty() && !ended.has_result, "{ended:?}");
        await_none(parts);
    }
    aggregator.make(spec(stamp(), 1)).await;
}

#[tokio::test]
async fn a_killed_aggregator_leaves_no_load_and_the_next_one_works() {
    let results = tempfile::tempdir().expect("a directory");
    let flags = format!("{LEAVE} --load-results {}", results.path().display());
    let mut aggregator = Aggregator::start(&flags);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    let (test, parts) = under_way(&aggregator, requests(RequestProtocol::Rr), [&a, &b]).await;
    aggregator.process.kill();
    await_none(parts);
    let aggregator = Aggregator::start_at(&aggregator.address.to_string(), &flags);
    aggregator.await_endpoints(&["a", "b"]).await;
    let before = aggregator.end_of(&test.id).await;
    assert_eq!(before.state(), LoadTestState::Failed, "{before:?}");
    assert!(before.error.contains("the aggregator ended"), "{before:?}");
    let next = aggregator.make(spec(stamp(), 1)).await;
    assert_ne!(next.id, test.id);
}

#[tokio::test]
async fn a_stopped_aggregator_ends_its_tests() {
    let mut aggregator = Aggregator::start(LEAVE);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    let (_, parts) = under_way(&aggregator, stamp(), [&a, &b]).await;
    aggregator.process.signal(Signal::SIGTERM);
    await_none(parts);
    assert_eq!(aggregator.process.exit_code(), Some(0), "{}", aggregator.process.said());
}

#[tokio::test]
async fn a_stopped_endpoint_ends_its_part_first() {
    let aggregator = Aggregator::start(LEAVE);
    let [a, mut b] = aggregator.endpoints(["a", "b"]).await;
    let (test, parts) = under_way(&aggregator, stamp(), [&a, &b]).await;
    b.signal(Signal::SIGTERM);
    assert_eq!(b.exit_code(), Some(0), "{}", b.said());
    await_none(parts);
    assert_eq!(aggregator.end_of(&test.id).await.state(), LoadTestState::Failed);
}

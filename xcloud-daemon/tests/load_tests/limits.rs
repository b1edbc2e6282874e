//! What may not be made is refused, with the reason, and nothing is started.

use tonic::Code;
use xcloud_proto::loadtest::v1::{
    CreateLoadTestRequest, ListEndpointsRequest, LoadTestSpec, RequestProtocol, Requests,
    Throughput, load_test_spec::Kind,
};

use crate::harness::{Aggregator, LEAVE, requests, spec, stamp, throughput};

async fn refused(aggregator: &Aggregator, spec: LoadTestSpec, code: Code, says: &str) {
    let status = aggregator.create(spec).await.expect_err(says);
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(says), "{status}");
}

#[tokio::test]
async fn nothing_is_made_without_leave() {
    let aggregator = Aggregator::start("");
    refused(&aggregator, spec(throughput(), 1), Code::PermissionDenied, "--allow-load-tests").await;
    let listed = aggregator.client().await.list_endpoints(ListEndpointsRequest {}).await;
    assert_eq!(listed.expect_err("refused").code(), Code::PermissionDenied);
    let endpoint = aggregator.endpoint("a", "");
    endpoint.await_word("--allow-load-tests");
    for words in ["run --from a --to b rr -R 5", "endpoints", "tests", "cancel 1-a"] {
        let output = aggregator.ask(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("--allow-load-tests"), "{words}: {said}");
    }
}

#[tokio::test]
async fn each_limit_is_kept_and_named() {
    for (limit, says) in [
        ("--load-max-rate 19M", "--load-max-rate"),
        ("--load-max-bytes 1MB", "--load-max-bytes"),
        ("--load-max-usd 0.0001", "--load-max-usd"),
        ("--load-max-duration 1s", "--load-max-duration"),
    ] {
        let aggregator = Aggregator::start(&format!("--allow-load-tests {limit}"));
        let ends = aggregator.endpoints(["a", "b"]).await;
        refused(&aggregator, spec(throughput(), 5), Code::PermissionDenied, says).await;
        let request =
            CreateLoadTestRequest { spec: Some(spec(throughput(), 5)), validate_only: true };
        let judged = aggregator.client().await.create_load_test(request).await;
        assert_eq!(judged.expect_err("refused").code(), Code::PermissionDenied);
        assert!(ends.iter().all(|end| end.children().is_empty()), "{limit}");
    }
}

#[tokio::test]
async fn what_has_no_bound_is_refused() {
    let aggregator = Aggregator::start("--allow-load-tests");
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let closed = Requests { protocol: RequestProtocol::Rr.into(), ..Requests::default() };
    for unbounded in [Kind::Throughput(Throughput::default()), Kind::Requests(closed)] {
        refused(&aggregator, spec(unbounded, 1), Code::PermissionDenied, "--load-max-rate").await;
    }
}

#[tokio::test]
async fn no_rate_is_the_highest_allowed_and_told_beforehand() {
    let aggregator = Aggregator::start("--allow-load-tests --load-max-rate 8M");
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let output = aggregator.ask("run --from a --to b -d 10s throughput --dry-run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    // 8 Mbit/s for 10 s are 10 MB, and headers.
    assert!(
        said.starts_with("moves up to 10.6 MB aws/us-east-1//node-a -> gcp/us-central1//node-b"),
        "{said}"
    );
    assert!(said.contains("USD"), "{said}");
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a"]).await;
    refused(
        &aggregator,
        spec(stamp(), 1),
        Code::NotFound,
        "no endpoint \"b\" is here; there are: a",
    )
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_told() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let itself = LoadTestSpec { to: "a".into(), ..spec(stamp(), 1) };
    refused(&aggregator, itself, Code::InvalidArgument, "same endpoint").await;
    refused(&aggregator, spec(stamp(), 0), Code::InvalidArgument, "duration").await;
    refused(&aggregator, LoadTestSpec::default(), Code::InvalidArgument, "from").await;
    let Kind::Requests(wish) = requests(RequestProtocol::Http) else { panic!("requests") };
    let body = Kind::Requests(Requests { request_bytes: 1, ..wish });
    refused(&aggregator, spec(body, 1), Code::InvalidArgument, "HTTP").await;
}

#[tokio::test]
async fn an_endpoint_keeps_limits_of_its_own() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = [aggregator.endpoint("a", ""), aggregator.endpoint("b", "--max-bytes 1kB")];
    aggregator.await_endpoints(&["a", "b"]).await;
    let test = aggregator.create(spec(stamp(), 1)).await.expect("allowed");
    let test = aggregator.end_of(&test.id).await;
    assert!(test.error.contains("\"b\": refused: the test moves more"), "{test:?}");
}

//! Endpoints that do not keep to the rules harm nobody.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use xcloud_proto::{
    common::v1::Site,
    loadtest::v1::{
        AttendRequest, AttendResponse, Ended, ListEndpointsRequest, LoadEndpoint, LoadTest,
        LoadTestState, Network, Report, attend_request::Message, attend_response::Message as Order,
        report::News,
    },
};

use crate::harness::{Aggregator, LEAVE, spec, stamp};

/// An endpoint that does as its test says.
struct Puppet {
    requests: mpsc::Sender<AttendRequest>,
    answers: Streaming<AttendResponse>,
}

impl Puppet {
    async fn silent(aggregator: &Aggregator) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let answers = aggregator.attendance().await.attend(ReceiverStream::new(receiver)).await;
        Self { requests, answers: answers.expect("a stream").into_inner() }
    }

    async fn named(aggregator: &Aggregator, name: &str) -> Self {
        let mut puppet = Self::silent(aggregator).await;
        puppet.say(Message::Hello(hello(name))).await;
        assert!(matches!(puppet.next().await, Ok(Order::Welcome(_))));
        puppet
    }

    async fn say(&mut self, message: Message) {
        // If the stream is closed, the answer says why.
        let _ = self.requests.send(AttendRequest { message: Some(message) }).await;
    }

    async fn report(&mut self, test_id: &str, news: News) {
        let report = Report { test_id: test_id.into(), news: Some(news) };
        self.say(Message::Report(report)).await;
    }

    async fn next(&mut self) -> Result<Order, Status> {
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.message()).await;
        let answer = answer.expect("an answer in time")?;
        Ok(answer.expect("an answer, not the end").message.expect("an order"))
    }

    /// Why its stream was ended.
    async fn refused(mut self) -> Status {
        self.next().await.expect_err("refused")
    }
}

fn hello(name: &str) -> LoadEndpoint {
    LoadEndpoint {
        name: name.into(),
        site: Some(Site { cloud: "evil".into(), node: name.into(), ..Site::default() }),
        network: Network::Pod.into(),
        address: vec![127, 0, 0, 1],
        version: "0".into(),
    }
}

async fn count(aggregator: &Aggregator) -> usize {
    let all = aggregator.client().await.list_endpoints(ListEndpointsRequest {}).await;
    all.expect("allowed").into_inner().endpoints.len()
}

#[tokio::test]
async fn a_stream_that_breaks_the_rules_is_ended() {
    let aggregator = Aggregator::start(LEAVE);
    let report = |news| Message::Report(Report { test_id: "x".into(), news });
    for first in [
        report(Some(News::ReadyPort(80))),
        Message::Hello(LoadEndpoint::default()),
        Message::Hello(LoadEndpoint { address: vec![1; 5], ..hello("a") }),
        Message::Hello(LoadEndpoint { name: "\u{202e}a".into(), ..hello("a") }),
    ] {
        let mut puppet = Puppet::silent(&aggregator).await;
        puppet.say(first).await;
        assert_eq!(puppet.refused().await.code(), Code::InvalidArgument);
    }
    for second in [
        Message::Hello(hello("b")),
        report(None),
        report(Some(News::ReadyPort(70_000))),
        report(Some(News::Progress("x".repeat(10_000)))),
    ] {
        let mut puppet = Puppet::named(&aggregator, "a").await;
        puppet.say(second).await;
        assert_eq!(puppet.refused().await.code(), Code::InvalidArgument);
    }
    let mut puppet = Puppet::named(&aggregator, "a").await;
    puppet.report("x", News::ResultChunk(vec![0; 1 << 20])).await;
    assert!(matches!(puppet.refused().await.code(), Code::OutOfRange | Code::ResourceExhausted));
    assert_eq!(count(&aggregator).await, 0);
}

#[tokio::test]
async fn reports_about_tests_of_others_concern_nobody() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let mut puppet = Puppet::named(&aggregator, "evil").await;
    let test = aggregator.create(spec(stamp(), 1)).await.expect("allowed");
    for _ in 0..100 {
        puppet.report(&test.id, News::Failed("ha".into())).await;
        puppet.report(&test.id, News::ResultChunk(b"{}".to_vec())).await;
        puppet.report("nothing", News::Ended(Ended {})).await;
    }
    assert_eq!(aggregator.end_of(&test.id).await.state(), LoadTestState::Done);
    assert_eq!(count(&aggregator).await, 3, "whoever babbles may stay");
}

#[tokio::test]
async fn a_newer_stream_of_the_same_name_takes_over() {
    let aggregator = Aggregator::start(LEAVE);
    let older = Puppet::named(&aggregator, "a").await;
    let _newer = Puppet::named(&aggregator, "a").await;
    assert_eq!(older.refused().await.code(), Code::Aborted);
    assert_eq!(count(&aggregator).await, 1);
}

/// What becomes of a test whose sender says this.
async fn told(aggregator: &Aggregator, news: Vec<News>) -> LoadTest {
    let _b = aggregator.endpoint("b", "");
    let mut puppet = Puppet::named(aggregator, "a").await;
    aggregator.await_endpoints(&["a", "b"]).await;
    let test = aggregator.create(spec(stamp(), 60)).await.expect("allowed");
    assert!(matches!(puppet.next().await, Ok(Order::Send(_))));
    for one in news {
        puppet.report(&test.id, one).await;
    }
    if let Ok(Order::Stop(_)) = tokio::time::timeout(Duration::from_millis(500), puppet.next())
        .await
        .unwrap_or_else(|_| Err(Status::unknown("nothing")))
    {
        puppet.report(&test.id, News::Ended(Ended {})).await;
    }
    aggregator.end_of(&test.id).await
}

#[tokio::test]
async fn what_is_no_result_fails_the_test() {
    let aggregator = Aggregator::start(LEAVE);
    let chunk = |text: &str| News::ResultChunk(text.as_bytes().to_vec());
    let empty = r#"{"schema":"xcloud.run.v1","label":"","tool":"","trials":[]}"#;
    let bomb = vec![News::ResultChunk(vec![b'['; 60_000]); 600];
    for (news, says) in [
        (vec![News::Ended(Ended {})], "without a result"),
        (vec![chunk("{"), News::Ended(Ended {})], "no result of xcloud"),
        (vec![chunk(&"[".repeat(50_000)), News::Ended(Ended {})], "no result of xcloud"),
        (vec![chunk(&empty.replace("v1", "v9")), News::Ended(Ended {})], "layout"),
        (vec![chunk(empty), News::Ended(Ended {})], "0 trials"),
        (bomb, "too long"),
        (vec![News::Failed("\u{1b}[31mred".into())], "\"a\": \\x1b[31mred"),
    ] {
        let test = told(&aggregator, news).await;
        assert_eq!((test.state(), test.has_result), (LoadTestState::Failed, false), "{test:?}");
        assert!(test.error.contains(says), "{test:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_stop_loses_its_stream() {
    let aggregator = Aggregator::start(LEAVE);
    let _b = aggregator.endpoint("b", "");
    let mut puppet = Puppet::named(&aggregator, "a").await;
    aggregator.await_endpoints(&["a", "b"]).await;
    let test = aggregator.create(spec(stamp(), 60)).await.expect("allowed");
    assert!(matches!(puppet.next().await, Ok(Order::Send(_))));
    let request = xcloud_proto::loadtest::v1::CancelLoadTestRequest { id: test.id.clone() };
    let cancelled = aggregator.client().await.cancel_load_test(request).await;
    let cancelled = cancelled.expect("a known test").into_inner().test.expect("a test");
    assert_eq!(cancelled.state(), LoadTestState::Cancelled);
    assert!(matches!(puppet.next().await, Ok(Order::Stop(_))));
    assert_eq!(puppet.refused().await.code(), Code::Aborted);
    let _a = aggregator.endpoint("a", "");
    aggregator.await_endpoints(&["a", "b"]).await;
    aggregator.make(spec(stamp(), 1)).await;
}

//! What users and collectors see.

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use xcloud::report::{Report, json::json, table::table};
use xcloud_proto::observer::v1::{
    ExchangeFilter, GroupBy, QuerySplitRequest, SiteFilter, WatchExchangesRequest,
    watch_exchanges_response::Item,
};

use crate::harness::{Agent, Server, batch, far, hello, near};

/// Two agents that have sent both ends of some exchanges.
pub(crate) async fn two_clouds(server: &Server) -> (Agent, Agent) {
    let mut aws = Agent::connect(server, hello("aws-a", 1, 1)).await;
    let mut gcp = Agent::connect(server, hello("gcp-b", 2, 1)).await;
    assert_eq!((aws.acked().await.ok(), gcp.acked().await.ok()), (Some(0), Some(0)));
    let ends: Vec<u32> = (1..=20).collect();
    let near: Vec<_> = ends.iter().copied().map(near).collect();
    let far: Vec<_> = ends.iter().copied().map(far).collect();
    assert_eq!(aws.batch(batch(1, 0, &near)).await.ok(), Some(1));
    assert_eq!(gcp.batch(batch(1, 0, &far)).await.ok(), Some(1));
    (aws, gcp)
}

#[tokio::test]
async fn what_agents_send_comes_out_split() {
    let server = Server::start().await;
    let _agents = two_clouds(&server).await;
    let mut report = Report::from(server.split().await);
    (report.start, report.end, report.oldest_available) = (None, None, None);
    insta::assert_snapshot!(table(&report, false), @r"
    aws a -> gcp b: ack, 20 exchanges, 100 % joined
                             p50      p90      p99    p99.9      max     mean
      total              40.4 us  40.4 us  40.4 us  40.4 us  40.4 us  40.4 us
      near CNI egress     200 ns   200 ns   200 ns   200 ns   200 ns   200 ns
      near queue          100 ns   100 ns   100 ns   100 ns   100 ns   100 ns
      WAN                34.9 us  34.9 us  34.9 us  34.9 us  34.9 us  34.9 us
      far CNI ingress      50 ns    50 ns    50 ns    50 ns    50 ns    50 ns
      far pod            5.00 us  5.00 us  5.00 us  5.00 us  5.00 us  5.00 us
      far CNI egress       90 ns    90 ns    90 ns    90 ns    90 ns    90 ns
      far queue            10 ns    10 ns    10 ns    10 ns    10 ns    10 ns
      near CNI ingress    100 ns   100 ns   100 ns   100 ns   100 ns   100 ns
      p99 = 40.400 us = 0.440 CNI + 0.110 queue + 34.850 WAN + 5.000 pod (20 exchanges)
      clocks put at most 1 ns into the WAN

    aws a -> gcp b: response, 20 exchanges, 100 % joined
                             p50      p90      p99    p99.9      max     mean
      total              40.4 us  40.4 us  40.4 us  40.4 us  40.4 us  40.4 us
      near CNI egress     200 ns   200 ns   200 ns   200 ns   200 ns   200 ns
      near queue          100 ns   100 ns   100 ns   100 ns   100 ns   100 ns
      WAN                34.9 us  34.9 us  34.9 us  34.9 us  34.9 us  34.9 us
      far CNI ingress      50 ns    50 ns    50 ns    50 ns    50 ns    50 ns
      far pod            5.00 us  5.00 us  5.00 us  5.00 us  5.00 us  5.00 us
      far CNI egress       90 ns    90 ns    90 ns    90 ns    90 ns    90 ns
      far queue            10 ns    10 ns    10 ns    10 ns    10 ns    10 ns
      near CNI ingress    100 ns   100 ns   100 ns   100 ns   100 ns   100 ns
      p99 = 40.400 us = 0.440 CNI + 0.110 queue + 34.850 WAN + 5.000 pod (20 exchanges)
      clocks put at most 1 ns into the WAN

    observations: 80 emitted = 80 delivered + 0 lost + 0 under way
    ");
    let text = json(&report).expect("serialisable");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let path = &value["paths"][0];
    assert_eq!((&path["near"]["cloud"], &path["far"]["cloud"]), (&"aws".into(), &"gcp".into()));
    assert_eq!(path["segments"]["far_pod"]["p50_ns"], 5_000);
    assert_eq!(value["loss"]["emitted"], 80);
    server.status().await;
    server.stop().await;
}

#[tokio::test]
async fn filters_and_groups_select() {
    let server = Server::start().await;
    let _agents = two_clouds(&server).await;
    let mut observer = server.observer().await;
    let mut count = async |near: &str, group_by: GroupBy| {
        let near = SiteFilter { cloud: near.into(), ..SiteFilter::default() };
        let request = QuerySplitRequest {
            filter: Some(ExchangeFilter { near: Some(near), ..ExchangeFilter::default() }),
            group_by: group_by.into(),
            ..QuerySplitRequest::default()
        };
        let answer = observer.query_split(request).await.expect("an answer").into_inner();
        let nodes = answer.paths.iter().filter_map(|path| Some(path.near.as_ref()?.node.clone()));
        (answer.paths.len(), nodes.collect::<String>())
    };
    assert_eq!(count("aws", GroupBy::Node).await, (2, "aa".into()));
    assert_eq!(count("aws", GroupBy::Cloud).await, (2, String::new()));
    assert_eq!(count("gcp", GroupBy::Node).await, (0, String::new()));
}

#[tokio::test]
async fn exchanges_can_be_followed() {
    let server = Server::start().await;
    let mut observer = server.observer().await;
    let request = WatchExchangesRequest { limit: 3, ..WatchExchangesRequest::default() };
    let mut stream = observer.watch_exchanges(request).await.expect("a stream").into_inner();
    let _agents = two_clouds(&server).await;
    for _ in 0..3 {
        let item = stream.message().await.expect("an answer").expect("not the end").item;
        let Some(Item::Exchange(exchange)) = item else { panic!("an exchange") };
        assert_eq!((exchange.total_ns, exchange.segments.len()), (40_400, 8));
    }
    assert_eq!(stream.message().await.expect("the end"), None);
}

#[tokio::test]
async fn a_wrong_question_is_refused() {
    let server = Server::start().await;
    let mut observer = server.observer().await;
    let mut ask = async |change: fn(&mut QuerySplitRequest)| {
        let mut request = QuerySplitRequest::default();
        change(&mut request);
        observer.query_split(request).await.expect_err("refused").message().to_owned()
    };
    let refusals = [
        ask(|q| q.tail_quantile = 1.0).await,
        ask(|q| q.tail_quantile = f64::NAN).await,
        ask(|q| q.group_by = 99).await,
        ask(|q| q.filter = Some(ExchangeFilter { kinds: vec![0], ..Default::default() })).await,
        ask(|q| {
            q.start = Some(prost_types::Timestamp { seconds: 9, nanos: 0 });
            q.end = Some(prost_types::Timestamp { seconds: 8, nanos: 0 });
        })
        .await,
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    tail_quantile is 1, not from 0.5 to below 1
    tail_quantile is NaN, not from 0.5 to below 1
    group_by is 99, which means nothing
    filter.kinds has 0, which means nothing
    start is later than end
    ");
}

#[tokio::test]
async fn health_is_told_for_the_server_and_each_service() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "xcloud.ingest.v1.IngestService", "xcloud.observer.v1.ObserverService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await;
        assert_eq!(answer.expect("known").into_inner().status, 1, "{service:?} is SERVING");
    }
}

#[tokio::test]
async fn both_versions_of_reflection_list_the_services() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let stream = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = stream.expect("a stream").into_inner().message().await.expect("an answer");
    let text = format!("{answer:?}");
    assert!(text.contains("xcloud.observer.v1.ObserverService"), "{text}");
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let stream = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = stream.expect("a stream").into_inner().message().await.expect("an answer");
    assert!(format!("{answer:?}").contains("xcloud.ingest.v1.IngestService"));
}

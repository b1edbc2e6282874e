//! What was found is kept, merged and compared.

use tonic::Code;
use xcloud::{compare::arm::Arm, result::Run};
use xcloud_proto::loadtest::v1::{
    CompareLoadTestsRequest, CompareLoadTestsResponse, ListLoadTestsRequest, LoadTestState,
};

use crate::harness::{Aggregator, LEAVE, spec, stamp, xcloud};

async fn compare(
    aggregator: &Aggregator,
    a: &[String],
    b: &[String],
) -> Result<CompareLoadTestsResponse, tonic::Status> {
    let request = CompareLoadTestsRequest { a_ids: a.to_vec(), b_ids: b.to_vec() };
    Ok(aggregator.client().await.compare_load_tests(request).await?.into_inner())
}

#[tokio::test]
async fn results_survive_a_restart_and_are_merged_and_compared() {
    let results = tempfile::tempdir().expect("a directory");
    let flags = format!("{LEAVE} --load-results {}", results.path().display());
    let aggregator = Aggregator::start(&flags);
    let ends = aggregator.endpoints(["a", "b"]).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(aggregator.make(spec(stamp(), 1)).await.id);
    }
    drop((ends, aggregator));

    let aggregator = Aggregator::start(&flags);
    let listed = aggregator.client().await.list_load_tests(ListLoadTestsRequest { limit: 3 }).await;
    let listed = listed.expect("allowed").into_inner().tests;
    let names: Vec<_> = listed.iter().map(|test| test.id.clone()).collect();
    assert_eq!(names, [&ids[3], &ids[2], &ids[1]].map(Clone::clone), "the newest first");
    assert!(listed.iter().all(|test| test.state() == LoadTestState::Done && test.has_result));

    let run = aggregator.export(&[&ids[2], &ids[0]]).await.expect("results");
    assert_eq!((run.trials.len(), &*run.label), (2, "all"));
    assert!(
        run.trials[0].started_unix_ns > run.trials[1].started_unix_ns,
        "in the order asked for"
    );

    let compared = compare(&aggregator, &ids[..2], &ids[2..]).await.expect("comparable");
    let json: serde_json::Value = serde_json::from_str(&compared.json).expect("JSON");
    assert_eq!((&json["a"]["trials"], &json["b"]["trials"]), (&2.into(), &2.into()));
    assert!(json["comparisons"].as_array().is_some_and(|all| !all.is_empty()));
    assert!(!compared.text.is_empty());

    // The kept files are what `xcloud compare` reads, and it says the same.
    let file = |id: &String| results.path().join(format!("{id}.json")).display().to_string();
    let words = format!(
        "compare -o json {},{} {},{}",
        file(&ids[0]),
        file(&ids[1]),
        file(&ids[2]),
        file(&ids[3])
    );
    let output = xcloud(&words).output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), compared.json);
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let done = aggregator.make(spec(stamp(), 1)).await.id;
    let running = aggregator.create(spec(stamp(), 60)).await.expect("allowed").id;
    for (ids, code) in [
        (vec![], Code::InvalidArgument),
        (vec!["20260101-000000-00000000"], Code::NotFound),
        (vec!["../../etc/passwd"], Code::NotFound),
        (vec![&*done, &*running], Code::FailedPrecondition),
        (vec![&*done; 257], Code::InvalidArgument),
    ] {
        let status = aggregator.export(&ids).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status}");
        let ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
        let status =
            compare(&aggregator, &ids, std::slice::from_ref(&done)).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status}");
    }
}

#[tokio::test]
async fn an_exported_file_is_a_run() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let id = aggregator.make(spec(stamp(), 1)).await.id;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("one.json");
    let output = aggregator.ask(&format!("export {id} --label mine --result {}", file.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = Run::read(&file).expect("a run");
    assert_eq!((&*run.label, run.trials.len()), ("mine", 1));
    assert_eq!(Arm::read(&file.display().to_string()).expect("an arm").trials.len(), 1);
}

//! Limits that change while an aggregator runs.

use std::fs;

use tonic::Code;

use crate::harness::{Aggregator, spec, throughput};

#[tokio::test]
async fn what_may_be_made_changes_with_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("xcloud.yaml");
    let write = |most: &str| {
        let text = format!("aggregator:\n  allow-load-tests: true\n  load-max-rate: {most}\n");
        fs::write(&file, text).expect("writable");
    };
    write("19M");
    let aggregator = Aggregator::start(&format!("--config {}", file.display()));
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let refused = aggregator.create(spec(throughput(), 1)).await.expect_err("20 Mbit/s");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    write("21M");
    aggregator.process.await_word("load-max-rate is 21M from now on, it was 19M");
    aggregator.make(spec(throughput(), 1)).await;
}

//! Limits that change while an aggregator runs.

use std::fs;

use tonic::Code;

use crate::harness::{Aggregator, spec, throughput};

#[tokio::test]
async fn what_may_be_made_changes_with_the_file() {
    for (key, narrow, wide) in [
        ("load-max-bytes", "1MB", "1GB"),
        ("load-max-duration", "1s", "1m"),
        ("load-max-rate", "19M", "21M"),
        ("load-max-usd", "0.0001", "1000"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("xcloud.yaml");
        let write = |most: &str| {
            let text = format!("aggregator:\n  allow-load-tests: true\n  {key}: {most}\n");
            fs::write(&file, text).expect("writable");
        };
        write(narrow);
        let aggregator = Aggregator::start(&format!("--config {}", file.display()));
        let _ends = aggregator.endpoints(["a", "b"]).await;
        let refused = aggregator.create(spec(throughput(), 2)).await.expect_err(key);
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().contains(&format!("--{key}")), "{refused}");
        write(wide);
        let told = format!("{key} is {wide} from now on, it was {narrow}");
        aggregator.process.await_word(&told);
        aggregator.make(spec(throughput(), 2)).await;
    }
}

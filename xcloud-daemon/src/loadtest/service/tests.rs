//! Readers of results that take their time.

use tokio_stream::StreamExt as _;
use tonic::Code;

use super::*;
use crate::{compare::simulated, loadtest::director::tests::knowing};

#[tokio::test]
async fn results_that_nobody_reads_are_few() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = simulated::run("a", 1, |_| 1.0);
    run.warnings.push("x".repeat(2 * CHUNKS_AHEAD * CHUNK));
    let service = LoadTests::new(knowing(dir.path(), &run));
    let export = || {
        let ids = vec!["1-a".into()];
        service.export_load_tests(Request::new(ExportLoadTestsRequest { ids, ..<_>::default() }))
    };
    let mut unread = Vec::new();
    for _ in 0..ASIDES {
        unread.push(export().await.expect("a result").into_inner());
    }
    let mut next = export();
    assert!(timeout(Duration::from_millis(200), &mut next).await.is_err(), "its turn comes later");
    let mut read = unread.pop().expect("one");
    while let Some(chunk) = read.next().await {
        chunk.expect("a part of it");
    }
    timeout(Duration::from_secs(10), next).await.expect("its turn").expect("a result");
}

#[tokio::test]
async fn who_does_not_read_loses_its_turn_and_is_told() {
    let asides = Arc::new(Semaphore::new(1));
    let turn = Arc::clone(&asides).acquire_owned().await.expect("free");
    let (answers, mut receiver) = mpsc::channel(CHUNKS_AHEAD + 1);
    let run = vec![0; 10 * CHUNK];
    hand_out(run, turn, answers, Duration::from_millis(50)).await;
    assert_eq!(asides.available_permits(), 1);
    for _ in 0..CHUNKS_AHEAD {
        receiver.recv().await.expect("ahead").expect("a part of it");
    }
    let end = receiver.recv().await.expect("an end").expect_err("not all of it");
    assert_eq!(end.code(), Code::DeadlineExceeded);
    assert!(receiver.recv().await.is_none());
}

//! Results on a volume that takes its time.

use std::{fs::File, time::Duration};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::time::{sleep, timeout};

use super::*;

/// One that knows the test `1-a`, with a result, from an earlier life.
pub(in crate::loadtest) fn knowing(directory: &Path, result: &Run) -> Arc<Director> {
    let (keep, _) = Keep::open(Some(directory)).expect("a directory");
    let mut test = LoadTest { id: "1-a".into(), has_result: true, ..LoadTest::default() };
    test.set_state(LoadTestState::Done);
    keep.note(&test).expect("noted");
    keep.store("1-a", result).expect("stored");
    drop(keep);
    let limits = Limits {
        bits_per_second: None,
        bytes: None,
        micro_usd: None,
        duration: Duration::from_secs(1),
    };
    Director::new(limits, Some(directory), CancellationToken::new()).expect("a director")
}

#[tokio::test]
async fn a_slow_volume_holds_up_nobody_but_the_test_that_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let director = knowing(dir.path(), &crate::compare::simulated::run("a", 1, |_| 1.0));
    // Whoever writes to it waits for a reader.
    let slow = dir.path().join("1-a.test.part");
    mkfifo(&slow, Mode::S_IRWXU).expect("a fifo");
    let ending = tokio::spawn({
        let director = Arc::clone(&director);
        async move { director.end("1-a", LoadTestState::Failed, "why", false).await }
    });
    sleep(Duration::from_millis(100)).await;
    assert!(!ending.is_finished());
    assert_eq!(director.endpoints().expect("allowed"), []);
    let state = || director.watch("1-a").expect("known").0.state();
    assert_eq!(state(), LoadTestState::Done, "an end is told once it is noted");
    let reader = tokio::task::spawn_blocking(move || File::open(slow));
    timeout(Duration::from_secs(10), ending).await.expect("noted").expect("no panic");
    assert_eq!(state(), LoadTestState::Failed);
    drop(reader.await);
}

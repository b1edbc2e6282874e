//! `xcloud load run` and its siblings at the keyboard.

use nix::sys::signal::Signal;
use xcloud::result::Run;

use crate::harness::{Aggregator, LEAVE, Process, until, xcloud};

#[tokio::test]
async fn a_run_tells_the_estimate_the_progress_and_the_outcome() {
    let aggregator = Aggregator::start(LEAVE);
    let _ends = aggregator.endpoints(["a", "b"]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("run.json");
    let output = aggregator.ask(&format!(
        "run --from a --to b -d 2s throughput -P 2 -b 10M --result {}",
        file.display()
    ));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let [estimate, progress, outcome] =
        ["moves up to", "[SUM]", ", with a result"].map(|part| said.find(part).expect(part));
    assert!(estimate < progress && progress < outcome, "{said}");
    let run = Run::read(&file).expect("a run");
    assert_eq!(run.trials[0].test, "throughput");
    assert!(said.contains(&format!("load test {}: done", run.label)), "{said}");

    let output = aggregator.ask("tests -o json");
    let tests: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&tests[0]["state"], &tests[0]["kind"]), (&"done".into(), &"throughput".into()));
    let output = aggregator.ask("endpoints -o csv");
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(listed.contains("\na,aws,us-east-1,,node-a,host,127.0.0.1,"), "{listed}");
}

#[tokio::test]
async fn an_interrupted_run_is_cancelled() {
    let aggregator = Aggregator::start(LEAVE);
    let [a, b] = aggregator.endpoints(["a", "b"]).await;
    let words =
        format!("load run --aggregator {} --from a --to b -d 5m rr -R 50", aggregator.address);
    let mut user = Process::start(&mut xcloud(&words));
    let _parts = [a.await_child(), b.await_child()];
    user.await_word("Ctrl-C cancels it");
    user.signal(Signal::SIGINT);
    assert_eq!(user.exit_code(), Some(1), "{}", user.said());
    user.await_word("cancelled, with");
    until("no part lives", || a.children().is_empty() && b.children().is_empty());
    let output = aggregator.ask("tests");
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(listed.contains("cancelled"), "{listed}");
}

#[tokio::test]
async fn a_failed_run_says_why() {
    let aggregator = Aggregator::start(LEAVE);
    let [_a, mut b] = aggregator.endpoints(["a", "b"]).await;
    let words = format!("load run --aggregator {} --from a --to b -d 5m stamp", aggregator.address);
    let mut user = Process::start(&mut xcloud(&words));
    b.await_child();
    user.await_word("Ctrl-C cancels it");
    b.kill();
    assert_eq!(user.exit_code(), Some(1));
    user.await_word("endpoint \"b\": went away");
    let output = aggregator.ask("cancel nothing");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no test \"nothing\""));
}

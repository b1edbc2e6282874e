//! Suites against an aggregator made up, whose tests end as their steps' names say.

mod aggregator;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;
use tempfile::TempDir;

use self::aggregator::Aggregator;
use super::{
    client::Client,
    file::Suite,
    plan::Plan,
    record::Record,
    runner::{self, Runner},
};
use crate::result::Run;

/// An aggregator, and a place for a result.
struct Bench {
    directory: TempDir,
    aggregator: Aggregator,
    stop: &'static AtomicBool,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let aggregator = Aggregator::start(&directory.path().join("socket")).await;
        Self { directory, aggregator, stop: Box::leak(Box::new(AtomicBool::new(false))) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a suite; what it found, from its file, and how many tests are missing.
    async fn run(&self, suite: &str, seed: u64) -> Result<(Run, u64)> {
        let suite = Suite::parse(suite)?;
        let mut client = Client::connect(&self.aggregator.address).await?;
        let ends = client.ends().await?;
        let plan = Plan::new(&suite, &ends, suite.repeats, seed);
        runner::estimates(&mut client, &suite, &plan).await?;
        let mut record = Record::new(&suite, &plan, "a label", &[("cni".into(), "none".into())]);
        let file = self.path("result.json");
        let mut runner = Runner::new(&suite, &plan, client, &file, self.stop);
        runner.patience = Duration::ZERO;
        runner.run(&mut record).await?;
        Ok((Run::read(&file)?, record.lacking()))
    }
}

/// A suite of these steps, each with further lines.
fn suite(head: &str, steps: &[(&str, &str)]) -> String {
    let steps = steps.iter().map(|(name, more)| {
        format!("[[step]]\nname = \"{name}\"\nduration = \"1s\"\nprobes = {{}}\n{more}\n")
    });
    format!("name = \"small\"\npause = \"0s\"\n{head}\n{}", steps.collect::<String>())
}

fn tests(run: &Run) -> Vec<String> {
    run.trials.iter().map(|trial| trial.test.clone()).collect()
}

#[tokio::test]
async fn all_tests_are_made_in_an_order_that_the_result_can_repeat() {
    let text = suite("repeats = 3\nnetworks = [\"pod\", \"host\"]", &[("a", ""), ("b", "")]);
    let bench = Bench::new().await;
    let (run, lacking) = bench.run(&text, 7).await.expect("made");
    assert_eq!((run.trials.len(), lacking), (2 * 2 * 2 * 3, 0));
    assert_eq!(run.warnings, ["its trials were made with different kernel: 6.1 | 6.2"]);
    assert_eq!((run.label.as_str(), run.tool.as_str()), ("a label", "xcloud made up"));
    assert_eq!((&*run.environment["cni"], &*run.environment["kernel"]), ("none", "6.1 | 6.2"));
    let order = &run.suites[0];
    assert_eq!((&*order.suite, order.seed, order.repeats, order.tests), ("small", 7, 3, 24));
    assert_eq!(bench.aggregator.made(), tests(&run), "as the aggregator saw it");
    let (again, _) = bench.run(&text, order.seed).await.expect("made");
    assert_eq!(tests(&again), tests(&run));
    let (other, _) = bench.run(&text, order.seed + 1).await.expect("made");
    assert_ne!(tests(&other), tests(&run));
}

#[tokio::test]
async fn a_step_that_fails_is_told_and_does_not_end_the_suite() {
    let bench = Bench::new().await;
    let text = suite("repeats = 2\npairs = [[\"aws\", \"gcp\"]]", &[("a", ""), ("fails", "")]);
    let (run, lacking) = bench.run(&text, 1).await.expect("made");
    assert_eq!((tests(&run), lacking), (vec!["a".to_owned(); 2], 2));
    assert_eq!(
        run.warnings,
        [
            "incomplete: 2 of 4 tests are missing or were cut short",
            "missing: fails aws -> gcp, 2 of 2",
            "fails aws -> gcp: it failed: no route to host",
        ]
    );
}

#[tokio::test]
async fn what_a_failed_test_found_is_kept_with_a_warning() {
    let bench = Bench::new().await;
    let text = suite("repeats = 1\npairs = [[\"aws\", \"gcp\"]]", &[("fails-late", "")]);
    let (run, lacking) = bench.run(&text, 1).await.expect("made");
    assert_eq!((run.trials.len(), lacking), (1, 1));
    assert_eq!(run.trials[0].warnings, ["it failed: cut short"]);
}

#[tokio::test]
async fn nothing_is_sent_where_one_test_is_refused() {
    let bench = Bench::new().await;
    let error = bench.run(&suite("", &[("a", ""), ("refused", "")]), 1).await.expect_err("refused");
    assert!(error.to_string().contains("refused aws/r -> gcp/r: over the limit"), "{error}");
    assert_eq!(bench.aggregator.made(), [""; 0]);
    assert!(!bench.path("result.json").exists());
}

#[tokio::test]
async fn an_interrupted_suite_ends_its_test_and_says_what_is_missing() {
    let bench = Bench::new().await;
    let undone = bench.path("undone");
    let after = format!("after = \"touch {}\"", undone.display());
    let text = suite("repeats = 2\npairs = [[\"aws\", \"gcp\"]]", &[("endless", &after)]);
    let (aggregator, stop) = (bench.aggregator.clone(), bench.stop);
    let interrupting = tokio::spawn(async move {
        while aggregator.made().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (run, lacking) = bench.run(&text, 1).await.expect("ended");
    interrupting.await.expect("interrupted");
    assert_eq!((bench.aggregator.cancelled(), lacking), (1, 2));
    assert!(undone.exists(), "what `after` undoes was undone");
    assert!(run.warnings.contains(&"it was interrupted".into()), "{:?}", run.warnings);
    assert!(run.warnings.contains(&"missing: endless aws -> gcp, 2 of 2".into()));
}

#[tokio::test]
async fn an_aggregator_that_dies_leaves_a_result() {
    let bench = Bench::new().await;
    let head = "repeats = 1\npairs = [[\"aws\", \"gcp\"]]";
    let (all, _) = bench.run(&suite(head, &[("a", "")]), 1).await.expect("made");
    assert_eq!(all.trials.len(), 1);
    let (run, lacking) = bench.run(&suite(head, &[("kills", "")]), 1).await.expect("ended");
    assert_eq!((run.trials.len(), lacking), (0, 1));
    assert!(
        run.warnings.iter().any(|one| one.contains("went away and did not come back")),
        "{:?}",
        run.warnings
    );
}

#[tokio::test]
async fn a_path_that_is_busy_is_waited_for() {
    let bench = Bench::new().await;
    let text = suite("repeats = 1\npairs = [[\"aws\", \"gcp\"]]", &[("busy", "")]);
    let (run, lacking) = bench.run(&text, 1).await.expect("made");
    assert_eq!((run.trials.len(), lacking, run.warnings.len()), (1, 0, 0));
}

#[tokio::test]
async fn commands_know_their_test_and_run_around_and_in_it() {
    let bench = Bench::new().await;
    let log = bench.path("log");
    let note = |when: &str| {
        format!(
            "echo {when} $XCLOUD_STEP $XCLOUD_NETWORK $XCLOUD_FROM $XCLOUD_TO_ENDPOINT >> {}",
            log.display()
        )
    };
    let more = format!(
        "before = \"{}\"\nafter = \"{}\"\nevent = {{ after = \"0s\", command = \"{}\" }}",
        note("before"),
        note("after"),
        note("event")
    );
    let text = suite("repeats = 1\npairs = [[\"aws\", \"gcp\"]]", &[("waits", &more)]);
    let (run, _) = bench.run(&text, 1).await.expect("made");
    let said = fs::read_to_string(&log).expect("a log");
    let wanted =
        ["before", "event", "after"].map(|when| format!("{when} waits pod aws gcp-pod\n")).concat();
    assert_eq!(said, wanted);
    assert_eq!(run.trials[0].warnings, [""; 0]);
    assert_eq!(run.trials[0].settings["event"], note("event"));
}

#[tokio::test]
async fn commands_that_fail_are_told() {
    let bench = Bench::new().await;
    let steps = [
        ("not-begun", "before = \"exit 3\""),
        ("not-undone", "after = \"exit 4\""),
        ("waits", "event = { after = \"0s\", command = \"exit 5\" }"),
    ];
    let text = suite("repeats = 1\npairs = [[\"aws\", \"gcp\"]]", &steps);
    let (run, lacking) = bench.run(&text, 1).await.expect("made");
    assert_eq!(lacking, 1);
    assert!(
        run.warnings
            .contains(&"not-begun aws -> gcp: its before command ended with exit code 3".into())
    );
    let mut doubts: Vec<&str> =
        run.trials.iter().flat_map(|one| &one.warnings).map(String::as_str).collect();
    doubts.sort_unstable();
    assert_eq!(
        doubts,
        ["its after command ended with exit code 4", "its event ended with exit code 5"]
    );
}

#[tokio::test]
async fn a_state_that_cannot_be_entered_costs_its_own_tests_only() {
    let bench = Bench::new().await;
    let head = "repeats = 2\npairs = [[\"aws\", \"gcp\"]]\n\
                [[state]]\nname = \"plain\"\n[[state]]\nname = \"encrypted\"\nenter = \"exit 1\"\n";
    let (run, lacking) = bench.run(&suite(head, &[("a", "")]), 1).await.expect("made");
    assert_eq!((tests(&run), lacking), (vec!["a/plain".to_owned(); 2], 2));
}

use super::*;
use crate::run_report::sample;

fn of(runs: &[Run]) -> Report {
    report(runs, Vec::new(), Vec::new()).expect("sound tables")
}

fn says(all: &[String], words: &str) -> bool {
    all.iter().any(|one| one.contains(words))
}

#[test]
fn trials_of_a_path_are_one_entry_with_a_column_for_each_run() {
    let report = of(&[sample::run("off", 5, 1.0), sample::run("wireguard", 5, 1.1)]);
    assert_eq!(report.paths.len(), 1);
    let [off, on] = [0, 1].map(|run| report.paths[0].measured[run].as_ref().expect("measured"));
    assert_eq!((off.trials, off.metrics["throughput"].values.len()), (5, 5));
    assert!(on.metrics["throughput"].median < off.metrics["throughput"].median);
    assert_eq!(off.segments.len(), 8);
    assert_eq!(off.series["throughput"].len(), 10);
    assert!(report.doubts.is_empty(), "{:?}", report.doubts);
}

#[test]
fn runs_with_the_same_name_are_told_apart() {
    let report = of(&[sample::run("a", 1, 1.0), sample::run("a", 1, 1.0)]);
    assert_eq!([&report.runs[0].label, &report.runs[1].label], ["a (A)", "a (B)"]);
    let report = of(&[sample::run("", 1, 1.0), sample::run(" ", 1, 1.0)]);
    assert_eq!([&report.runs[0].label, &report.runs[1].label], ["A", "B"]);
}

#[test]
fn what_beats_light_or_the_instance_is_doubted() {
    let report = of(&[sample::run("fast", 5, 0.5)]);
    assert!(
        says(&report.doubts, "the smallest response, 11.0 ms, is below"),
        "{:?}",
        report.doubts
    );
    assert!(says(&report.doubts, "the smallest wan, 10.7 ms, is below"), "{:?}", report.doubts);
    assert!(
        says(&report.doubts, "throughput of 8.40 Gbit/s is more than the 5.00 Gbit/s"),
        "{:?}",
        report.doubts
    );
}

#[test]
fn a_partial_run_says_what_is_missing() {
    let mut partial = sample::run("b", 3, 1.0);
    partial.environment.clear();
    partial.trials[0].histograms.clear();
    partial.trials[0].metrics.clear();
    partial.trials[1].duration_ns /= 10;
    partial.trials[2].histograms.retain(|name, _| !name.starts_with("segment/"));
    partial.trials[1].histograms.retain(|name, _| !name.starts_with("segment/"));
    let report = of(&[sample::run("a", 5, 1.0), partial]);
    for words in [
        "b: nothing says on what kernel",
        "1 of 3 trials found nothing",
        "3 trials; 5 would show",
        "3 trials where the other run has 5",
        "1 of 3 trials took less than half",
        "no split",
        "no differences with intervals",
    ] {
        assert!(says(&report.missing, words), "{words}: {:#?}", report.missing);
    }
}

#[test]
fn a_path_of_one_run_and_a_run_without_trials_are_told() {
    let mut other = sample::run("b", 5, 1.0);
    other.trials.iter_mut().for_each(|trial| trial.to = "lab".into());
    let report = of(&[sample::run("a", 5, 1.0), other]);
    assert_eq!(report.paths.len(), 2);
    assert!(says(
        &report.missing,
        "b, http: aws/us-east-1/us-east-1a/node-1 -> gcp/us-central1: not measured"
    ));
    assert!(says(&report.missing, "so there is no floor and no price"));
    let report = of(&[sample::run("none", 0, 1.0)]);
    assert!(says(&report.missing, "none: there is no trial in it"));
}

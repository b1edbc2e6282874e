use super::*;
use crate::{
    result::Metric,
    run_report::{matrix::matrix, sample},
};

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

/// A run from AWS to GCP with so much from each end, in Gbit/s.
fn throughput(settings: &[(&str, &str)], figures: &[(&str, f64)]) -> Run {
    let mut run = sample::run("throughput", 5, 1.0);
    let instances = [("instance.aws", "m6i.4xlarge"), ("instance.gcp", "n2-standard-16")];
    run.environment.remove("instance");
    run.environment.extend(instances.map(|(name, value)| (name.into(), value.into())));
    for trial in &mut run.trials {
        trial.settings = settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let metric = |gbit| Metric::new(gbit * 1e9, "bit/s", None);
        trial.metrics =
            figures.iter().map(|(name, gbit)| ((*name).into(), metric(*gbit))).collect();
    }
    run
}

/// By hand: 6 Gbit/s for 10 s are 7.5 GB; the dearest tier is 0.09 a GB from AWS and 0.12 a GiB from GCP.
#[test]
fn the_end_that_sends_is_capped_and_charged_whoever_asked() {
    let there = of(&[throughput(&[], &[("throughput", 6.0)])]);
    assert!(
        says(&there.doubts, "more than the 5.00 Gbit/s that m6i.4xlarge"),
        "{:?}",
        there.doubts
    );
    let usd = |path: &Path| Some(format!("{:.3}", path.way.moved[0].as_ref()?.usd?));
    assert_eq!(usd(&there.paths[0]), Some("0.675".to_owned()));
    let back = of(&[throughput(&[("reverse", "true")], &[("throughput", 6.0)])]);
    assert_eq!(back.doubts, Vec::<String>::new());
    let path = &back.paths[0];
    assert!(path.name().ends_with("node-1 <- gcp/us-central1"), "{}", path.name());
    assert_eq!(path.way.caps[0].as_ref().expect("known").instance, "n2-standard-16");
    let moved = path.way.moved[0].as_ref().expect("priced");
    assert_eq!((&*moved.ends.0, moved.bytes), ("gcp/us-central1", 7_500_000_000));
    assert_eq!(usd(path), Some("0.838".to_owned()));
    assert_ne!(path.way.cost, there.paths[0].way.cost);
}

#[test]
fn data_that_goes_both_ways_is_capped_and_charged_at_both_ends() {
    let both = [("throughput", 4.0), ("throughput_reverse", 8.0)];
    let report = of(&[throughput(&[("bidir", "true")], &both)]);
    let path = &report.paths[0];
    let back = path.back.as_ref().expect("a way back");
    assert_eq!(report.doubts.len(), 1, "{:?}", report.doubts);
    assert!(says(&report.doubts, "throughput_reverse of 8.00 Gbit/s is more than the 7.00 Gbit/s"));
    let moved = [&path.way, back].map(|way| way.moved[0].as_ref().expect("priced").bytes);
    assert_eq!(moved, [5_000_000_000, 10_000_000_000]);
    let names: Vec<_> = matrix(&report)
        .into_iter()
        .flat_map(|block| block.lines)
        .map(|line| line.name)
        .filter(|name| name.contains("moves") || name.contains("GB") || name.contains("may send"))
        .collect();
    let way = ["instance may send", "a GB, of 10 TB a month", "a trial moves"];
    let back = way.map(|name| format!("{name}, back"));
    assert_eq!(names, [way.map(String::from), back].concat());
}

#[test]
fn trials_with_the_data_going_another_way_are_another_path() {
    let mut run = throughput(&[], &[("throughput", 1.0)]);
    run.trials[0].settings.insert("reverse".into(), "true".into());
    let report = of(&[run]);
    let trials = report.paths.iter().map(|path| path.measured[0].as_ref().map(|one| one.trials));
    assert_eq!(trials.collect::<Vec<_>>(), [Some(4), Some(1)]);
}

#[test]
fn every_round_trip_is_held_to_the_floor() {
    for name in ["round_trip_before", "round_trip_after", "rtt"] {
        let mut run = sample::run("fast", 1, 1.0);
        run.trials[0].metrics.insert(name.into(), Metric::new(1e6, "ns", None));
        assert!(says(&of(&[run]).doubts, &format!("the smallest {name}, 1.00 ms")), "{name}");
    }
    for name in ["exchange", "response_before", "response_after"] {
        let mut run = sample::run("fast", 1, 1.0);
        let quick = distribution::encoded([1_000_000].into_iter(), &[]).expect("encodes");
        run.trials[0].histograms.insert(name.into(), quick);
        assert!(says(&of(&[run]).doubts, &format!("the smallest {name}, ")), "{name}");
    }
}

#[test]
fn facts_of_the_cni_that_are_not_told_are_named() {
    let mut run = sample::run("a", 5, 1.0);
    assert!(!says(&of(&[run.clone()]).missing, "CNI"));
    run.environment.remove("cni_config");
    let missing = of(&[run]).missing;
    assert!(says(&missing, "a: not told of the CNI: cni_config (--fact"), "{missing:?}");
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
        "b: not told of the CNI: cni, cni_version, cni_config",
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

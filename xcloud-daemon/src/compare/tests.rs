//! Whole comparisons of simulated runs.

use proptest::{collection::vec, prelude::*};

use super::{
    arm::Arm,
    compare,
    question::Question,
    report::{Report, csv},
    simulated::{arm, latency_arm},
    stats::{Design, power::Power, random::Random, shift::Chance, verdict::Verdict},
    table::table,
};
use crate::report::json::json;

fn question() -> Question {
    Question {
        metrics: Vec::new(),
        alpha: 0.05,
        equiv: None,
        effect: 0.05,
        chance: Chance { seed: 1, replicates: 100 },
        design: Design::Unpaired,
    }
}

/// Keeps what power was computed for the next comparison.
#[derive(Default)]
struct Bench(Power);

impl Bench {
    fn asked(&mut self, a: &Arm, b: &Arm, question: &Question) -> Report {
        compare(a, b, question, &mut self.0).expect("comparable")
    }

    fn compared(&mut self, a: &Arm, b: &Arm) -> Report {
        self.asked(a, b, &question())
    }
}

fn shows_something(report: &Report) -> bool {
    report.comparisons.iter().any(|one| matches!(one.verdict, Verdict::Better | Verdict::Worse))
}

/// A figure and six quantiles at once, and an alarm in at most 5 of 100 pairs of equal runs.
#[test]
fn equal_runs_show_no_difference() {
    for (trials, design) in [(5, Design::Unpaired), (6, Design::Paired)] {
        let (mut alarms, mut bench) = (0, Bench::default());
        for seed in 0..100 {
            let mut random = Random::named(seed, "equal runs");
            let [a, b] = ["a", "b"].map(|label| latency_arm(label, trials, 0.03, 1.0, &mut random));
            let report = bench.asked(&a, &b, &Question { design, ..question() });
            assert_eq!(report.comparisons.len(), 7);
            alarms += u32::from(shows_something(&report));
        }
        assert!(alarms <= 5, "{design:?}: {alarms} of 100");
    }
}

/// The same of a single figure, where it takes no time to look at many: the level is held, not just met by luck.
#[test]
fn the_level_is_held_in_thousands_of_equal_runs() {
    let (mut random, mut bench) = (Random::new(1), Bench::default());
    let mut alarms = 0;
    for _ in 0..4_000 {
        let [a, b] = ["a", "b"].map(|label| throughput_arm(label, 6, 1.0, &mut random));
        alarms += u32::from(shows_something(&bench.compared(&a, &b)));
    }
    assert!(alarms <= 200, "{alarms} of 4 000");
}

fn throughput_arm(label: &str, trials: usize, factor: f64, random: &mut Random) -> Arm {
    let values: Vec<f64> = (0..trials).map(|_| factor * (0.03 * random.normal()).exp()).collect();
    arm(label, trials, |at| values[at])
}

/// What a pilot says it takes, it takes: the chance to find the difference is then four in five.
#[test]
fn an_injected_difference_is_found_at_the_number_of_trials_named() {
    let (mut random, mut bench) = (Random::new(1), Bench::default());
    let [a, b] = ["a", "b"].map(|label| throughput_arm(label, 40, 1.0, &mut random));
    let n = bench.compared(&a, &b).comparisons[0].trials_needed.expect("not many");
    let mut found = 0;
    for _ in 0..500 {
        let a = throughput_arm("a", n, 1.0, &mut random);
        let b = throughput_arm("b", n, 1.0 / 1.05, &mut random);
        found += u32::from(bench.compared(&a, &b).comparisons[0].verdict == Verdict::Worse);
    }
    assert!((375..450).contains(&found), "found {found} of 400 with {n} trials");
}

#[test]
fn an_injected_difference_of_a_quantile_is_found_at_the_number_of_trials_named() {
    let asked = Question { metrics: vec!["response:p90".into()], ..question() };
    let (mut random, mut bench) = (Random::new(2), Bench::default());
    let [a, b] = ["a", "b"].map(|label| latency_arm(label, 16, 0.02, 1.0, &mut random));
    let pilot = bench.asked(&a, &b, &asked);
    let n = pilot.comparisons[0].trials_needed.expect("not many");
    let mut found = 0;
    for _ in 0..40 {
        let a = latency_arm("a", n, 0.02, 1.0, &mut random);
        let b = latency_arm("b", n, 0.02, 1.05, &mut random);
        let report = bench.asked(&a, &b, &asked);
        assert_eq!(report.comparisons[0].name(), "response p90");
        found += u32::from(report.comparisons[0].verdict == Verdict::Worse);
    }
    assert!(found >= 28, "found {found} of 40 with {n} trials");
}

#[test]
fn a_difference_has_a_direction() {
    let (mut random, mut bench) = (Random::new(1), Bench::default());
    let a = latency_arm("a", 6, 0.01, 1.0, &mut random);
    let b = latency_arm("b", 6, 0.01, 1.2, &mut random);
    let worse = bench.compared(&a, &b);
    assert_eq!(worse.worse().count(), worse.comparisons.len());
    let better = bench.compared(&b, &a);
    assert!(better.comparisons.iter().all(|one| one.verdict == Verdict::Better));
    for (one, other) in worse.comparisons.iter().zip(&better.comparisons) {
        let [one, other] = [one, other].map(|one| one.ratio.expect("positive").value);
        assert!((one * other - 1.0).abs() < 1e-9, "{one} {other}");
    }
}

#[test]
fn unfinished_requests_are_never_called_fast() {
    let (mut random, mut bench) = (Random::new(1), Bench::default());
    let a = latency_arm("a", 6, 0.01, 1.2, &mut random);
    let mut b = latency_arm("b", 6, 0.01, 1.0, &mut random);
    for trial in &mut b.trials {
        let response = trial.histograms.get_mut("response").expect("there");
        // 5 % had not ended, and had waited at least as long as the 95th percentile.
        let from = response.decode().expect("encoded").value_at_quantile(0.95);
        (response.censored, response.censored_from_ns) = (100, Some(from));
    }
    let report = bench.compared(&a, &b);
    let verdict = |name: &str| {
        let found = report.comparisons.iter().find(|one| one.name() == name);
        found.expect("compared").verdict
    };
    assert_eq!(verdict("response p50"), Verdict::Better);
    assert_eq!(verdict("response p99"), Verdict::NoDifferenceShown);
    assert!(table(&report, false).contains(">= "));
}

#[test]
fn few_unfinished_requests_that_had_waited_little_leave_no_quantile_above_exact() {
    let (mut random, mut bench) = (Random::new(1), Bench::default());
    let [a, mut b] = ["a", "b"].map(|label| latency_arm(label, 6, 0.01, 1.0, &mut random));
    for trial in &mut b.trials {
        let response = trial.histograms.get_mut("response").expect("there");
        let from = response.decode().expect("encoded").value_at_quantile(0.2);
        // So many that their sum is none.
        (response.censored, response.censored_from_ns) = (u64::MAX, Some(from));
    }
    let bounds = |report: &Report| -> Vec<[bool; 2]> {
        let quantiles = report.comparisons.iter().filter(|one| one.quantile.is_some());
        quantiles.map(|one| one.at_least).collect()
    };
    let found = bounds(&bench.compared(&a, &b));
    assert!(!found.is_empty() && found.iter().all(|one| *one == [false, true]), "{found:?}");
    for trial in &mut b.trials {
        let response = trial.histograms.get_mut("response").expect("there");
        (response.censored, response.censored_from_ns) = (1, None);
    }
    let found = bounds(&bench.compared(&a, &b));
    assert!(found.iter().all(|one| *one == [false, true]), "nothing is known of it: {found:?}");
}

#[test]
fn runs_without_labels_are_called_by_their_place() {
    let report =
        Bench::default().compared(&arm("", 4, |at| at as f64), &arm(" ", 4, |at| at as f64));
    assert_eq!([report.a.label.as_str(), &report.b.label], ["A", "B"]);
    assert!(table(&report, false).starts_with("A: A, 4 trials"));
}

#[test]
fn a_broken_distribution_is_named() {
    let (mut random, mut power) = (Random::new(1), Power::default());
    let a = latency_arm("a", 2, 0.01, 1.0, &mut random);
    let mut b = a.clone();
    b.trials[1].histograms.get_mut("response").expect("there").hdr = "AAAA".into();
    let error = format!("{:#}", compare(&a, &b, &question(), &mut power).expect_err("broken"));
    assert!(error.starts_with("response of throughput client -> server: "), "{error}");
}

proptest! {
    #[test]
    fn no_figures_are_a_panic(
        a in vec(any::<f64>(), 0..4), b in vec(any::<f64>(), 0..4), equal in 0u8..2, paired in any::<bool>()
    ) {
        let b = if equal == 1 { a.clone() } else { b };
        let (a, b) = (arm("a", a.len(), |at| a[at]), arm("b", b.len(), |at| b[at]));
        let design = if paired { Design::Paired } else { Design::Unpaired };
        let asked = Question { design, equiv: Some(0.05), ..question() };
        if let Ok(report) = compare(&a, &b, &asked, &mut Power::default()) {
            let text = table(&report, true) + &csv(&report).expect("text") + &json(&report).expect("text");
            prop_assert!(text.contains("throughput"));
            prop_assert!(!shows_something(&report), "so few trials show nothing");
        }
    }
}

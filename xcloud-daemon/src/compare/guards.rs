//! Guards: figures of the load generator and of the far end, which say whether the others may be believed. They are shown
//! and watched, never judged: what shares the level with outcomes of the network takes from the power to find those.

use super::{
    pairing::Pair,
    question::Question,
    stats::{Design, hodges_lehmann::p_value, interval::median},
};
use crate::{
    load::rate::verdict::LATE_SHARE,
    report::{
        once::Remark,
        style::{percent, time},
    },
    result::Trial,
};

/// How late the generator itself was, by the names that tests have for it; the first that a pair has.
const LATENESS: [&str; 2] = ["generator_lateness", "lateness"];
/// What a latency test is about.
const OUTCOME: &str = "response";
/// Time that a peer keeps a probe, which is no time on the network.
const RESIDENCE: &str = "residence";
/// Begins the names of what the slowest hundredth is made of: parts of an outcome, told to understand it.
const MAKE_UP: &str = "p99_make_up/";
/// Differences of lateness below this share of the outcome explain none of it.
const NEGLIGIBLE: f64 = 0.01;

/// Whether a figure or distribution is context, and none that runs are judged by.
#[must_use]
pub fn is_context(name: &str) -> bool {
    LATENESS.contains(&name) || name == RESIDENCE || name.starts_with(MAKE_UP)
}

/// Why the generator may have made the difference that is put down to the network.
#[must_use]
pub fn doubts(pair: &Pair<'_>, question: &Question) -> Vec<Remark> {
    let lateness = LATENESS.map(|name| arms(pair, name, 0.99));
    let has_both = |arms: &&[Vec<f64>; 2]| arms.iter().all(|arm| !arm.is_empty());
    let Some(lateness) = lateness.iter().find(has_both) else { return Vec::new() };
    let [late_a, late_b] = lateness.each_ref().map(|arm| median(arm).unwrap_or(0.0));
    let responses = arms(pair, OUTCOME, 0.5).each_ref().map(|arm| median(arm));
    let mut doubts = Vec::new();
    for (arm, late, response) in [("A", late_a, responses[0]), ("B", late_b, responses[1])] {
        if let Some(response) = response.filter(|response| late > LATE_SHARE * response) {
            doubts.push(format!(
                "the generator's own lateness is not small in {arm}: {} at p99, more than {} of the median {OUTCOME} ({})",
                shown(late),
                percent(LATE_SHARE),
                shown(response)
            ));
        }
    }
    let least = responses.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let matters = !least.is_finite() || (late_a - late_b).abs() > NEGLIGIBLE * least;
    if matters && differ(lateness, question) {
        doubts.push(format!(
            "the generator's own lateness differs: {} at p99 in A, {} in B; what looks like the network may be the machine \
             that made the load",
            shown(late_a),
            shown(late_b)
        ));
    }
    doubts.into_iter().map(|what| Remark::new(pair.name(), what)).collect()
}

/// Of both arms, a quantile of each trial's own distribution. What cannot be decoded is told where it is compared.
fn arms(pair: &Pair<'_>, name: &str, quantile: f64) -> [Vec<f64>; 2] {
    let of_trial = |trial: &&Trial| {
        let values = trial.histograms.get(name)?.decode().ok()?;
        (!values.is_empty()).then(|| values.value_at_quantile(quantile) as f64)
    };
    pair.trials.each_ref().map(|trials| trials.iter().filter_map(of_trial).collect())
}

fn differ([a, b]: &[Vec<f64>; 2], question: &Question) -> bool {
    let fits = question.design == Design::Unpaired || a.len() == b.len();
    fits && p_value(a, b, question.design) <= question.alpha
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "came from a u64")]
fn shown(ns: f64) -> String {
    time(ns as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{
        arm::Arm,
        compare,
        pairing::pairs,
        simulated::{distribution, latency_arm},
        stats::{power::Power, random::Random, verdict::Verdict},
        table::table,
    };
    use crate::{
        report::once::once,
        result::{Better, Metric},
    };

    /// Runs with a response of some 2 ms, and a generator that is late by so many nanoseconds.
    fn run(label: &str, late_ns: u64, random: &mut Random) -> Arm {
        let mut arm = latency_arm(label, 6, 0.01, 1.0, random);
        for (at, trial) in (0..).zip(&mut arm.trials) {
            let values = (1..=1_000).map(|value| late_ns + at * 100 + value);
            trial.histograms.insert("generator_lateness".into(), distribution(values));
            let part = Metric::new(late_ns as f64, "ns", Some(Better::Lower));
            trial.metrics.insert("p99_make_up/wan".into(), part);
        }
        arm
    }

    fn said(late_a: u64, late_b: u64) -> String {
        let mut random = Random::new(1);
        let (a, b) = (run("a", late_a, &mut random), run("b", late_b, &mut random));
        let (pairs, _) = pairs(&a, &b);
        once(doubts(&pairs[0], &Question::default())).join("\n")
    }

    #[test]
    fn guards_are_shown_apart_and_take_nothing_from_the_level() {
        let mut random = Random::new(1);
        let (a, b) = (run("a", 3_000, &mut random), run("b", 300_000, &mut random));
        let asked = Question {
            chance: crate::compare::stats::shift::Chance { seed: 1, replicates: 100 },
            ..Question::default()
        };
        let report = compare(&a, &b, &asked, &mut Power::default()).expect("comparable");
        assert_eq!(report.families, 2, "throughput and response");
        for one in &report.comparisons {
            assert_eq!(
                one.verdict == Verdict::NotJudged,
                is_context(&one.metric),
                "{}",
                one.name()
            );
        }
        let text = table(&report, false);
        let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(place("response p99") < place("context, not judged"));
        assert!(place("context, not judged") < place("generator_lateness p99"));
        assert!(place("context, not judged") < place("p99_make_up/wan"));
        assert!(report.warnings.iter().any(|one| one.contains("lateness differs")), "{text}");
    }

    #[test]
    fn a_generator_that_was_late_in_one_run_only_is_told() {
        assert!(
            said(3_000, 100_000)
                .starts_with("throughput client -> server: the generator's own lateness differs")
        );
        assert_eq!(said(3_000, 3_000), "");
        assert_eq!(said(3_000, 8_000), "", "5 us of 2 ms explain nothing");
    }

    #[test]
    fn a_generator_whose_lateness_is_no_longer_small_is_told() {
        let said = said(400_000, 400_000);
        assert!(said.contains("not small in A") && said.contains("not small in B"), "{said}");
        assert!(!said.contains("differs"), "{said}");
    }
}

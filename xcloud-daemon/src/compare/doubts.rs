//! Why two runs may not be comparable.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    arm::Arm,
    comparison::Comparison,
    pairing::Pair,
    question::Question,
    stats::{power::fewest_trials, verdict::Verdict},
};
use crate::{
    report::once::{Remark, once},
    result::Trial,
};

/// From this share on, trials that should be alike differ too much for comfort.
const NOISY: f64 = 0.1;

/// What differs between the runs as a whole, and what they say about themselves.
#[must_use]
pub fn of_arms(a: &Arm, b: &Arm) -> Vec<String> {
    let mut doubts = Vec::new();
    if a.tools != b.tools {
        doubts.push(format!("different tools: {} in A, {} in B", list(&a.tools), list(&b.tools)));
    }
    let facts = differences(&a.environment, &b.environment);
    doubts.extend(facts.map(|what| format!("different environment: {what}")));
    for (arm, name) in [(a, "A"), (b, "B")] {
        if arm.trials.is_empty() {
            doubts.push(format!("{name} holds no trial"));
        }
        doubts.extend(arm.warnings.iter().map(|warning| format!("{name} says: {warning}")));
    }
    doubts
}

/// What differs between the trials of a pair.
#[must_use]
pub fn of_pair(pair: &Pair<'_>) -> Vec<Remark> {
    let settings = pair.trials.each_ref().map(|trials| settings(trials));
    let mut doubts: Vec<String> = differences(&settings[0], &settings[1])
        .map(|what| format!("different settings: {what}"))
        .collect();
    doubts.extend(order(pair).map(String::from));
    if pair.trials[0].iter().any(|one| pair.trials[1].contains(one)) {
        doubts.push(
            "the same trial is in A and in B, which makes them look more alike than they are"
                .into(),
        );
    }
    for (trials, arm) in pair.trials.iter().zip(["A", "B"]) {
        let said: BTreeSet<&String> = trials.iter().flat_map(|trial| &trial.warnings).collect();
        doubts.extend(said.into_iter().map(|warning| format!("{arm} says: {warning}")));
        if twice(trials) {
            doubts.push(format!(
                "{arm} holds the same trial twice, which makes it look more certain than it is"
            ));
        }
    }
    doubts.into_iter().map(|what| Remark::new(pair.name(), what)).collect()
}

/// What the comparisons themselves show: noise, and too few trials.
#[must_use]
pub fn of_comparisons(
    comparisons: &[Comparison],
    families: usize,
    question: &Question,
) -> Vec<String> {
    let mut doubts = Vec::new();
    for one in comparisons.iter().filter(|one| one.verdict != Verdict::NotJudged) {
        let noisy = one.variation.iter().zip(["A", "B"]).filter_map(|(share, arm)| {
            share
                .filter(|share| *share > NOISY)
                .map(|share| format!("{:.0} % in {arm}", share * 100.0))
        });
        let noisy: Vec<String> = noisy.collect();
        if !noisy.is_empty() {
            let about = format!("{} by {}", one.full_name(), noisy.join(" and "));
            doubts.push(Remark::new(about, "noisy, varies from trial to trial"));
        }
    }
    let mut doubts = once(doubts);
    doubts.extend(too_few(comparisons, families, question));
    doubts
}

fn too_few(comparisons: &[Comparison], families: usize, question: &Question) -> Option<String> {
    let lacking = comparisons.iter().filter(|one| one.verdict == Verdict::NotEnoughTrials);
    let fewest = lacking.map(|one| one.trials[0].min(one.trials[1])).min()?;
    let needed = fewest_trials(question.design, question.alpha / families as f64)?;
    let alone = fewest_trials(question.design, question.alpha)?;
    let narrower = if alone < needed {
        format!(", or {alone} if a single one is chosen with --metric")
    } else {
        String::new()
    };
    Some(format!(
        "too few trials ({fewest}): to show anything among {families} figures and distributions at level {} takes at least \
         {needed} of each run{narrower}",
        question.alpha
    ))
}

type Facts = BTreeMap<String, BTreeSet<String>>;

fn settings(trials: &[&Trial]) -> Facts {
    let mut facts = Facts::new();
    for (name, value) in trials.iter().flat_map(|trial| &trial.settings) {
        facts.entry(name.clone()).or_default().insert(value.clone());
    }
    facts
}

fn differences<'a>(a: &'a Facts, b: &'a Facts) -> impl Iterator<Item = String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let value = |of: Option<&BTreeSet<String>>| of.map_or_else(|| "not told".into(), list);
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).map(move |name| {
        format!("{name} is {} in A, {} in B", value(a.get(name)), value(b.get(name)))
    })
}

fn list(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}

/// A network that drifts would pass for a difference if one arm came first.
fn order(pair: &Pair<'_>) -> Option<&'static str> {
    let [a, b] = &pair.trials;
    let times =
        |trials: &[&Trial]| trials.iter().map(|trial| trial.started_unix_ns).collect::<Vec<_>>();
    let (a, b) = (times(a), times(b));
    if a.iter().chain(&b).any(|time| *time == 0) {
        return Some("not all trials say when they were made, so their order is not known");
    }
    let (first_a, last_a) = (a.iter().min()?, a.iter().max()?);
    let (first_b, last_b) = (b.iter().min()?, b.iter().max()?);
    if last_a < first_b {
        return Some(
            "all of A was made before B, not interleaved: a drift would look like a difference",
        );
    }
    (last_b < first_a).then_some(
        "all of B was made before A, not interleaved: a drift would look like a difference",
    )
}

fn twice(trials: &[&Trial]) -> bool {
    trials.iter().enumerate().any(|(at, one)| trials[..at].iter().any(|other| one == other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{pairing::pairs, simulated::arm};

    fn of(a: &Arm, b: &Arm) -> String {
        let (pairs, _) = pairs(a, b);
        [of_arms(a, b), once(pairs.iter().flat_map(of_pair).collect())].concat().join("\n")
    }

    #[test]
    fn runs_made_alike_and_in_turns_raise_none() {
        let (a, mut b) = (arm("a", 4, |i| i as f64), arm("b", 4, |i| i as f64));
        b.trials.iter_mut().for_each(|trial| trial.started_unix_ns += 1);
        assert_eq!(of(&a, &b), "");
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let (a, mut b) = (arm("a", 4, |i| i as f64), arm("b", 4, |i| i as f64));
        b.tools = ["iperf 3.12".into()].into();
        b.environment.insert("kernel".into(), ["6.12".into()].into());
        b.trials[1].settings.insert("rate".into(), "2000".into());
        b.trials[2].warnings.push("the generator was late".into());
        b.warnings.insert("cut short".into());
        let said = of(&a, &b);
        for wanted in [
            "different tools: simulation in A, iperf 3.12 in B",
            "different environment: kernel is not told in A, 6.12 in B",
            "throughput client -> server: different settings: rate is 1000 in A, 1000 and 2000 in B",
            "throughput client -> server: B says: the generator was late",
            "B says: cut short",
        ] {
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn the_order_is_looked_at() {
        let (a, mut b) = (arm("a", 4, |i| i as f64), arm("b", 4, |i| i as f64));
        b.trials.iter_mut().for_each(|trial| trial.started_unix_ns += 1_000_000_000_000);
        assert!(of(&a, &b).contains("all of A was made before B"));
        assert!(of(&b, &a).contains("all of B was made before A"));
        b.trials[0].started_unix_ns = 0;
        assert!(of(&a, &b).contains("order is not known"));
    }

    #[test]
    fn a_trial_that_is_there_twice_is_seen() {
        let (a, mut b) = (arm("a", 4, |i| i as f64), arm("b", 4, |i| i as f64));
        b.trials[3] = b.trials[0].clone();
        assert!(of(&a, &b).contains("throughput client -> server: B holds the same trial twice"));
        let said = of(&a, &a);
        assert!(
            said.contains("throughput client -> server: the same trial is in A and in B"),
            "{said}"
        );
    }
}

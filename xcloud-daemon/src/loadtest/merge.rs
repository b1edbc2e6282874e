//! Results of several tests as one run. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::result::{Run, SCHEMA};

/// One run of all trials, in the order given. Facts on which the runs differ are told side by side, with a warning.
#[must_use]
pub fn merge(label: &str, runs: Vec<Run>) -> Run {
    let mut tools = BTreeSet::new();
    let mut facts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut warnings = Vec::new();
    let (mut trials, mut suites) = (Vec::new(), Vec::new());
    for run in runs {
        tools.insert(run.tool);
        for (fact, value) in run.environment {
            facts.entry(fact).or_default().insert(value);
        }
        for warning in run.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        trials.extend(run.trials);
        suites.extend(run.suites);
    }
    for (fact, values) in facts.iter().filter(|(_, values)| values.len() > 1) {
        warnings
            .push(format!("its trials were made with different {fact}: {}", side_by_side(values)));
    }
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: side_by_side(&tools),
        environment: facts.iter().map(|(fact, all)| (fact.clone(), side_by_side(all))).collect(),
        trials,
        warnings,
        suites,
    }
}

fn side_by_side(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::simulated;

    #[test]
    fn trials_come_in_the_order_asked_for_and_differences_are_told() {
        let mut one = simulated::run("one", 2, |_| 1.0);
        let mut other = simulated::run("other", 1, |_| 2.0);
        one.environment =
            [("kernel", "6.1"), ("cpu", "x")].map(|(k, v)| (k.into(), v.into())).into();
        other.environment =
            [("kernel", "6.12"), ("cpu", "x")].map(|(k, v)| (k.into(), v.into())).into();
        other.warnings = vec!["noisy".into()];
        let both = merge("both", vec![other.clone(), one.clone()]);
        assert_eq!(both.trials, [other.trials, one.trials].concat());
        assert_eq!((both.label.as_str(), both.environment["cpu"].as_str()), ("both", "x"));
        assert_eq!(both.environment["kernel"], "6.1 | 6.12");
        assert!(both.warnings.contains(&"noisy".into()));
        assert!(both.warnings.iter().any(|one| one.contains("different kernel")), "{both:?}");
    }
}

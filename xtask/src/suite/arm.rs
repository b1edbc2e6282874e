//! What all visits of one mode found, as one run. Pure.

use serde_json::{Value, json};

/// One of two modes.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    /// What its run is called.
    pub(crate) label: String,
    run: Option<Value>,
    warnings: Vec<Value>,
}

impl Arm {
    /// Not visited yet.
    pub(crate) fn new(label: &str) -> Self {
        Self { label: label.into(), run: None, warnings: Vec::new() }
    }

    /// What a visit found.
    pub(crate) fn add(&mut self, mut visit: Value) {
        if let Some(warnings) = visit["warnings"].as_array_mut() {
            for warning in std::mem::take(warnings) {
                self.say(warning);
            }
        }
        let Some(run) = &mut self.run else {
            self.run = Some(visit);
            return;
        };
        for list in ["trials", "suites"] {
            let more = visit[list].as_array_mut().map(std::mem::take).unwrap_or_default();
            if let Some(all) = run[list].as_array_mut() {
                all.extend(more);
            }
        }
    }

    /// What has to be known of it.
    pub(crate) fn warn(&mut self, warning: String) {
        self.say(warning.into());
    }

    fn say(&mut self, warning: Value) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The run of all visits so far, if there was one.
    pub(crate) fn run(&self) -> Option<Value> {
        let mut run = self.run.clone()?;
        run["warnings"] = json!(self.warnings);
        Some(run)
    }

    /// How many trials it has, and what says that some are missing.
    pub(crate) fn lacks(&self) -> (usize, Vec<String>) {
        let trials = self.run.as_ref().and_then(|run| run["trials"].as_array()).map_or(0, Vec::len);
        let said = self.warnings.iter().filter_map(Value::as_str);
        let lacking = said.filter(|one| {
            ["incomplete", "missing", "left out", "visit"].iter().any(|word| one.starts_with(word))
        });
        (trials, lacking.map(str::to_owned).collect())
    }
}

/// In which order two arms are visited: A B B A, so that neither gains from a machine that drifts.
pub(crate) fn order(repeats: u32) -> impl Iterator<Item = usize> {
    (0..repeats as usize).flat_map(|block| [block % 2, 1 - block % 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_take_turns() {
        assert_eq!(order(3).collect::<Vec<_>>(), [0, 1, 1, 0, 0, 1]);
        for repeats in 1..20 {
            let of_b: usize = order(repeats).sum();
            assert_eq!(of_b, repeats as usize, "each as often as the other");
        }
    }

    #[test]
    fn visits_become_one_run_with_every_warning_once() {
        let visit = |trial: u32, warning: &str| json!({"label": "a", "trials": [trial], "suites": [{"seed": trial}], "warnings": [warning]});
        let mut arm = Arm::new("a");
        assert!(arm.run().is_none());
        arm.add(visit(1, "noisy"));
        arm.add(visit(2, "noisy"));
        arm.add(visit(3, "incomplete: 1 of 2"));
        arm.warn("visit 4: no lab".into());
        let wanted = json!({
            "label": "a", "trials": [1, 2, 3], "suites": [{"seed": 1}, {"seed": 2}, {"seed": 3}],
            "warnings": ["noisy", "incomplete: 1 of 2", "visit 4: no lab"],
        });
        assert_eq!(arm.run(), Some(wanted));
        let (trials, lacking) = arm.lacks();
        assert_eq!((trials, lacking.len()), (3, 2));
    }
}

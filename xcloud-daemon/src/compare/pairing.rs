//! Which trials of one arm belong beside which of the other: those of the same test between the same ends.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{arm::Arm, stats::Design};
use crate::{result::Trial, usage::usage};

/// More trials an arm than this are refused; all their contrasts would not fit in memory.
const MOST_TRIALS: usize = 2_000;

/// A test between two ends, as both arms did it.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// The test.
    pub test: &'a str,
    /// Where the load came from.
    pub from: &'a str,
    /// Where it went.
    pub to: &'a str,
    /// The trials of A and of B, each in the order of time.
    pub trials: [Vec<&'a Trial>; 2],
}

impl Pair<'_> {
    /// For people.
    #[must_use]
    pub fn name(&self) -> String {
        name((self.test, self.from, self.to))
    }

    /// Refuses numbers of trials that a design cannot work with.
    ///
    /// # Errors
    /// They are not paired though they should be, or there are too many.
    pub fn check(&self, design: Design) -> Result<()> {
        let [n, m] = self.trials.each_ref().map(Vec::len);
        if design == Design::Paired && n != m {
            let name = self.name();
            return Err(usage(format!(
                "--paired needs as many trials of A as of B: {name} has {n} and {m}"
            )));
        }
        if n.max(m) > MOST_TRIALS {
            let name = self.name();
            anyhow::bail!(
                "{name} has {} trials in one run; at most {MOST_TRIALS} can be compared",
                n.max(m)
            );
        }
        Ok(())
    }
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn name((test, from, to): Key<'_>) -> String {
    format!("{test} {from} -> {to}")
}

/// What both arms did, and a sentence about each thing that only one of them did.
#[must_use]
pub fn pairs<'a>(a: &'a Arm, b: &'a Arm) -> (Vec<Pair<'a>>, Vec<String>) {
    let [mut of_a, mut of_b] = [a, b].map(by_key);
    let (mut pairs, mut doubts) = (Vec::new(), Vec::new());
    // What has found its partner is still something that was done.
    let did = [&of_a, &of_b].map(|of| of.keys().copied().collect::<Vec<_>>());
    for key in did[0].iter().copied() {
        let other = if did[1].contains(&key) { Some(key) } else { only_choice(key, &did) };
        let Some(other) = other else { continue };
        let (Some(one), Some(two)) = (of_a.remove(&key), of_b.remove(&other)) else { continue };
        if other != key {
            doubts.push(format!("different pairs: {} in A beside {} in B", name(key), name(other)));
        }
        pairs.push(Pair { test: key.0, from: key.1, to: key.2, trials: [one, two] });
    }
    for (rest, arm) in [(of_a, "A"), (of_b, "B")] {
        doubts.extend(rest.keys().map(|key| format!("only {arm} did {}", name(*key))));
    }
    (pairs, doubts)
}

fn by_key(arm: &Arm) -> BTreeMap<Key<'_>, Vec<&Trial>> {
    let mut map: BTreeMap<Key<'_>, Vec<&Trial>> = BTreeMap::new();
    for trial in &arm.trials {
        map.entry((&trial.test, &trial.from, &trial.to)).or_default().push(trial);
    }
    map
}

/// Where both arms did a test between one pair of ends only, that is what is meant, whatever the ends are called.
fn only_choice<'a>((test, ..): Key<'a>, did: &[Vec<Key<'a>>; 2]) -> Option<Key<'a>> {
    let only = |all: &[Key<'a>]| {
        let mut same = all.iter().filter(|key| key.0 == test);
        same.next().copied().filter(|_| same.next().is_none())
    };
    only(&did[0])?;
    only(&did[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::simulated::{arm, run};

    fn renamed(to: &str) -> Arm {
        let mut arm = arm("b", 3, |_| 1.0);
        arm.trials.iter_mut().for_each(|trial| trial.to = to.into());
        arm
    }

    #[test]
    fn the_only_pair_of_each_is_compared_with_a_warning() {
        let (a, b) = (arm("a", 3, |_| 1.0), renamed("elsewhere"));
        let (pairs, doubts) = pairs(&a, &b);
        assert_eq!(pairs.len(), 1);
        assert!(
            doubts[0].starts_with("different pairs: throughput client -> server in A"),
            "{doubts:?}"
        );
    }

    #[test]
    fn what_only_one_did_is_named_and_left_out() {
        let a = Arm::new(vec![run("a", 3, |_| 1.0), {
            let mut other = run("a", 1, |_| 1.0);
            other.trials[0].to = "third".into();
            other
        }]);
        let b = arm("b", 3, |_| 1.0);
        let (pairs, doubts) = pairs(&a, &b);
        assert_eq!(pairs.len(), 1);
        assert_eq!(doubts, ["only A did throughput client -> third"]);
    }

    #[test]
    fn what_is_left_when_others_have_found_each_other_is_no_only_choice() {
        let did = |label: &str, ends: [(&str, &str); 2]| {
            let trials = |(from, to): (&str, &str)| {
                let mut run = run(label, 3, |_| 1.0);
                run.trials.iter_mut().for_each(|trial| {
                    (trial.from, trial.to) = (from.into(), to.into());
                });
                run
            };
            Arm::new(ends.map(trials).into())
        };
        for (own, others) in [(("n1", "n3"), ("n5", "n6")), (("n0", "n3"), ("n0", "n1"))] {
            let (a, b) = (did("a", [("n1", "n2"), own]), did("b", [("n1", "n2"), others]));
            let (pairs, doubts) = pairs(&a, &b);
            let names: Vec<_> = pairs.iter().map(Pair::name).collect();
            assert_eq!(names, ["throughput n1 -> n2"]);
            let only =
                |arm, (from, to)| format!("only {arm} did {}", name(("throughput", from, to)));
            assert_eq!(doubts, [only("A", own), only("B", others)]);
        }
    }

    #[test]
    fn pairs_need_equal_numbers() {
        let (a, b) = (arm("a", 3, |_| 1.0), arm("b", 4, |_| 1.0));
        let (pairs, _) = pairs(&a, &b);
        assert!(pairs[0].check(Design::Unpaired).is_ok());
        let error = pairs[0].check(Design::Paired).expect_err("3 and 4").to_string();
        assert!(error.contains("throughput client -> server has 3 and 4"), "{error}");
    }
}

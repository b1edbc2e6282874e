//! What a whole suite moves and costs, told before anything is sent.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use xcloud_proto::loadtest::v1::Estimate;

use super::{
    file::Suite,
    plan::{Plan, Test},
};
use crate::{cost::volume::Volume, report::style::clean};

/// What each test would move, by its title, for one repeat.
pub(super) type Estimates = BTreeMap<String, Estimate>;

/// A suite's tests, what they take, move and cost, for people.
#[must_use]
pub(super) fn table(suite: &Suite, plan: &Plan, estimates: &Estimates) -> String {
    let mut text = String::new();
    let time = humantime::format_duration(duration(suite, plan));
    let tests = plan.tests.len();
    let (name, repeats, seed) = (&suite.name, plan.repeats, plan.seed);
    let _ = writeln!(text, "{name}: {tests} tests, {repeats} of each, {time} or more, seed {seed}");
    for (title, estimate) in estimates {
        let _ = writeln!(text, "  {title}: {}", clean(&estimate.text));
    }
    for what in &plan.missing {
        let _ = writeln!(text, "  left out: {}", clean(what));
    }
    text + &total(suite, plan, estimates) + "\n"
}

/// The sum of all repeats.
fn total(suite: &Suite, plan: &Plan, estimates: &Estimates) -> String {
    let (mut bytes, mut micro_usd, mut unpriced) = (0u64, 0u64, 0u64);
    for test in &plan.tests {
        let Some(one) = estimates.get(&test.title(suite)) else { continue };
        bytes = bytes.saturating_add(one.forward_bytes).saturating_add(one.backward_bytes);
        match one.micro_usd {
            Some(micro) => micro_usd = micro_usd.saturating_add(micro),
            None => unpriced += 1,
        }
    }
    let usd = micro_usd as f64 / 1e6;
    let volume = Volume(bytes);
    match unpriced {
        0 => format!("all together move {volume} at most, about {usd:.2} USD"),
        _ => format!(
            "all together move {volume} at most, about {usd:.2} USD without {unpriced} tests whose price is not known"
        ),
    }
}

fn duration(suite: &Suite, plan: &Plan) -> Duration {
    let of = |test: &Test| suite.steps[test.step].duration + suite.pause;
    Duration::from_secs(plan.tests.iter().map(of).sum::<Duration>().as_secs())
}

#[cfg(test)]
mod tests {
    use xcloud_proto::loadtest::v1::Network;

    use super::*;
    use crate::load::suite::ends::{Ends, tests::end};

    #[test]
    fn all_repeats_are_added_up() {
        let text = "name = \"a\"\npause = \"0s\"\nrepeats = 3\n[[step]]\nname = \"s\"\nduration = \"20s\"\nprobes = {}\n";
        let suite = Suite::parse(text).expect("a suite");
        let ends = ["x/r", "y/r"].map(|place| end(place, place, Network::Pod));
        let plan = Plan::new(&suite, &Ends::new(ends.into()), suite.repeats, 7);
        let estimate = |micro_usd| Estimate {
            forward_bytes: 2_000_000_000,
            backward_bytes: 500_000_000,
            micro_usd,
            text: "moves a lot".into(),
        };
        let estimates = Estimates::from([
            ("s x/r -> y/r".into(), estimate(Some(1_500_000))),
            ("s y/r -> x/r".into(), estimate(None)),
        ]);
        insta::assert_snapshot!(table(&suite, &plan, &estimates), @r"
        a: 6 tests, 3 of each, 2m or more, seed 7
          s x/r -> y/r: moves a lot
          s y/r -> x/r: moves a lot
        all together move 15 GB at most, about 4.50 USD without 3 tests whose price is not known
        ");
    }
}

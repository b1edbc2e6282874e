//! What a whole suite moves and costs, told before anything is sent.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use anyhow::{Result, bail};
use xcloud_proto::loadtest::v1::Estimate;

use super::{
    file::Suite,
    plan::{Plan, Test},
};
use crate::{cost::volume::Volume, report::style::clean};

/// What each test would move, by its title, for one repeat.
pub(super) type Estimates = BTreeMap<String, Estimate>;

/// What many tests move and cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    bytes: u64,
    micro_usd: u64,
    /// Tests whose price is not known.
    unpriced: u64,
}

impl Total {
    /// Of all repeats.
    #[must_use]
    pub(super) fn of(suite: &Suite, plan: &Plan, estimates: &Estimates) -> Self {
        let mut all = Self::default();
        for test in &plan.tests {
            let Some(one) = estimates.get(&test.title(suite)) else { continue };
            let moved = one.forward_bytes.saturating_add(one.backward_bytes);
            all.bytes = all.bytes.saturating_add(moved);
            match one.micro_usd {
                Some(micro) => all.micro_usd = all.micro_usd.saturating_add(micro),
                None => all.unpriced += 1,
            }
        }
        all
    }

    /// Of so many rounds.
    #[must_use]
    pub(super) fn times(self, rounds: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_mul(rounds),
            micro_usd: self.micro_usd.saturating_mul(rounds),
            unpriced: self.unpriced.saturating_mul(rounds),
        }
    }

    /// # Errors
    /// It may cost more than this, or nobody knows what it costs.
    pub(super) fn within(self, most_micro_usd: u64) -> Result<()> {
        let most = most_micro_usd as f64 / 1e6;
        if self.unpriced > 0 {
            bail!(
                "{} tests have no known price, so --max-usd {most} cannot be kept",
                self.unpriced
            );
        }
        if self.micro_usd > most_micro_usd {
            bail!("all together may cost {:.2} USD; --max-usd is {most}", self.usd());
        }
        Ok(())
    }

    fn usd(self) -> f64 {
        self.micro_usd as f64 / 1e6
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at most, about {:.2} USD", Volume(self.bytes), self.usd())?;
        match self.unpriced {
            0 => Ok(()),
            unpriced => write!(f, " without {unpriced} tests whose price is not known"),
        }
    }
}

/// A suite's tests, what they take, move and cost in so many rounds, for people.
#[must_use]
pub(super) fn table(suite: &Suite, plan: &Plan, estimates: &Estimates, rounds: u64) -> String {
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
    let total = Total::of(suite, plan, estimates);
    let _ = writeln!(text, "all together move {total}");
    if rounds > 1 {
        let _ = writeln!(text, "in all {rounds} rounds {}", total.times(rounds));
    }
    text
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
        insta::assert_snapshot!(table(&suite, &plan, &estimates, 336), @r"
        a: 6 tests, 3 of each, 2m or more, seed 7
          s x/r -> y/r: moves a lot
          s y/r -> x/r: moves a lot
        all together move 15 GB at most, about 4.50 USD without 3 tests whose price is not known
        in all 336 rounds 5.04 TB at most, about 1512.00 USD without 1008 tests whose price is not known
        ");
    }

    #[test]
    fn money_is_bounded_over_all_rounds() {
        let total = Total { bytes: 1, micro_usd: 4_500_000, unpriced: 0 };
        assert!(total.within(4_500_000).is_ok());
        let error = total.times(336).within(1_511_990_000).expect_err("more").to_string();
        assert_eq!(error, "all together may cost 1512.00 USD; --max-usd is 1511.99");
        let unknown = Total { unpriced: 1, ..total };
        assert!(unknown.within(u64::MAX).is_err(), "what is not known may be more");
    }
}

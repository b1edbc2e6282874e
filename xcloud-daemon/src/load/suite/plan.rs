//! Which tests are made, and in which order. Pure.
//!
//! A block holds every test once. Within it states come in random order, and within a state its tests: so a network that
//! drifts moves all of them alike, and a state need not be entered more often than once a block.

use std::collections::BTreeSet;

use super::{
    ends::{Ends, takes_part},
    file::{Every, Network, Pairs, Suite},
    step::Step,
};
use crate::compare::stats::random::Random;

/// Most tests of a suite.
const MOST_TESTS: usize = 100_000;

/// One test, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Which repeat.
    pub block: u32,
    /// In which of the suite's states, if it has any.
    pub state: Option<usize>,
    /// Which of the suite's steps.
    pub step: usize,
    /// In which network.
    pub network: Network,
    /// The sites it runs between.
    pub sites: [String; 2],
    /// The endpoints.
    pub ends: [String; 2],
}

impl Test {
    /// The name that its trial gets, the same in all repeats.
    #[must_use]
    pub fn name(&self, suite: &Suite) -> String {
        name(suite, self.step, self.network, self.state)
    }

    /// For people.
    #[must_use]
    pub fn title(&self, suite: &Suite) -> String {
        let [from, to] = &self.sites;
        format!("{} {from} -> {to}", self.name(suite))
    }
}

fn name(suite: &Suite, step: usize, network: Network, state: Option<usize>) -> String {
    let mut name = suite.steps[step].name.clone();
    if network == Network::Host {
        name += "/host";
    }
    if let Some(state) = state {
        name = name + "/" + &suite.states[state].name;
    }
    name
}

/// All tests in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the order started from.
    pub seed: u64,
    /// How often each is made.
    pub repeats: u32,
    /// First to last.
    pub tests: Vec<Test>,
    /// What was asked for and cannot be made, with the reason.
    pub missing: BTreeSet<String>,
}

impl Plan {
    /// Works out which tests the endpoints allow.
    #[must_use]
    pub fn new(suite: &Suite, ends: &Ends, repeats: u32, seed: u64) -> Self {
        let mut finder = Finder { suite, ends, missing: BTreeSet::new() };
        let states: Vec<Vec<Test>> = match suite.states.len() {
            0 => vec![finder.tests(None)],
            count => (0..count).map(|state| finder.tests(Some(state))).collect(),
        };
        let mut random = Random::named(seed, "suite");
        let mut plan = Self { seed, repeats, tests: Vec::new(), missing: finder.missing };
        for block in 0..repeats {
            let mut order: Vec<_> = states.iter().collect();
            shuffle(&mut order, &mut random);
            for tests in order {
                let mut tests = tests.clone();
                shuffle(&mut tests, &mut random);
                plan.tests.extend(tests.into_iter().map(|test| Test { block, ..test }));
            }
            if plan.tests.len() > MOST_TESTS {
                plan.tests.truncate(MOST_TESTS);
                plan.missing.insert(format!("all tests after the first {MOST_TESTS}"));
                break;
            }
        }
        plan
    }
}

/// Looks for the ends of tests.
struct Finder<'a> {
    suite: &'a Suite,
    ends: &'a Ends,
    missing: BTreeSet<String>,
}

impl Finder<'_> {
    /// Every test of a state once, in the file's order.
    fn tests(&mut self, state: Option<usize>) -> Vec<Test> {
        let steps = 0..self.suite.steps.len();
        steps.flat_map(|step| self.of_step(step, state)).collect()
    }

    fn of_step(&mut self, number: usize, state: Option<usize>) -> Vec<Test> {
        let suite = self.suite;
        let step = &suite.steps[number];
        if step.event.as_ref().is_some_and(|event| event.command.is_none()) {
            self.missing.insert(format!("{}: no --event says what happens in it", step.name));
            return Vec::new();
        }
        let pairs = self.pairs(step, state);
        if pairs.is_empty() {
            let name = name(suite, number, Network::Pod, state);
            self.missing.insert(format!("{name}: there are no two sites for it"));
        }
        let networks: BTreeSet<Network> =
            step.networks.as_ref().unwrap_or(&suite.networks).iter().copied().collect();
        let all = pairs.iter().flat_map(|sites| networks.iter().map(move |one| (sites, *one)));
        all.filter_map(|(sites, network)| self.test(number, state, network, sites)).collect()
    }

    /// The pairs of a step whose ends both take part in a state.
    fn pairs(&self, step: &Step, state: Option<usize>) -> BTreeSet<[String; 2]> {
        let among = state.map_or(&[][..], |state| &self.suite.states[state].sites);
        let pairs = pairs(step.pairs.as_ref().unwrap_or(&self.suite.pairs), self.ends);
        let take_part = |pair: &[String; 2]| pair.iter().all(|site| takes_part(site, among));
        pairs.into_iter().filter(take_part).collect()
    }

    fn test(
        &mut self,
        step: usize,
        state: Option<usize>,
        network: Network,
        sites: &[String; 2],
    ) -> Option<Test> {
        let why = match sites.each_ref().map(|site| self.ends.at(site, network)) {
            [Some(from), Some(to)] if from != to => {
                let ends = [from.into(), to.into()];
                return Some(Test { block: 0, state, step, network, sites: sites.clone(), ends });
            }
            [Some(_), Some(_)] => "both are the same".into(),
            [from, _] => {
                let lacking = &sites[usize::from(from.is_some())];
                let network = format!("{network:?}").to_lowercase();
                format!("{lacking} has no endpoint in the {network} network")
            }
        };
        let name = name(self.suite, step, network, state);
        self.missing.insert(format!("{name} {} -> {}: {why}", sites[0], sites[1]));
        None
    }
}

fn pairs(pairs: &Pairs, ends: &Ends) -> Vec<[String; 2]> {
    let every = match pairs {
        Pairs::Named(named) => return named.clone(),
        Pairs::Every(every) => *every,
    };
    let sites = ends.sites();
    let all = sites.iter().flat_map(|from| sites.iter().map(move |to| (from, to)));
    let wanted = all.filter(|(from, to)| match every {
        Every::Ordered => from != to,
        Every::Unordered => from < to,
    });
    wanted.map(|(from, to)| [from.clone(), to.clone()]).collect()
}

/// Every order is equally likely, by the method of Fisher and Yates.
fn shuffle<T>(all: &mut [T], random: &mut Random) {
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last + 1));
    }
}

#[cfg(test)]
mod tests;

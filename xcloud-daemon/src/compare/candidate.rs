//! A comparison before its verdict, which depends on how many others there are.

use super::{
    comparison::Comparison,
    question::Question,
    stats::{
        Design,
        family::adjust,
        interval::Interval,
        power::{Power, caution},
        verdict::{Evidence, Verdict},
    },
};

/// Figures and what can be said from them.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// All but what the number of comparisons decides.
    pub shown: Comparison,
    /// On the scale of `spread`; with p values not yet raised.
    pub evidence: Evidence,
    /// Standard deviation from trial to trial of the logarithm, for paired arms of its difference; `None` where there are
    /// no logarithms.
    pub spread: Option<f64>,
    /// How many comparisons it is like one of within its group.
    pub rivals: f64,
}

/// Gives each comparison its verdict. A group's p values hold the error within the group.
#[must_use]
pub fn judge(
    groups: Vec<Vec<Candidate>>,
    question: &Question,
    power: &mut Power,
) -> (Vec<Comparison>, usize) {
    let judged = |group: &Vec<Candidate>| group.iter().any(|one| one.evidence.better.is_some());
    let families = groups.iter().filter(|group| judged(group)).count();
    let ps = |group: &Vec<Candidate>| group.iter().map(|one| one.evidence.p).collect();
    let mut adjusted =
        adjust(&groups.iter().filter(|group| judged(group)).map(ps).collect::<Vec<_>>())
            .into_iter();
    let mut judge = Judge { families: families.max(1) as f64, question, power };
    let mut comparisons = Vec::new();
    for group in groups {
        let raised = if judged(&group) { adjusted.next() } else { None };
        for (at, candidate) in group.into_iter().enumerate() {
            let p = raised.as_ref().and_then(|raised| raised.get(at)).copied();
            comparisons.push(judge.one(candidate, p));
        }
    }
    (comparisons, families)
}

struct Judge<'a> {
    families: f64,
    question: &'a Question,
    power: &'a mut Power,
}

impl Judge<'_> {
    fn one(&mut self, candidate: Candidate, adjusted: Option<f64>) -> Comparison {
        let Candidate { mut shown, evidence, spread, rivals } = candidate;
        let alpha = self.question.alpha;
        let raised = Evidence {
            p: adjusted.unwrap_or(1.0),
            smallest_p: (evidence.smallest_p * self.families).min(1.0),
            margin: spread.and(self.question.equiv).map(margin),
            ..evidence
        };
        shown.p_adjusted = adjusted;
        shown.verdict = raised.verdict(alpha);
        if let Some(spread) = spread.filter(|_| shown.verdict != Verdict::NotJudged) {
            self.add_power(&mut shown, spread, rivals);
        }
        shown
    }

    /// At the level that a comparison gets which is the first of all to be shown.
    fn add_power(&mut self, shown: &mut Comparison, spread: f64, rivals: f64) {
        let Question { design, alpha, effect, .. } = *self.question;
        // Whole numbers, so that few levels have to be computed.
        let level = alpha / self.families / rivals.ceil();
        let [n, m] = shown.trials;
        let freedom =
            if design == Design::Paired { n.saturating_sub(1) } else { (n + m).saturating_sub(2) };
        let spread = spread * caution(freedom, level);
        // With values that do not differ at all the shift in units of their spread is beyond any number.
        let shift = (effect.ln_1p() / spread).min(1e6);
        shown.trials_needed = self.power.trials_needed(shift, design, level);
        let enough = n.min(m) > 1 && (design == Design::Unpaired || n == m);
        let found = if enough { self.power.detectable(n, m, design, level) } else { f64::INFINITY };
        shown.detectable = Some((found * spread).exp_m1()).filter(|share| share.is_finite());
    }
}

/// As far below as above, on the scale of logarithms.
fn margin(share: f64) -> Interval {
    Interval { low: -share.ln_1p(), high: share.ln_1p() }
}

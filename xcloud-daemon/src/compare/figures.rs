//! Figures of whole trials: the Hodges-Lehmann shift, on the scale of logarithms where values allow it.

use std::collections::BTreeSet;

use super::{
    candidate::Candidate,
    comparison::{Comparison, Estimate},
    guards::is_context,
    pairing::Pair,
    question::Question,
    stats::{
        Design,
        hodges_lehmann::{Shift, p_value, smallest_p},
        interval::median,
        verdict::{Evidence, Verdict},
    },
};
use crate::{
    report::once::Remark,
    result::{Metric, Trial},
};

/// Compares every figure that both arms of a pair have. A figure is a group by itself.
pub fn compare(
    pair: &Pair<'_>,
    question: &Question,
    doubts: &mut Vec<Remark>,
) -> Vec<Vec<Candidate>> {
    let [a, b] = pair.trials.each_ref().map(|trials| names(trials));
    let one = |name: &&str| candidate(pair, name, question, doubts);
    let both: Vec<&str> = a.intersection(&b).copied().filter(|name| question.wants(name)).collect();
    both.iter().filter_map(one).map(|candidate| vec![candidate]).collect()
}

fn names<'a>(trials: &[&'a Trial]) -> BTreeSet<&'a str> {
    trials.iter().flat_map(|trial| trial.metrics.keys().map(String::as_str)).collect()
}

fn candidate(
    pair: &Pair<'_>,
    name: &str,
    question: &Question,
    doubts: &mut Vec<Remark>,
) -> Option<Candidate> {
    let [a, b] = values(pair, name, question.design);
    let first = a.first()?;
    let units: BTreeSet<&str> = a.iter().chain(&b).map(|metric| metric.unit.as_str()).collect();
    if units.len() > 1 {
        let units = units.into_iter().collect::<Vec<_>>().join(" and ");
        let about = format!("{name} of {}", pair.name());
        doubts.push(Remark::new(about, format!("not compared, its units are {units}")));
        return None;
    }
    let figures = [&a, &b].map(|arm| arm.iter().map(|metric| metric.value).collect::<Vec<f64>>());
    let scaled = Scaled::new(&figures, question)?;
    let [n, m] = figures.each_ref().map(Vec::len);
    let better = first.better.filter(|_| !is_context(name));
    let shown = Comparison {
        test: pair.test.into(),
        from: pair.from.into(),
        to: pair.to.into(),
        metric: name.into(),
        quantile: None,
        unit: first.unit.clone(),
        better,
        trials: [n, m],
        a: median(&figures[0])?,
        b: median(&figures[1])?,
        at_least: [false; 2],
        difference: scaled.difference,
        ratio: scaled.ratio,
        p: scaled.evidence.p,
        p_adjusted: None,
        variation: figures.each_ref().map(|values| variation(values)),
        detectable: None,
        trials_needed: None,
        verdict: Verdict::NotJudged,
    };
    let evidence = Evidence { better, ..scaled.evidence };
    Some(Candidate { shown, evidence, spread: scaled.spread, rivals: 1.0 })
}

/// The figure in all trials that have it; of paired trials, where both have it.
fn values<'a>(pair: &Pair<'a>, name: &str, design: Design) -> [Vec<&'a Metric>; 2] {
    let found =
        |trial: &&'a Trial| trial.metrics.get(name).filter(|metric| metric.value.is_finite());
    let [a, b] = &pair.trials;
    match design {
        Design::Unpaired => [a, b].map(|trials| trials.iter().filter_map(found).collect()),
        Design::Paired => {
            let both = a.iter().zip(b).filter_map(|(a, b)| found(a).zip(found(b)));
            both.unzip::<_, _, Vec<_>, Vec<_>>().into()
        }
    }
}

/// The shift, and what is concluded from it on the scale that fits.
struct Scaled {
    difference: Estimate,
    ratio: Option<Estimate>,
    evidence: Evidence,
    spread: Option<f64>,
}

impl Scaled {
    fn new(figures: &[Vec<f64>; 2], question: &Question) -> Option<Self> {
        let Question { design, alpha, .. } = *question;
        let plain = Shift::new(&figures[0], &figures[1], design);
        let difference = Estimate { value: plain.estimate()?, interval: plain.interval(alpha) };
        let positive = figures.iter().flatten().all(|value| *value > 0.0);
        let logs = positive.then(|| {
            figures.each_ref().map(|arm| arm.iter().map(|value| value.ln()).collect::<Vec<_>>())
        });
        let on_scale = logs.as_ref().unwrap_or(figures);
        let shift = Shift::new(&on_scale[0], &on_scale[1], design);
        let evidence = Evidence {
            better: None,
            interval: shift.interval(alpha),
            one_sided: shift.interval(2.0 * alpha),
            margin: None,
            p: p_value(&on_scale[0], &on_scale[1], design),
            smallest_p: smallest_p(figures[0].len(), figures[1].len(), design),
            at_least: [false; 2],
        };
        let value = shift.estimate()?;
        let ratio = Estimate {
            value: value.exp(),
            interval: evidence.interval.map(|one| one.map(f64::exp)),
        };
        let spread = logs.as_ref().and_then(|logs| spread(&logs[0], &logs[1], design));
        Some(Self { difference, ratio: logs.is_some().then_some(ratio), evidence, spread })
    }
}

/// The standard deviation from trial to trial, of both arms together; of paired trials, that of their differences.
#[must_use]
pub fn spread(a: &[f64], b: &[f64], design: Design) -> Option<f64> {
    if design == Design::Paired {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        return Some((squares(&differences)? / (differences.len() as f64 - 1.0)).sqrt());
    }
    let freedom = (a.len() + b.len()) as f64 - 2.0;
    Some(((squares(a)? + squares(b)?) / freedom).sqrt())
}

/// Standard deviation as a share of the mean.
#[must_use]
pub fn variation(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (squares(values)? / (values.len() as f64 - 1.0)).sqrt();
    Some(deviation / mean.abs()).filter(|share| share.is_finite())
}

/// Sum of squared deviations from the mean; `None` of a single value.
fn squares(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.len() > 1).then(|| values.iter().map(|value| (value - mean).powi(2)).sum())
}

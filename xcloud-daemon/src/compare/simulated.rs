//! Runs made up for tests.

use std::collections::BTreeMap;

use super::{arm::Arm, stats::random::Random};
use crate::result::{Better, Histogram, Interval, Metric, Run, SCHEMA, Trial};

/// A run whose trials have the throughput given by their number.
pub(crate) fn run(label: &str, trials: usize, value: impl Fn(usize) -> f64) -> Run {
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: "simulation".into(),
        environment: BTreeMap::new(),
        trials: (0..trials).map(|at| trial(at, value(at))).collect(),
        warnings: Vec::new(),
        suites: Vec::new(),
    }
}

/// The same as an arm.
pub(super) fn arm(label: &str, trials: usize, value: impl Fn(usize) -> f64) -> Arm {
    Arm::new(vec![run(label, trials, value)])
}

fn trial(at: usize, value: f64) -> Trial {
    let metric = Metric { value, unit: "bit/s".into(), better: Some(Better::Higher) };
    Trial {
        test: "throughput".into(),
        from: "client".into(),
        to: "server".into(),
        started_unix_ns: 1_000_000_000 * (at as u64 + 1),
        duration_ns: 1_000_000_000,
        settings: BTreeMap::from([("rate".into(), "1000".into())]),
        metrics: BTreeMap::from([("throughput".into(), metric)]),
        histograms: BTreeMap::new(),
        intervals: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Trials with a throughput that varies by `noise`, and a `response` distribution of five seconds with 400 values each that
/// varies likewise; throughput is divided and times are multiplied by `factor`.
pub(super) fn latency_arm(
    label: &str,
    trials: usize,
    noise: f64,
    factor: f64,
    random: &mut Random,
) -> Arm {
    let mut arm = arm(label, trials, |_| 1.0);
    for trial in &mut arm.trials {
        let metric = trial.metrics.get_mut("throughput").expect("there");
        metric.value = 1e10 * (noise * random.normal()).exp() / factor;
        let off = (noise * random.normal()).exp() * factor;
        let mut whole =
            hdrhistogram::Histogram::new_with_bounds(8_192, 100_000_000, 3).expect("three digits");
        for second in 0..5 {
            let values = second_of(off, random);
            whole.add(&values).expect("in range");
            trial.intervals.push(Interval {
                start_ns: second * 1_000_000_000,
                duration_ns: 1_000_000_000,
                metrics: BTreeMap::new(),
                histograms: named(&values),
            });
        }
        trial.histograms = named(&whole);
    }
    arm
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some milliseconds")]
fn second_of(off: f64, random: &mut Random) -> hdrhistogram::Histogram<u64> {
    let mut values =
        hdrhistogram::Histogram::new_with_bounds(8_192, 100_000_000, 3).expect("three digits");
    for _ in 0..400 {
        let value = 2e6 * off * (1.0 - 0.2 * random.share().ln());
        values.record(value as u64).expect("in range");
    }
    values
}

/// Values as a trial's distribution.
pub(super) fn distribution(values: impl Iterator<Item = u64>) -> Histogram {
    let mut histogram = hdrhistogram::Histogram::new(3).expect("three digits");
    values.for_each(|value| histogram.record(value).expect("in range"));
    Histogram::encode(&histogram).expect("encodes")
}

fn named(values: &hdrhistogram::Histogram<u64>) -> BTreeMap<String, Histogram> {
    BTreeMap::from([("response".into(), Histogram::encode(values).expect("encodes"))])
}

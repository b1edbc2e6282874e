//! Small runs to report on.

use std::collections::BTreeMap;

use super::facts::distribution::encoded;
use crate::result::{Better, Interval, Metric, Run, SCHEMA, Trial};

/// What a file could hold to take over a page, a table or a terminal.
pub(super) const HOSTILE: &str =
    "</title><script>alert(1)</script>\" onload='x' | a](javascript:x) \u{1b}[31m&amp;";

/// A run of so many trials over one path, slower by a factor.
pub(super) fn run(label: &str, trials: u32, slower: f64) -> Run {
    let environment = [
        ("cni", "cilium"),
        ("cni_version", "1.18.3"),
        ("cni_config", "sha256:5f1c0a"),
        ("kernel", "6.18"),
        ("instance", "m6i.4xlarge"),
        ("encryption", label),
    ];
    Run {
        schema: SCHEMA.into(),
        label: label.into(),
        tool: "xcloud 0.1.0".into(),
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        trials: (0..trials).map(|at| trial(at, slower)).collect(),
        warnings: vec!["the machine was busy before trial 2".into()],
        suites: Vec::new(),
    }
}

fn trial(at: u32, slower: f64) -> Trial {
    let off = 1.0 + f64::from(at) * 0.02;
    let rate = 4.2e9 / slower / off;
    let metric = |value, unit: &str, better| Metric { value, unit: unit.into(), better };
    let metrics = [
        ("throughput".to_owned(), metric(rate, "bit/s", Some(Better::Higher))),
        ("failed_connect".to_owned(), metric(0.0, "{request}", None)),
        ("retransmits".to_owned(), metric(f64::from(at * 3), "1", Some(Better::Lower))),
    ];
    let intervals = (0..10).map(|second| Interval {
        start_ns: second * 1_000_000_000,
        duration_ns: 1_000_000_000,
        metrics: [("throughput".to_owned(), rate * (0.9 + 0.02 * (second % 6) as f64))].into(),
        histograms: BTreeMap::new(),
    });
    Trial {
        test: "http".into(),
        from: "aws/us-east-1/us-east-1a/node-1".into(),
        to: "gcp/us-central1".into(),
        started_unix_ns: 1_790_000_000_000_000_000 + u64::from(at) * 60_000_000_000,
        duration_ns: 10_000_000_000,
        settings: [
            ("rate".to_owned(), "2000".to_owned()),
            ("connections".to_owned(), "100".to_owned()),
        ]
        .into(),
        metrics: metrics.into(),
        histograms: histograms(slower * off),
        intervals: intervals.collect(),
        warnings: Vec::new(),
    }
}

fn histograms(slower: f64) -> BTreeMap<String, crate::result::Histogram> {
    let spread = |base: f64, tail: f64| {
        // A straight body with a tail that grows tenfold for each tenfold rarer value.
        let value = move |at: u32| {
            base * (1.0 + f64::from(at) / 20_000.0) + tail / (1.0 - f64::from(at) / 20_000.0)
        };
        encoded((0..20_000).map(move |at| whole(value(at) * slower)), &[]).expect("encodes")
    };
    [
        ("response", spread(22e6, 4e3)),
        ("generator_lateness", spread(3e3, 20.0)),
        ("segment/near_cni_egress", spread(3e3, 10.0)),
        ("segment/near_queue", spread(1e3, 10.0)),
        ("segment/wan", spread(21.5e6, 1e3)),
        ("segment/far_cni_ingress", spread(4e3, 10.0)),
        ("segment/far_pod", spread(80e3, 500.0)),
        ("segment/far_cni_egress", spread(3e3, 10.0)),
        ("segment/far_queue", spread(1e3, 10.0)),
        ("segment/near_cni_ingress", spread(2e3, 10.0)),
    ]
    .map(|(name, one)| (name.to_owned(), one))
    .into()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples are small and above zero"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A run in which everything that can be text is hostile.
pub(super) fn hostile() -> Run {
    let mut run = run(HOSTILE, 1, 1.0);
    let trial = &mut run.trials[0];
    let histogram = trial.histograms["response"].clone();
    (trial.test, trial.from, trial.to) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
    trial.warnings.push(HOSTILE.into());
    trial.settings.insert(HOSTILE.into(), HOSTILE.into());
    let metric = Metric { value: 1.5, unit: HOSTILE.into(), better: None };
    trial.metrics.insert(HOSTILE.into(), metric);
    trial.intervals.iter_mut().for_each(|one| {
        one.metrics.insert(HOSTILE.into(), 1.0);
    });
    trial.histograms.insert(HOSTILE.into(), histogram.clone());
    trial.histograms.insert(format!("segment/{HOSTILE}"), histogram);
    trial.histograms.insert(
        "broken".into(),
        crate::result::Histogram {
            hdr: HOSTILE.into(),
            censored: u64::MAX,
            censored_from_ns: Some(u64::MAX),
        },
    );
    run.tool = HOSTILE.into();
    run.environment.insert(HOSTILE.into(), HOSTILE.into());
    run.warnings.push(HOSTILE.into());
    run
}

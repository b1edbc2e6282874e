//! The iperf3 and wrk files are recorded from the tools; those of wrk2, oha and fortio are small ones in the tools' layout.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{read, recognise};
use crate::result::{Run, Trial};

const ALL: [&str; 8] = [
    "iperf3-tcp.json",
    "iperf3-udp.json",
    "iperf3-refused.json",
    "wrk.txt",
    "wrk2.txt",
    "spectrum.hgrm",
    "oha.json",
    "fortio.json",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports").join(name)
}

fn imported(name: &str) -> (Run, Trial) {
    let run = read(&file(name)).expect("imported");
    let trial = run.trials[0].clone();
    (run, trial)
}

fn figure(trial: &Trial, name: &str) -> (f64, String) {
    let metric = trial.metrics.get(name).unwrap_or_else(|| panic!("{name} in {:?}", trial.metrics));
    (metric.value, metric.unit.clone())
}

fn quantiles(trial: &Trial, name: &str) -> [f64; 3] {
    let histogram = trial.histograms[name].decode().expect("just encoded");
    [0.5, 0.9, 0.99].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e6)
}

fn near(found: [f64; 3], wanted: [f64; 3]) {
    let close =
        found.iter().zip(wanted).all(|(found, wanted)| (found / wanted - 1.0).abs() < 0.002);
    assert!(close, "{found:?}, not {wanted:?}");
}

#[test]
fn iperf3_over_tcp_gives_what_arrived() {
    let (run, trial) = imported("iperf3-tcp.json");
    assert_eq!((run.tool.as_str(), run.label.as_str()), ("iperf 3.12", "iperf3-tcp"));
    assert_eq!((trial.test.as_str(), trial.to.as_str()), ("throughput", "127.0.0.1"));
    let (rate, unit) = figure(&trial, "throughput");
    assert!(rate > 1e9 && unit == "bit/s", "{rate}");
    assert!(trial.metrics.contains_key("retransmits") && trial.metrics.contains_key("cpu_remote"));
    assert_eq!((trial.intervals.len(), trial.settings["streams"].as_str()), (2, "1"));
    assert_eq!(trial.started_unix_ns / 1_000_000_000_000_000_000, 1);
}

#[test]
fn iperf3_over_udp_gives_loss_and_jitter() {
    let (_, trial) = imported("iperf3-udp.json");
    assert_eq!(figure(&trial, "lost"), (0.0, "1".into()));
    let (jitter, unit) = figure(&trial, "jitter");
    assert!((jitter - 9_988.4).abs() < 0.1 && unit == "ns", "{jitter}");
    assert_eq!(figure(&trial, "throughput").0, 20_052_391.756_267_74);
    assert_eq!(trial.settings["rate"], "20000000");
}

#[test]
fn a_failed_run_says_why() {
    let error = format!("{:#}", read(&file("iperf3-refused.json")).expect_err("failed"));
    assert!(error.contains("iperf3 had failed: unable to connect to server"), "{error}");
}

#[test]
fn wrk_gives_rate_and_percentiles() {
    let (run, trial) = imported("wrk.txt");
    assert_eq!((run.tool.as_str(), trial.to.as_str()), ("wrk", "127.0.0.1:18089"));
    assert_eq!(figure(&trial, "requests"), (110_932.19, "{request}/s".into()));
    assert_eq!((figure(&trial, "p50").0, figure(&trial, "p99").0), (28_000.0, 85_000.0));
    assert!((figure(&trial, "transfer").0 / 15.87 - 1_048_576.0).abs() < 1.0);
    assert_eq!((trial.duration_ns, trial.settings["connections"].as_str()), (2_100_000_000, "4"));
}

#[test]
fn wrk2_gives_both_spectra_as_distributions() {
    let (run, trial) = imported("wrk2.txt");
    assert_eq!(run.tool, "wrk2");
    near(quantiles(&trial, "response"), [1.0, 2.0, 3.0]);
    near(quantiles(&trial, "service"), [0.4, 0.9, 0.9]);
    assert_eq!(trial.histograms["response"].decode().expect("encoded").len(), 10_000);
    assert!(!trial.metrics.contains_key("p50"));
    let (_, alone) = imported("spectrum.hgrm");
    near(quantiles(&alone, "response"), [1.0, 2.0, 3.0]);
    assert!(alone.warnings[0].contains("milliseconds"));
}

#[test]
fn oha_gives_percentiles_and_says_what_they_leave_out() {
    let (_, trial) = imported("oha.json");
    assert_eq!(figure(&trial, "requests").0, 1_000.0);
    assert_eq!(figure(&trial, "p99"), (3_000_000.0, "ns".into()));
    assert!(!trial.metrics.contains_key("p99.9"));
    assert!(trial.warnings[0].starts_with("100 requests failed"), "{:?}", trial.warnings);
}

#[test]
fn fortio_gives_a_distribution_and_its_start() {
    let (run, trial) = imported("fortio.json");
    assert_eq!(run.tool, "fortio 1.75.2");
    let found = quantiles(&trial, "service");
    assert!(
        (found[0] - 1.0).abs() < 0.01
            && (found[1] - 2.0).abs() < 0.01
            && (found[2] - 3.8).abs() < 0.05,
        "{found:?}"
    );
    assert_eq!(trial.started_unix_ns, 1_795_600_800_500_000_000);
    assert_eq!(trial.settings["rate"], "1000");
    assert!(trial.warnings[0].contains("wider than 5 %"));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x");
    for (text, says) in [
        ("", "it is empty"),
        ("hello", "no output of a tool known here"),
        ("{\"a\":1}", "of no tool known here"),
        ("{\"a\":", "no JSON object"),
        ("{\"schema\":\"other.v1\"}", "its layout is not xcloud.run.v1"),
        (
            "{\"schema\":\"xcloud.run.v9\",\"label\":\"\",\"tool\":\"\",\"trials\":[]}",
            "xcloud.run.v9",
        ),
        ("Running 1s test @ http://a/\n", "does not say Requests/sec"),
        ("Value Percentile TotalCount\n1 0.5 9\n0.5 0.6 10\n", "do not ascend"),
        ("Value Percentile TotalCount\nNaN 0.5 9\n", "cannot be read"),
        ("Value Percentile TotalCount\n", "without values"),
        ("Value Percentile TotalCount\n1 0.5 18446744073709551615\n", "too many values"),
    ] {
        std::fs::write(&path, text).expect("written");
        let error = format!("{:#}", read(&path).expect_err(text));
        assert!(error.contains(says), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn damaged_files_are_no_panic(
        which in 0..ALL.len(), at in 0usize..8_000, with in "[0-9eE.{}\\[\\]\":, a-z-]{0,6}", cut in 0usize..9_000
    ) {
        let mut text = std::fs::read_to_string(file(ALL[which])).expect("there");
        let at = at % text.len();
        text.replace_range(at..(at + with.len()).min(text.len()), &with);
        text.truncate(cut.max(text.len() / 2).min(text.len()));
        drop(recognise(&text, "damaged"));
    }
}

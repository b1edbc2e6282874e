//! The iperf3 and wrk files are recorded from the tools; those of wrk2, oha and fortio are small ones in the tools' layout.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{read, recognise};
use crate::result::{Better, Run, Trial};

const ALL: [&str; 10] = [
    "iperf3-tcp.json",
    "iperf3-udp.json",
    "iperf3-bidir.json",
    "iperf3-refused.json",
    "wrk.txt",
    "wrk2.txt",
    "wrk-stalled.txt",
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
    assert_eq!((trial.intervals.len(), trial.settings["parallel"].as_str()), (2, "1"));
    assert_eq!(trial.started_unix_ns / 1_000_000_000_000_000_000, 1);
}

/// An import of a file of iperf3 after something was done to it.
fn edited(name: &str, edit: impl FnOnce(&mut serde_json::Value)) -> (Run, Trial) {
    let text = std::fs::read_to_string(file(name)).expect("there");
    let mut value = serde_json::from_str(&text).expect("JSON");
    edit(&mut value);
    let run = recognise(&value.to_string(), name).expect("imported");
    let trial = run.trials[0].clone();
    (run, trial)
}

/// Names, units and directions are those of `load/throughput/outcome.rs`; else nothing would be compared.
#[test]
fn iperf3_and_own_results_meet() {
    let (_, tcp) = imported("iperf3-tcp.json");
    let (_, udp) = imported("iperf3-udp.json");
    for (trial, name, unit) in [
        (&tcp, "retransmits", "1"),
        (&tcp, "cpu_local", "%"),
        (&tcp, "cpu_remote", "%"),
        (&udp, "lost", "%"),
        (&udp, "jitter", "ns"),
    ] {
        let metric = &trial.metrics[name];
        assert_eq!((&*metric.unit, metric.better), (unit, Some(Better::Lower)), "{name}");
    }
    assert!(tcp.metrics["cpu_local"].value > 1.0, "{:?}", tcp.metrics);
    let settings = |trial: &Trial| {
        let settings = trial.settings.iter().map(|(name, value)| format!("{name}={value}"));
        settings.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(settings(&tcp), "length=131072 omit=0 parallel=1 port=15299 protocol=tcp time=2");
    assert_eq!(
        settings(&udp),
        "bitrate=20000000 length=32768 omit=0 parallel=1 port=15299 protocol=udp time=2"
    );
    let (_, reverse) = edited("iperf3-tcp.json", |file| {
        file["start"]["test_start"]["reverse"] = 1.into();
        file["start"]["test_start"]["bytes"] = 1_000_000.into();
    });
    assert_eq!((&*reverse.settings["reverse"], &*reverse.settings["bytes"]), ("true", "1000000"));
    assert!(!reverse.settings.contains_key("time"));
}

#[test]
fn iperf3_both_ways_gives_both_and_the_congestion_control() {
    let (run, trial) = imported("iperf3-bidir.json");
    assert_eq!(figure(&trial, "throughput_reverse"), (20_445_156.816_583_116, "bit/s".into()));
    assert_eq!(figure(&trial, "retransmits_reverse").0, 0.0);
    assert_eq!((&*trial.settings["bidir"], trial.settings.get("reverse")), ("true", None));
    assert!(trial.intervals[0].metrics["throughput_reverse"] > 1e7);
    assert_eq!((&*run.environment["congestion_control"], trial.warnings.len()), ("bbr", 0));
    let (_, mixed) = edited("iperf3-bidir.json", |file| {
        file["end"]["receiver_tcp_congestion"] = "cubic".into();
    });
    assert!(mixed.warnings[0].contains("bbr sends, cubic receives"), "{:?}", mixed.warnings);
}

#[test]
fn iperf3_over_udp_gives_loss_and_jitter() {
    let (_, trial) = imported("iperf3-udp.json");
    assert_eq!(figure(&trial, "lost"), (0.0, "%".into()));
    let (jitter, unit) = figure(&trial, "jitter");
    assert!((jitter - 9_988.4).abs() < 0.1 && unit == "ns", "{jitter}");
    assert_eq!(figure(&trial, "throughput").0, 20_052_391.756_267_74);
    assert_eq!(trial.settings["bitrate"], "20000000");
}

#[test]
fn datagrams_that_were_only_sent_have_not_arrived() {
    let old = |lost: Option<f64>| {
        let edit = |file: &mut serde_json::Value| {
            file["end"]["sum_received"] = serde_json::Value::Null;
            file["end"]["sum"]["lost_percent"] = lost.into();
        };
        edited("iperf3-udp.json", edit).1
    };
    let arrived = figure(&old(Some(30.0)), "throughput").0;
    assert!((arrived / (20_053_013.349 * 0.7) - 1.0).abs() < 1e-6, "{arrived}");
    assert!(!old(None).metrics.contains_key("throughput"));
    let (_, silent) = edited("iperf3-udp.json", |file| {
        for name in ["bytes", "bits_per_second", "packets"] {
            file["end"]["sum_received"][name] = 0.into();
        }
    });
    assert_eq!((figure(&silent, "throughput").0, figure(&silent, "lost").0), (0.0, 100.0));
    let (_, of_server) = edited("iperf3-udp.json", |file| {
        file["start"]["connecting_to"] = serde_json::Value::Null;
        file["start"]["test_start"]["reverse"] = 1.into();
        file["end"]["sum_received"]["bits_per_second"] = 0.into();
    });
    assert!(
        !of_server.metrics.contains_key("throughput") && !of_server.metrics.contains_key("lost")
    );
    assert!(
        of_server.warnings[0].contains("nothing says what arrived"),
        "{:?}",
        of_server.warnings
    );
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
    assert_eq!(alone.histograms["response"].lowest_bound_ns(), None);
}

#[test]
fn a_spectrum_of_xcloud_says_which_values_are_lower_bounds() {
    let mean = "#[Mean";
    let bounds =
        "#[Bounds  =           12, LowestBound    =     2.500000]\n# 12 requests had not ended\n";
    let trial = changed("spectrum.hgrm", mean, &format!("{bounds}{mean}")).expect("read");
    let histogram = &trial.histograms["response"];
    assert_eq!((histogram.censored, histogram.lowest_bound_ns()), (12, Some(2_500_000)));
    near(quantiles(&trial, "response"), [1.0, 2.0, 3.0]);
}

/// An import of a file with some text in place of other.
fn changed(name: &str, from: &str, to: &str) -> anyhow::Result<Trial> {
    let text = std::fs::read_to_string(file(name)).expect("there");
    assert!(text.contains(from), "{name} has no {from}");
    Ok(recognise(&text.replace(from, to), name)?.trials.remove(0))
}

#[test]
fn what_wrk_says_of_sockets_and_statuses_is_failed() {
    let (_, stalled) = imported("wrk-stalled.txt");
    assert_eq!(figure(&stalled, "failed"), (20.0, "{request}".into()));
    assert!(stalled.warnings[0].starts_with("12 socket errors"), "{:?}", stalled.warnings);
    let lines = "  Socket errors: connect 1, read 500, write 2, timeout 4000\n  Non-2xx or 3xx responses: 7\n";
    let failing =
        |lines: &str| changed("wrk2.txt", "Requests/sec:", &format!("{lines}Requests/sec:"));
    assert_eq!(figure(&failing(lines).expect("read"), "failed").0, 4_510.0);
    assert_eq!(figure(&imported("wrk2.txt").1, "failed").0, 0.0);
    let error = failing("  Socket errors: connect none\n").expect_err("refused").to_string();
    assert!(error.contains("socket errors that cannot be read"), "{error}");
}

#[test]
fn codes_that_are_no_success_are_failed() {
    assert_eq!(figure(&imported("fortio.json").1, "failed"), (0.0, "{request}".into()));
    let codes = |codes| changed("fortio.json", r#"{"200":10000}"#, codes).expect("read");
    let mixed = codes(r#"{"-1":3,"200":7,"302":1,"503":9990}"#);
    assert_eq!(figure(&mixed, "failed").0, 9_993.0);
    assert!(mixed.warnings[0].starts_with("9993 requests failed"), "{:?}", mixed.warnings);
    let grpc = codes(r#"{"ERROR":2,"NOT_SERVING":1,"SERVING":9997}"#);
    assert_eq!(figure(&grpc, "failed").0, 3.0);
    assert!(!codes("null").metrics.contains_key("failed"));
}

#[test]
fn requests_of_oha_that_were_under_way_at_its_end_have_not_failed() {
    assert_eq!(figure(&imported("oha.json").1, "failed").0, 0.0);
    let some = r#"{"aborted due to deadline":100,"connection error":5}"#;
    let failing = changed("oha.json", r#"{"aborted due to deadline":100}"#, some).expect("read");
    assert_eq!(figure(&failing, "failed").0, 5.0);
    assert!(failing.warnings[0].starts_with("105 requests failed or"), "{:?}", failing.warnings);
    let answers = changed("oha.json", r#"{"200":10000}"#, r#"{"200":9000,"503":1000}"#);
    assert_eq!(figure(&answers.expect("read"), "failed").0, 1_000.0);
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

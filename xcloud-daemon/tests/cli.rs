//! The binary at the keyboard: what goes wrong is said in one sentence, with the right exit code.

use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Command, Output},
};

fn xcloud(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xcloud"))
        .args(args)
        .env_remove("XCLOUD_AGGREGATOR")
        .env_remove("XCLOUD_LISTEN")
        .output()
        .expect("the binary runs")
}

fn fails(args: &[&str], code: i32, says: &str) {
    let output = xcloud(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{args:?} said {said:?}, not {says:?}");
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert_eq!(output.stdout, b"", "{args:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_crash() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_xcloud"))
        .arg("check")
        .stdout(writer)
        .status()
        .expect("the binary runs");
    // It may be that this machine cannot measure; a panic would be 101.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn wrong_usage_is_told_from_failure() {
    fails(&["split", "--near", "clout=aws"], 2, "there is no label \"clout\"");
    fails(&["split", "--quantile", "0.2"], 2, "--quantile is 0.2");
    fails(&["split", "--since", "yesterday"], 2, "neither an age");
    fails(&["split", "--since", "1m", "--until", "2m"], 2, "--since is later than --until");
    fails(&["observe", "--kind", "other"], 2, "possible values");
    fails(&["aggregator", "--listen", "nowhere"], 2, "neither IP:PORT");
    fails(&["aggregator", "--join-capacity", "0"], 2, "--join-capacity is 0");
    fails(&["aggregator", "--load-max-rate", "1G"], 2, "without --allow-load-tests");
    fails(&["agent", "--load-tests"], 2, "--load-address");
    let listening = ["aggregator", "--listen", "127.0.0.1:0"];
    let aggregator = |more: &[&'static str]| [&listening, more].concat();
    fails(
        &aggregator(&["--otlp-endpoint", "collector:4317"]),
        2,
        "neither http://HOST:PORT nor https://",
    );
    let plain = ["--otlp-endpoint", "http://127.0.0.1:9", "--otlp-ca", "a"];
    fails(&aggregator(&plain), 2, "say https://");
    let nobody = ["--otlp-endpoint", "https://127.0.0.1:9", "--otlp-show-cert"];
    fails(&aggregator(&nobody), 2, "--otlp-show-cert is given without --tls-cert");
    fails(&aggregator(&["--otlp-interval", "1ms"]), 2, "--otlp-interval is 1ms");
    fails(&aggregator(&["--metrics-max-series", "0"]), 2, "--metrics-max-series is 0");
    fails(&aggregator(&["--metrics-labels", "pod"]), 2, "possible values");
    let nameless = ["--metrics-labels", "workload", "--names", "namespace"];
    fails(&aggregator(&nameless), 2, "have --names workload, or --metrics-labels node");
    fails(&["load", "endpoint", "--address", "0.0.0.0"], 2, "address is none");
    fails(&["load", "run", "--from", "a", "--to", "a", "stamp"], 2, "same endpoint");
    fails(&["aggregator", "--interval", "1h", "--retention", "1m"], 2, "--retention is 1m");
    fails(&["load", "http", "https://a/"], 2, "asks for encryption");
    fails(&["load", "http", "http://127.0.0.1:9/", "-R", "0"], 2, "--rate is 0");
    fails(&["load", "http", "http://127.0.0.1:9/", "-c", "2", "-t", "3"], 2, "--threads is 3");
    fails(&["load", "http", "http://127.0.0.1:9/", "--ramp", "5:1:1"], 2, "--ramp is \"5:1:1\"");
    fails(&["load", "http", "http://127.0.0.1:9/", "-H", "A"], 2, "a header is `Name: value`");
    fails(&["load", "http", "http://127.0.0.1:9/", "-s", "2"], 2, "--http2");
    fails(&["load", "http", "http://127.0.0.1:9/", "--http2", "-s", "0"], 2, "--streams is 0");
    fails(&["load", "grpc", "http://127.0.0.1:9/a"], 2, "no method of gRPC");
    fails(&["load", "grpc", "http://127.0.0.1:9/a.B/C", "-r", "1,1"], 2, "--size asks");
    fails(&["load", "grpc", "http://127.0.0.1:9", "-H", "Upgrade: x"], 2, "none of HTTP/2");
    fails(&["load", "matrix", "--me", "a", "--listen", "127.0.0.1:0"], 2, "--peers");
    fails(&["load", "rr", "nowhere"], 2, "no HOST:PORT");
    fails(&["load", "udp-rr", "127.0.0.1:9", "-r", "1,70000"], 2, "a datagram holds");
    fails(&["load", "stamp"], 2, "--reflect");
    fails(&["load", "suite", "crosscloud"], 2, "--result");
    fails(&["load", "suite", "crosscloud", "--keep", "rounds"], 2, "--every");
    fails(&["load", "suite", "nowhere", "--result", "a.json"], 2, "there is crosscloud");
    fails(&["load", "suite", "crosscloud", "--dry-run", "--step", "x"], 2, "tcp-1, tcp-10");
    fails(&["load", "suite", "crosscloud", "--dry-run", "--fact", "x"], 2, "NAME=VALUE");
    fails(&["load", "suite", "crosscloud", "--dry-run", "--max-usd", "NaN"], 2, "US dollars");
    fails(
        &["load", "stamp", "--to", "127.0.0.1:9", "--reflect", "127.0.0.1:0"],
        2,
        "cannot be used",
    );
    fails(&["load", "stamp", "--to", "nowhere"], 2, "no HOST:PORT");
    fails(&["load", "stamp", "--to", "127.0.0.1:9", "-i", "1us"], 2, "10us apart");
    fails(&["load", "stamp", "--to", "127.0.0.1:9", "-n", "0"], 2, "0 probes");
    fails(&["load", "stamp", "--to", "127.0.0.1:9", "--size", "43"], 2, "--size is 43");
    fails(&["load", "stamp", "--to", "127.0.0.1:9", "--flows", "0"], 2, "--flows is 0");
    fails(&["load", "stamp", "--to", "127.0.0.1:9", "--key-file", "nowhere"], 1, "nowhere");
    let converge = ["load", "convergence", "--to", "127.0.0.1:9", "--event", "true"];
    fails(&[&converge[..], &["--rate", "0"]].concat(), 2, "--rate is 0");
    fails(&[&converge[..], &["--rate", "100001"]].concat(), 2, "100000 per second");
    fails(&[&converge[..], &["--wait", "2h"]].concat(), 2, "1h together");
    fails(&["cost", "--from", "aws"], 2, "CLOUD/REGION");
    let (from, to) = ("aws/us-east-1", "gcp/us-central1");
    fails(&["cost", "--from", from, "--to", to], 2, "--bytes");
    let wanted = ["cost", "--from", from, "--to", to, "--bytes", "1TB"];
    fails(&[&wanted[..], &["--path", "pigeon"]].concat(), 2, "no price is known for pigeon");
    fails(&[&wanted[..], &["--what-if", "packets=12%"]].concat(), 2, "packets=-PERCENT%");
    let rows = ["cost", "--from", from, "--usage", "/nowhere", "--what-if", "path=capacity"];
    fails(&rows, 2, "--what-if changes one route");
    fails(&[&wanted[..], &["--tariffs", "/nowhere"]].concat(), 1, "reading prices from /nowhere");
    fails(&["aggregator", "--unknown"], 2, "unexpected argument");
}

#[test]
fn a_run_that_cannot_be_read_is_named_in_the_report_on_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (run, broken) = (folder.path().join("run.json"), folder.path().join("broken.json"));
    let text = r#"{"schema":"xcloud.run.v1","label":"a","tool":"xcloud","trials":[]}"#;
    std::fs::write(&run, text).expect("writable");
    std::fs::write(&broken, &text[..40]).expect("writable");
    let (run, broken) = (run.display().to_string(), broken.display().to_string());
    let output = xcloud(&["report", &run, &broken, "-o", "markdown"]);
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("cannot be read") && page.contains("broken.json"), "{page}");
    assert!(page.contains("there is no trial in it"), "{page}");
    assert_eq!(output.status.code(), Some(0));
    fails(&["report", &broken], 1, "broken.json is no result of xcloud");
    fails(&["report", "/nowhere.json"], 1, "opening /nowhere.json");
}

#[test]
fn a_missing_aggregator_is_named_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    for command in ["split", "observe"] {
        let says = format!("no aggregator answers at {address}: Connection refused");
        fails(&[command, "--aggregator", &address], 1, &says);
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    fails(&["aggregator", "--listen", &address], 1, &format!("listening on {address}"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let _taken = UnixListener::bind(&path).expect("a new socket");
    let address = format!("unix:{}", path.display());
    fails(&["aggregator", "--listen", &address], 1, "another process listens there");
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").expect("writable");
    let address = format!("unix:{}", file.display());
    fails(&["aggregator", "--listen", &address], 1, "is no socket");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
}

/// Throughputs of runs as `iperf3 -J` writes them, one file each.
fn iperf3_runs(dir: &std::path::Path, name: &str, rates: [f64; 6]) -> String {
    let file = |(at, rate): (usize, f64)| {
        let path = dir.join(format!("{name}{at}.json"));
        let sum = format!(r#"{{"bits_per_second":{rate},"seconds":10}}"#);
        let end = format!(r#"{{"sum_sent":{sum},"sum_received":{sum}}}"#);
        let text = format!(r#"{{"start":{{}},"intervals":[],"end":{end}}}"#);
        std::fs::write(&path, text).expect("writable");
        path.to_str().expect("plain").to_owned()
    };
    rates.into_iter().enumerate().map(file).collect::<Vec<_>>().join(",")
}

#[test]
fn a_regression_is_told_from_a_failure() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = iperf3_runs(dir.path(), "a", [9.0e9, 9.1e9, 9.2e9, 9.3e9, 9.4e9, 9.5e9]);
    let b = iperf3_runs(dir.path(), "b", [7.0e9, 7.1e9, 7.2e9, 7.3e9, 7.4e9, 7.5e9]);
    let code = |a: &str, b: &str| {
        let output = xcloud(&["compare", a, b]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (worse, said) = code(&a, &b);
    assert!(worse == Some(3) && said.contains("worse"), "{worse:?} {said}");
    let (better, said) = code(&b, &a);
    assert!(better == Some(0) && said.contains("better"), "{better:?} {said}");
    let (same, said) = code(&a, &a);
    assert!(same == Some(0) && said.contains("no difference shown"), "{same:?} {said}");
    fails(&["compare", &a, "nowhere.json"], 1, "nowhere.json");
    fails(&["compare", &a, &b, "--metric", "p99"], 2, "both runs have throughput");
    fails(&["compare", &a, &b, "--alpha", "0.9"], 2, "--alpha is 0.9");
    fails(&["compare", &a, &b, "--equiv", "5"], 2, "as in 5% or 0.05");
    fails(&["compare", &a, &b, "--bootstrap", "1"], 2, "--bootstrap is 1");
}

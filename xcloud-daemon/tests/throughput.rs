//! `xcloud load throughput` against stock iperf3, both ways, and against what is no client at all.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use xcloud::result::Run;

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, ended by its id when it is dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn ours(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.args(["load", "throughput"]).args(arguments.split_whitespace());
    command
}

fn stock(arguments: &str) -> Command {
    let mut command = Command::new("iperf3");
    command.args(arguments.split_whitespace());
    command
}

/// Whether iperf3 is here; says so when it is not, and takes no excuse where tests must not be skipped.
fn has_iperf3() -> bool {
    let found = Command::new("iperf3").arg("--version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "iperf3 is missing: cargo xtask setup installs it"
        );
        eprintln!("SKIPPED: iperf3 is missing; cargo xtask setup installs it");
    }
    found
}

fn serve(make: fn(&str) -> Command, more: &str) -> Server {
    let port = free_port();
    let process = make(&format!("-s -p {port} -B 127.0.0.1 {more}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut server = Server { process, port };
    // Whoever prints must not be stopped by a full pipe.
    let (out, err) = (server.process.stdout.take(), server.process.stderr.take());
    std::thread::spawn(move || out.map(|out| BufReader::new(out).lines().count()));
    std::thread::spawn(move || err.map(|err| BufReader::new(err).lines().count()));
    let until = Instant::now() + PATIENCE;
    while !listens(port) {
        assert!(Instant::now() < until, "no server at port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// Asks the kernel, since a connection would occupy a stock server.
fn listens(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let end = format!(":{port:04X} 00000000:0000 0A");
    table.lines().any(|line| line.contains(&end))
}

fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = child.id().to_string();
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if waits
            .recv_timeout(PATIENCE)
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().expect("ends");
    drop(done);
    watchdog.join().expect("no panic");
    output
}

fn report(command: Command) -> Value {
    let shown = format!("{command:?}");
    let output = output(command);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}: {}\n{out}\n{err}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{shown}: {e}\n{out}"))
}

fn number(report: &Value, path: &str) -> f64 {
    report
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {path} in {report:#}"))
}

/// Every kind of test that both programs know.
const KINDS: [&str; 14] = [
    "-t 1",
    "-t 1 -R",
    "-t 1 --bidir",
    "-t 1 -P 4",
    "-t 1 -P 4 -R",
    "-t 1 -P 2 --bidir -O 1",
    "-n 20M",
    "-n 3000001 -R",
    "-t 1 -Z -N -M 1400 -w 256K -l 32K",
    "-t 1 -u -b 10M",
    "-t 1 -u -b 10M -R",
    "-t 1 -u -b 10M --bidir -P 2",
    "-t 1 -u -b 10M -P 4 --udp-counters-64bit",
    "-t 1 -u -b 10M -l 200 --get-server-output",
];

/// What holds for every test that went well.
fn holds(kind: &str, report: &Value) {
    let directions: &[&str] =
        if kind.contains("--bidir") { &["", "_bidir_reverse"] } else { &[""] };
    for suffix in directions {
        let sent = number(report, &format!("/end/sum_sent{suffix}/bytes"));
        let received = number(report, &format!("/end/sum_received{suffix}/bytes"));
        assert!(sent > 0.0 && received > 0.0, "{kind}: {sent} sent, {received} received");
        let streams = if kind.contains("-P 2") {
            2.0
        } else if kind.contains("-P 4") {
            4.0
        } else {
            1.0
        };
        if kind.contains("-u") {
            // Each end counts whole datagrams: the rate is exact to a few of them, the time to the last interval's end.
            let rate = number(report, &format!("/end/sum_sent{suffix}/bits_per_second")) / streams;
            assert!((8e6..12e6).contains(&rate), "{kind}: {rate} bit/s");
            let (expected, lost) = (
                number(report, &format!("/end/sum{suffix}/packets")),
                number(report, &format!("/end/sum{suffix}/lost_packets")),
            );
            assert!(expected > 0.0 && lost < 0.5 * expected, "{kind}: {lost} of {expected} lost");
        } else {
            // What was under way at the end is at most what each stream's buffers hold.
            assert!(
                (sent - received).abs() < streams * 128e6,
                "{kind}: {sent} sent, {received} received"
            );
        }
    }
    let streams = report["end"]["streams"].as_array().expect("streams").len();
    assert_eq!(streams, report["start"]["connected"].as_array().expect("ends").len(), "{kind}");
    let intervals = report["intervals"].as_array().expect("intervals");
    assert!(!intervals.is_empty(), "{kind}: {report:#}");
    assert!(number(report, "/end/cpu_utilization_percent/remote_total") >= 0.0, "{kind}");
}

#[test]
fn a_stock_client_gets_its_figures_from_our_server() {
    if !has_iperf3() {
        return;
    }
    let server = serve(ours, "");
    for kind in KINDS {
        holds(kind, &report(stock(&format!("-c 127.0.0.1 -p {} -J {kind}", server.port))));
    }
}

#[test]
fn our_client_gets_its_figures_from_a_stock_server() {
    if !has_iperf3() {
        return;
    }
    let server = serve(stock, "");
    for kind in KINDS {
        holds(kind, &report(ours(&format!("-c 127.0.0.1 -p {} -J {kind}", server.port))));
    }
}

#[test]
fn our_own_ends_understand_each_other() {
    let server = serve(ours, "");
    for kind in KINDS {
        holds(kind, &report(ours(&format!("-c 127.0.0.1 -p {} -J {kind}", server.port))));
    }
    let kind = "-t 1 --skip-rx-copy -6 -4";
    let refused = output(ours(&format!("-c 127.0.0.1 -p {} {kind}", server.port)));
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn the_servers_report_is_shown() {
    let server = serve(ours, "");
    let shown =
        report(ours(&format!("-c 127.0.0.1 -p {} -t 1 -J --get-server-output", server.port)));
    let text = shown["server_output_text"].as_str().expect("a report");
    assert!(text.contains("receiver"), "{text}");
}

#[test]
fn many_clients_are_served_at_once() {
    let server = serve(ours, "");
    let kinds =
        ["-t 2 -P 2", "-t 2 -R", "-t 2 -u -b 5M", "-t 2 -u -b 5M -R", "-t 2 -u -b 5M --bidir"];
    let clients = kinds.map(|kind| {
        let command = ours(&format!("-c 127.0.0.1 -p {} -J {kind}", server.port));
        std::thread::spawn(move || report(command))
    });
    for (kind, client) in kinds.iter().zip(clients) {
        let report = client.join().expect("no panic");
        assert!(number(&report, "/end/sum_received/bytes") > 0.0, "{kind}");
    }
}

#[test]
fn a_full_server_says_that_it_is_busy_and_serves_again_later() {
    let server = serve(ours, "--max-tests 1");
    let mut first = ours(&format!("-c 127.0.0.1 -p {} -t 30", server.port))
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    // It has a place once it shows its connections.
    BufReader::new(first.stdout.take().expect("piped"))
        .read_line(&mut String::new())
        .expect("a line");
    let second = output(ours(&format!("-c 127.0.0.1 -p {} -t 1", server.port)));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("busy") && second.status.code() == Some(1), "{said}");
    if has_iperf3() {
        let third = output(stock(&format!("-c 127.0.0.1 -p {} -t 1", server.port)));
        let said = String::from_utf8_lossy(&third.stderr).into_owned();
        assert!(said.contains("busy"), "{said}");
    }
    first.kill().expect("ended by its id");
    first.wait().expect("ended");
    serves_within_patience(server.port);
}

/// A test goes well, at the latest when the server has noticed that earlier clients are gone.
fn serves_within_patience(port: u16) {
    let until = Instant::now() + PATIENCE;
    while !output(ours(&format!("-c 127.0.0.1 -p {port} -t 1"))).status.success() {
        assert!(Instant::now() < until, "the server at port {port} serves nobody");
    }
}

#[test]
fn what_is_over_the_limits_is_refused_by_name() {
    let server = serve(ours, "--max-duration 5s --max-bytes 10M");
    let refused = |kind: &str| {
        let output = output(ours(&format!("-c 127.0.0.1 -p {} {kind}", server.port)));
        assert_eq!(output.status.code(), Some(1), "{kind}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused("-t 6");
    assert!(said.contains("refused") && said.contains("longer than the server allows"), "{said}");
    let said = refused("-n 11M");
    assert!(said.contains("refused") && said.contains("more traffic"), "{said}");
    let said = refused("-t 4");
    assert!(said.contains("its limit is reached"), "{said}");
    report(ours(&format!("-c 127.0.0.1 -p {} -n 5M -J", server.port)));
}

#[test]
fn a_client_that_is_killed_leaves_a_server_that_serves() {
    let server = serve(ours, "--max-tests 1");
    for kind in ["-t 30", "-t 30 -R -P 2", "-t 30 -u -b 1M --bidir"] {
        let mut client = ours(&format!("-c 127.0.0.1 -p {} {kind}", server.port))
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        BufReader::new(client.stdout.take().expect("piped"))
            .read_line(&mut String::new())
            .expect("a line");
        client.kill().expect("ended by its id");
        client.wait().expect("ended");
        serves_within_patience(server.port);
    }
}

#[test]
fn a_server_that_is_killed_is_told_by_name() {
    let makes: &[fn(&str) -> Command] = if has_iperf3() { &[ours, stock] } else { &[ours] };
    for make in makes {
        let mut server = serve(*make, "");
        let mut client = ours(&format!("-c 127.0.0.1 -p {} -t 30", server.port))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(client.stdout.take().expect("piped"));
        out.read_line(&mut String::new()).expect("a line");
        server.process.kill().expect("ended by its id");
        let mut said = String::new();
        client.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert_eq!(client.wait().expect("ended").code(), Some(1), "{said}");
        assert!(said.contains(&format!("port {}", server.port)), "{said}");
    }
}

#[test]
fn a_client_that_is_interrupted_keeps_what_it_saw() {
    let server = serve(ours, "");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    let arguments = format!("-c 127.0.0.1 -p {} -t 50 -b 10M -i 0.5 --repeat 3", server.port);
    let mut client = ours(&arguments)
        .arg("--result")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    let shown = |line: std::io::Result<String>| line.is_ok_and(|line| line.contains("bits/sec"));
    assert!(lines.by_ref().any(shown), "no interval was shown");
    let id = client.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("a shell's tool").success());
    let told = lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    assert!(client.wait().expect("ends").success() && told.contains("receiver"), "{told}");
    let run = Run::read(&path).expect("a result");
    assert_eq!(run.trials.len(), 1);
    assert!(run.trials[0].metrics["throughput"].value > 0.0);
    assert!(run.trials[0].warnings.iter().any(|one| one.contains("of 50 s")), "{run:?}");
}

#[test]
fn garbage_on_the_control_port_harms_nobody() {
    let server = serve(ours, "");
    let call = || TcpStream::connect(("127.0.0.1", server.port)).expect("connects");
    let cookie = [b"abcdefghijklmnopqrstuvwxyz2345672345".as_slice(), &[0]].concat();
    let silent = call();
    let mut half = call();
    half.write_all(&cookie[..20]).expect("sent");
    let mut http = call();
    http.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n").expect("sent");
    let mut huge = call();
    huge.write_all(&cookie).expect("sent");
    huge.write_all(&u32::MAX.to_be_bytes()).expect("sent");
    let mut nonsense = call();
    let other = [b"bbcdefghijklmnopqrstuvwxyz2345672345".as_slice(), &[0]].concat();
    nonsense.write_all(&other).expect("sent");
    nonsense.write_all(&[0, 0, 0, 4]).and_then(|()| nonsense.write_all(b"[{]}")).expect("sent");
    report(ours(&format!("-c 127.0.0.1 -p {} -t 1 -J", server.port)));
    // Nonsense is answered by hanging up, long before anybody's patience ends.
    http.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert!(matches!(http.read_to_end(&mut Vec::new()), Ok(0) | Err(_)));
    drop((silent, half, huge, nonsense));
}

#[test]
fn a_client_whose_greeting_was_not_answered_may_greet_again() {
    let server = serve(ours, "");
    let mut control = TcpStream::connect(("127.0.0.1", server.port)).expect("connects");
    control.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let wish = br#"{"udp":true,"time":1,"parallel":2,"len":1000}"#;
    let cookie = [b"abcdefghijklmnopqrstuvwxyz2345672345".as_slice(), &[0]].concat();
    let length = u32::try_from(wish.len()).expect("short").to_be_bytes();
    control.write_all(&[&cookie, &length[..], wish].concat()).expect("sent");
    let mut states = [0; 2];
    control.read_exact(&mut states).expect("answers");
    assert_eq!(states, [9, 10]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(("127.0.0.1", server.port)).expect("connects");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    for _ in 0..2 {
        socket.send(&0x3637_3839_u32.to_ne_bytes()).expect("sent");
        let mut answer = [0; 4];
        assert_eq!(socket.recv(&mut answer).expect("an answer"), 4);
        assert_eq!(u32::from_ne_bytes(answer), 0x3938_3736);
    }
}

#[test]
fn a_result_has_a_trial_for_each_repeat() {
    let server = serve(ours, "");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    let made = output(ours(&format!(
        "-c 127.0.0.1 -p {} -t 2 -O 1 -P 2 --repeat 2 --label loopback -o {}",
        server.port,
        path.display()
    )));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    check_run(&path);
}

fn check_run(path: &Path) {
    let run = Run::read(path).expect("a result");
    assert_eq!((run.label.as_str(), run.trials.len()), ("loopback", 2));
    for trial in &run.trials {
        let metric = |name: &str| trial.metrics.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metric("throughput").unit, "bit/s");
        assert!(metric("throughput").value > 0.0 && metric("cpu_local").value > 0.0);
        assert!(metric("retransmits").value >= 0.0 && metric("cpu_remote").value > 0.0);
        assert_eq!(trial.settings["parallel"], "2");
        assert_eq!(trial.intervals.len(), 2, "{:#?}", trial.intervals);
        assert!(trial.intervals.iter().all(|interval| interval.metrics["throughput"] > 0.0));
    }
}

#[test]
fn wrong_usage_is_told_from_failure() {
    for arguments in [
        "",
        "-c a -s",
        "-c a -P 0",
        "-c a -t 0",
        "-c a -u -l 8",
        "-c a -R --bidir",
        "-s --max-tests 0",
    ] {
        assert_eq!(output(ours(arguments)).status.code(), Some(2), "{arguments:?}");
    }
    let port = free_port();
    let nobody = output(ours(&format!("-c 127.0.0.1 -p {port}")));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(1) && said.contains("Connection refused"), "{said}");
}

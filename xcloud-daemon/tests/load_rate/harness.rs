//! Runs the binary, and servers for it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{Histogram, serialization::Deserializer};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use xcloud::result::{Run, Trial};

pub(crate) const MS: u64 = 1_000_000;

pub(crate) fn xcloud(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.arg("load").args(words.split_whitespace());
    command
}

/// Starts a load; [`finish`] waits for it.
pub(crate) fn start(words: &str) -> Child {
    xcloud(words)
        .args(["-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// The only trial of a load, all of whose requests are accounted for.
pub(crate) fn finish(load: Child) -> Trial {
    let mut trials = trials(&load.wait_with_output().expect("it ends"));
    assert_eq!(trials.len(), 1);
    trials.remove(0)
}

pub(crate) fn trials(output: &Output) -> Vec<Trial> {
    let said = String::from_utf8_lossy(&output.stderr);
    let run: Run = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {said}", output.status));
    // A load without one good answer is a failure that has figures.
    let answered = run.trials.iter().any(|trial| count(trial, "done") > 0);
    assert_eq!(output.status.code(), Some(if answered { 0 } else { 1 }), "{said}");
    assert_eq!(said.contains("was answered well"), !answered, "{said}");
    run.trials.iter().for_each(conserved);
    run.trials
}

pub(crate) fn load(words: &str) -> Trial {
    finish(start(words))
}

/// `scheduled = done + failed by kind + unfinished`, in the whole and over the seconds.
fn conserved(trial: &Trial) {
    let ended = |count: &dyn Fn(&str) -> u64| {
        let kinds = ["connect", "reset", "timeout", "status", "protocol", "refused", "goaway"];
        let failed: u64 = kinds.iter().map(|kind| count(&format!("failed_{kind}"))).sum();
        count("done") + failed + count("unfinished")
    };
    assert_eq!(count(trial, "scheduled"), ended(&|name| count(trial, name)), "{:?}", trial.metrics);
    let sum = |name: &str| trial.intervals.iter().map(|second| whole(second.metrics[name])).sum();
    assert_eq!(count(trial, "scheduled"), ended(&sum));
    let timed = count(trial, "done") + count(trial, "failed_timeout") + count(trial, "unfinished");
    assert_eq!(
        trial.histograms.get("response").map_or(0, |_| histogram(trial, "response").len()),
        timed
    );
}

pub(crate) fn count(trial: &Trial, name: &str) -> u64 {
    whole(trial.metrics[name].value)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u64 {
    count as u64
}

pub(crate) fn histogram(trial: &Trial, name: &str) -> Histogram<u64> {
    let bytes = STANDARD.decode(&trial.histograms[name].hdr).expect("base64");
    Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram")
}

pub(crate) fn quantile_ms(trial: &Trial, name: &str, quantile: f64) -> u64 {
    histogram(trial, name).value_at_quantile(quantile) / MS
}

pub(crate) fn send(signal: Signal, child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    kill(pid, signal).expect("it runs");
}

/// An `xcloud load responder`, ended with its owner.
pub(crate) struct Responder {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Responder {
    const WORDS: &str = "responder --listen 127.0.0.1:0 --duration 60s";

    pub(crate) fn start() -> Self {
        Self::of(&mut xcloud(Self::WORDS))
    }

    /// One that may have so many files open at first, and so many at most.
    pub(crate) fn with_files(soft: u32, hard: u32) -> Self {
        let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_xcloud"), "load"]);
        Self::of(command.args(Self::WORDS.split_whitespace()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut line = String::new();
        let said = child.stderr.as_mut().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("readable");
        let word = line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse().ok());
        Self { child, address: word.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    pub(crate) fn url(&self, query: &str) -> String {
        format!("http://{}/payload?{query}", self.address)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on loopback that does `serve` with each connection, in a thread of its own, as long as the test lives.
pub(crate) fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            stream.set_nodelay(true).expect("a socket");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads a request without a body; `None` once there is none.
pub(crate) fn request(stream: &mut TcpStream) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(())
}

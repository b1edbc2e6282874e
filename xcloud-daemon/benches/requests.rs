//! `xcloud load http` beside wrk, and `grpc` beside `rr`: `cargo bench --bench requests`, or `cargo xtask bench
//! requests`.
//!
//! nginx with one worker on the first processor, the client with one thread on the second, a page of 10 KB. Closed loop
//! at 64 and 1 000 connections, interleaved A B B A, and each pair's ratio; then 2 000 requests a second over 100
//! connections, whose response times from the intended and from the real send time must agree. At last the same rate of
//! calls and of `rr`'s requests to our own responder, in turns: what HTTP/2 adds to the median.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{Histogram, serialization::Deserializer};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill},
        time::TimeValLike as _,
    },
    unistd::Pid,
};
use xcloud::result::{Run, Trial};

/// Pairs of runs at each number of connections.
const PAIRS: usize = 6;
const SECONDS: u32 = 4;
/// A run counts if the machine was at least this idle right before it.
const IDLE: f64 = 0.9;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_server, url) = serve(folder.path())?;
    for connections in [64, 1_000] {
        closed_loop(&url, connections)?;
    }
    constant_rate(&url)?;
    beside_rr()
}

/// A call beside a request of `rr`, both with payloads of two bytes.
fn beside_rr() -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let program = env!("CARGO_BIN_EXE_xcloud");
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program, "load", "responder", "--listen", &address]);
    let _responder = Server(command.spawn().context("running a responder")?);
    let there = |_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(&address).is_ok()
    };
    ensure!((0..200).any(there), "the responder does not listen");
    let url = format!("http://{address}");
    let (mut added, mut late) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let busy = if calm() { "" } else { " (busy machine)" };
        let load = |words: &[&str]| -> Result<(f64, f64)> {
            let flags = ["-t", "1", "-c", "100", "-R", "2000", "-d", "4s", "-r", "2,2"];
            let trial = xcloud(&[words, &flags[..]].concat())?;
            let p50 =
                |name| Ok::<_, anyhow::Error>(histogram(&trial, name)?.value_at_quantile(0.5));
            Ok((p50("response")? as f64 / 1e3, p50("lateness")? as f64 / 1e3))
        };
        let (rr, grpc) = (["rr", address.as_str()], ["grpc", url.as_str()]);
        let (rr, grpc) = if pair % 2 == 0 {
            let first = load(&rr)?;
            (first, load(&grpc)?)
        } else {
            let first = load(&grpc)?;
            (load(&rr)?, first)
        };
        println!("2000/s, 100 connections: p50 rr {:.0} us, grpc {:.0} us{busy}", rr.0, grpc.0);
        added.push(grpc.0 - rr.0);
        late.push(grpc.1 - rr.1);
    }
    println!(
        "grpc's p50 is {:.0} us above rr's, its lateness {:.0} us (medians of {PAIRS} pairs)",
        median(&mut added),
        median(&mut late)
    );
    Ok(())
}

/// What a client got from the server in a run as fast as it goes.
#[derive(Clone, Copy)]
struct Speed {
    requests_per_second: f64,
    /// Of the client's processor, its start included.
    us_per_request: f64,
}

/// Requests per second of both, and what each took of its processor.
fn closed_loop(url: &str, connections: u32) -> Result<()> {
    let (mut pairs, mut busy) = (Vec::new(), 0);
    for pair in 0..PAIRS {
        busy += u32::from(!calm());
        let ours = || timed(|| xcloud_rate(url, connections));
        let theirs = || timed(|| wrk_rate(url, connections));
        pairs.push(if pair % 2 == 0 {
            let own = ours()?;
            (own, theirs()?)
        } else {
            let other = theirs()?;
            (ours()?, other)
        });
    }
    let of = |figure: &dyn Fn(&(Speed, Speed)) -> f64| pairs.iter().map(figure).collect::<Vec<_>>();
    let mut ratios = of(&|(own, other)| own.requests_per_second / other.requests_per_second);
    println!(
        "{connections} connections: xcloud {:.0} requests/s, wrk {:.0} (medians of {PAIRS}); ratio {:.3} (median of pairs; \
         {:.3} to {:.3}); the client's processor time a request {:.1} and {:.1} us; {busy} pairs began on a busy machine",
        median(&mut of(&|(own, _)| own.requests_per_second)),
        median(&mut of(&|(_, other)| other.requests_per_second)),
        median(&mut ratios),
        ratios[0],
        ratios[ratios.len() - 1],
        median(&mut of(&|(own, _)| own.us_per_request)),
        median(&mut of(&|(_, other)| other.us_per_request)),
    );
    Ok(())
}

fn timed(rate: impl FnOnce() -> Result<f64>) -> Result<Speed> {
    let before = children_us()?;
    let requests_per_second = rate()?;
    let requests = requests_per_second * f64::from(SECONDS);
    Ok(Speed { requests_per_second, us_per_request: (children_us()? - before) / requests })
}

/// Processor time of all children that have ended.
fn children_us() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(us as f64)
}

fn constant_rate(url: &str) -> Result<()> {
    let mut apart = Vec::new();
    for _ in 0..3 {
        let busy = if calm() { "" } else { " (busy machine)" };
        let trial = xcloud(&["http", url, "-t", "1", "-c", "100", "-R", "2000", "-d", "10s"])?;
        let us = |name: &str, quantile| -> Result<f64> {
            Ok(histogram(&trial, name)?.value_at_quantile(quantile) as f64 / 1e3)
        };
        let (response, service) = (us("response", 0.5)?, us("service", 0.5)?);
        println!(
            "2000 requests/s, 100 connections: p50 {response:.0} us from the intended send time, {service:.0} us from the \
             real one; p99 {:.0} and {:.0} us; generator's lateness p50 {:.0}, p99 {:.0} us{busy}",
            us("response", 0.99)?,
            us("service", 0.99)?,
            us("generator_lateness", 0.5)?,
            us("generator_lateness", 0.99)?,
        );
        apart.push(response - service);
    }
    println!("p50s are {:.0} us apart (median of {})", median(&mut apart), apart.len());
    Ok(())
}

fn xcloud_rate(url: &str, connections: u32) -> Result<f64> {
    let (connections, duration) = (connections.to_string(), format!("{SECONDS}s"));
    let trial = xcloud(&["http", url, "-t", "1", "-c", &connections, "-d", &duration])?;
    ensure!(trial.metrics["failed_share"].value == 0.0, "requests failed: {:?}", trial.metrics);
    Ok(trial.metrics["achieved_rate"].value)
}

fn xcloud(words: &[&str]) -> Result<Trial> {
    let program = env!("CARGO_BIN_EXE_xcloud");
    let words = [&["-c", "1", program, "load"], words, &["-o", "json"]].concat();
    let output = Command::new("taskset").args(words).output().context("running xcloud")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut run: Run = serde_json::from_slice(&output.stdout)?;
    run.trials.pop().context("no trial")
}

fn wrk_rate(url: &str, connections: u32) -> Result<f64> {
    let (connections, duration) = (connections.to_string(), format!("{SECONDS}s"));
    let words = ["-c", "1", "wrk", "-t", "1", "-c", &connections, "-d", &duration, url];
    let output = Command::new("taskset").args(words).output().context("running wrk")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(!said.contains("Socket errors"), "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.context(
        "wrk shows no rate; is it installed? `cargo xtask bench requests` does so as root",
    )?
    .trim()
    .parse()
    .context("reading wrk's rate")
}

fn histogram(trial: &Trial, name: &str) -> Result<Histogram<u64>> {
    let bytes = STANDARD.decode(&trial.histograms[name].hdr)?;
    Deserializer::new().deserialize(&mut &bytes[..]).context("decoding a histogram")
}

/// Waits for a second in which the machine has nothing to do; `false` if none came.
fn calm() -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let before = idle_and_all();
        thread::sleep(Duration::from_secs(1));
        let after = idle_and_all();
        if (after.0 - before.0) / (after.1 - before.1).max(1.0) >= IDLE {
            return true;
        }
    }
    false
}

/// Ticks of all processors so far.
fn idle_and_all() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    (ticks.get(3).copied().unwrap_or(0.0), ticks.iter().sum())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master ends its worker before it ends.
        let pid = i32::try_from(self.0.id()).map(Pid::from_raw);
        if pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok()) {
            let _ = self.0.wait();
        }
    }
}

fn serve(folder: &Path) -> Result<(Server, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let root = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {root}/{name};"))
        .collect();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log; events {{ worker_connections 4096; }} \
         http {{ access_log off; keepalive_requests 1000000000; {temporary} server {{ listen 127.0.0.1:{port} \
         backlog=4096; root {root}; }} }}"
    );
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::write(folder.join("page"), vec![b'x'; 10_240])?;
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "nginx", "-p"]).arg(folder).arg("-c").arg(&file);
    let path = std::env::var("PATH").unwrap_or_default();
    let child =
        command.env("PATH", format!("{path}:/usr/sbin")).spawn().context("running nginx")?;
    let mut nginx = Server(child);
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok((nginx, format!("http://127.0.0.1:{port}/page")));
        }
        if let Some(status) = nginx.0.try_wait()? {
            bail!("nginx ended at once ({status}); is it installed? cargo xtask setup");
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nginx does not listen")
}

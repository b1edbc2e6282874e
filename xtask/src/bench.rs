//! `cargo xtask bench throughput`: `xcloud load throughput` beside iperf3, over loopback. Says figures, judges nothing.
//! Each test waits for an idle machine; pairs that were not given one are counted.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, bail};
use serde_json::Value;

use crate::{bpf, command, idle};

/// Blocks of A B B A; each gives two pairs, and pairs over loopback differ by a tenth and more.
const BLOCKS: usize = 8;
/// Seconds of a test, and of its warm-up.
const SECONDS: [&str; 4] = ["-t", "3", "-O", "1"];
/// How long an idle machine is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is compared.
const KINDS: [(&str, &[&str]); 4] = [
    ("TCP, 1 stream", &["-P", "1"]),
    ("TCP, 10 streams", &["-P", "10"]),
    ("TCP, 1 stream, -R", &["-P", "1", "-R"]),
    ("UDP, 1 stream of 1 Gbit/s", &["-u", "-b", "1G", "-l", "1460"]),
];

/// Runs everything and prints a table.
pub(crate) fn throughput(iperf3: &Path) -> Result<()> {
    let version = command::output(Command::new(iperf3).arg("--version")).with_context(|| {
        format!("{} does not run: cargo xtask setup installs iperf3", iperf3.display())
    })?;
    // No kernel program takes part.
    command::watch(bpf::host_cargo().args([
        "build",
        "--release",
        "-p",
        "xcloud-daemon",
        "--bin",
        "xcloud",
    ]))?;
    let ours = bpf::target().join("release/xcloud");
    println!("{}", version.lines().next().unwrap_or_default());
    println!(
        "{:<26} {:>8} {:>8}  {:<22} {:>17}  busy pairs",
        "", "xcloud", "iperf3", "ratio (95 %)", "CPU s/Gbit"
    );
    for (name, flags) in KINDS {
        let mut pairs = Vec::new();
        for _ in 0..BLOCKS {
            let [a, b, c, d] = [true, false, false, true].map(|is_ours| {
                let before = idle::before(PATIENCE)?;
                let mut found = test(if is_ours { &ours } else { iperf3 }, is_ours, flags)?;
                found.is_calm = before.is_none() && idle::after()?.is_none();
                Ok::<_, Error>(found)
            });
            pairs.extend([(a?, b?), (d?, c?)]);
        }
        println!("{}", line(name, &pairs));
    }
    Ok(())
}

/// What a test found.
#[derive(Clone, Copy, Debug)]
struct Figures {
    gbit_per_second: f64,
    cpu_per_gbit: f64,
    /// Whether the machine was idle before and after.
    is_calm: bool,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, after its one test.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn test(program: &Path, is_ours: bool, flags: &[&str]) -> Result<Figures> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let command = || {
        let mut command = Command::new(program);
        if is_ours {
            command.args(["load", "throughput"]);
        }
        command.args(["-p", &port]);
        command
    };
    let mut server = command();
    server.args(["-s", "-1", "-B", "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(server.spawn().with_context(|| format!("starting {server:?}"))?);
    // A connection to see whether it is up would be the one test it serves.
    thread::sleep(Duration::from_millis(500));
    let mut client = command();
    let report = command::output(client.args(["-c", "127.0.0.1", "-J"]).args(SECONDS).args(flags))?;
    figures(&serde_json::from_str(&report).context("reading the report")?)
}

fn figures(report: &Value) -> Result<Figures> {
    let number = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_f64)
            .with_context(|| format!("the report has no {path}"))
    };
    let gbit_per_second = number("/end/sum_received/bits_per_second")? / 1e9;
    let processors = (number("/end/cpu_utilization_percent/host_total")?
        + number("/end/cpu_utilization_percent/remote_total")?)
        / 100.0;
    if gbit_per_second <= 0.0 {
        bail!("nothing arrived");
    }
    let cpu_per_gbit = processors / gbit_per_second;
    Ok(Figures { gbit_per_second, cpu_per_gbit, is_calm: false })
}

fn line(name: &str, pairs: &[(Figures, Figures)]) -> String {
    let of = |figure: &dyn Fn(&(Figures, Figures)) -> f64| {
        let mut all: Vec<_> = pairs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let ratios = of(&|(ours, theirs)| ours.gbit_per_second / theirs.gbit_per_second);
    let (low, high) = interval(ratios.len());
    let busy = pairs.iter().filter(|(ours, theirs)| !(ours.is_calm && theirs.is_calm)).count();
    format!(
        "{name:<26} {:>8.2} {:>8.2}  {:.3} ({:.3} to {:.3}) {:>8.4} {:>8.4}  {busy} of {}",
        median(&of(&|(ours, _)| ours.gbit_per_second)),
        median(&of(&|(_, theirs)| theirs.gbit_per_second)),
        median(&ratios),
        ratios[low],
        ratios[high],
        median(&of(&|(ours, _)| ours.cpu_per_gbit)),
        median(&of(&|(_, theirs)| theirs.cpu_per_gbit)),
        pairs.len(),
    )
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// Which of `count` sorted values hold the median between them with 95 % confidence, whatever the distribution: the tail
/// of a fair coin's throws.
fn interval(count: usize) -> (usize, usize) {
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut below, mut low) = (chance, 0);
    for k in 0..count / 2 {
        chance *= (count - k) as f64 / (k + 1) as f64;
        if below + chance > 0.025 {
            break;
        }
        below += chance;
        low = k + 1;
    }
    (low, count - 1 - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_ten_leaves_one_out_at_each_end() {
        assert_eq!(interval(10), (1, 8));
        assert_eq!(interval(6), (0, 5));
    }

    #[test]
    fn medians() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[1.0, 2.0, 4.0, 9.0]) - 3.0).abs() < 1e-9);
    }
}

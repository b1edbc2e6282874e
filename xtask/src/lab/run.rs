//! `cargo xtask run`: a lab, traffic, the split, and nothing left behind.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    Lab,
    args::{Kill, LabArgs, Output},
};
use crate::{command, progress::Progress, signals, wire::stats::WireReport};

/// How long samples may take to reach the aggregator after traffic has ended.
const SETTLE: Duration = Duration::from_secs(25);
/// Time between looks at clients and signals.
const TICK: Duration = Duration::from_millis(50);

/// Runs a lab with traffic and prints the split.
pub(crate) fn run(args: &LabArgs, output: Output) -> Result<()> {
    ensure!(args.clouds.len() > 1, "--clouds: traffic needs at least two");
    let progress = Progress::new();
    let mut lab = measure(args, &progress)?;
    progress.done();
    let checked = if args.verify { Some(lab.verify()?) } else { None };
    print!("{}", lab.split(&["-o", output.name()])?);
    lab.tell_about_wire();
    if let Some(checked) = checked {
        eprintln!("{checked}");
        ensure!(checked.wrong.is_empty(), "xcloud and the captures disagree");
    }
    Ok(())
}

/// Runs a lab with traffic until all samples have arrived, and returns the lab, still up.
pub(crate) fn measure(args: &LabArgs, progress: &Progress) -> Result<Lab> {
    signals::stop_flag()?;
    super::check(args)?;
    let xcloud = xcloud(args)?;
    progress.say("bringing the clouds up");
    let mut lab = Lab::up(args, xcloud, false)?;
    let result = lab.load(args, progress);
    if result.is_err() && !signals::stopped() {
        eprintln!("{}", lab.logs());
    }
    result.map(|()| lab)
}

/// The binary to use: built, unless one is given.
pub(crate) fn xcloud(args: &LabArgs) -> Result<PathBuf> {
    match &args.xcloud {
        Some(path) => path.canonicalize().with_context(|| format!("--xcloud {}", path.display())),
        None => crate::bpf::build_all(),
    }
}

impl Lab {
    /// Traffic for the duration asked for, with the kills asked for, until the last sample has arrived.
    pub(super) fn load(&mut self, args: &LabArgs, progress: &Progress) -> Result<()> {
        if args.verify {
            self.start_captures()?;
        }
        self.start_clients(args, args.duration())?;
        let start = Instant::now();
        let mut kills: Vec<(Kill, bool)> = args.kill.iter().map(|k| (k.clone(), false)).collect();
        loop {
            let elapsed = start.elapsed();
            kills.retain_mut(|kill| !self.step(kill, elapsed).unwrap_or(true));
            if elapsed >= args.duration() && kills.is_empty() {
                break;
            }
            pause()?;
            self.check_alive(&kills)?;
            let (now, all) = (elapsed.as_secs(), args.duration().as_secs());
            progress.say(&format!("traffic: {now} s of {all} s"));
        }
        self.end_clients()?;
        progress.say("waiting for the last samples");
        self.settle()
    }

    /// Kills, or starts again, when it is time; returns whether nothing is left to do.
    fn step(&mut self, (kill, killed): &mut (Kill, bool), elapsed: Duration) -> Result<bool> {
        if !*killed && elapsed >= kill.after {
            *killed = true;
            self.kill(&process_name(kill))?;
        }
        if !*killed || elapsed < kill.after + kill.away {
            return Ok(false);
        }
        match self.plan().clouds.iter().find(|c| c.name == kill.who).cloned() {
            Some(cloud) => self.start_agent(&cloud)?,
            None => self.start_aggregator()?,
        }
        Ok(true)
    }

    /// Fails when a process that should run has ended.
    fn check_alive(&mut self, kills: &[(Kill, bool)]) -> Result<()> {
        for (name, child) in &mut self.children {
            let meant = kills.iter().any(|(kill, _)| *name == process_name(kill));
            if let Some(status) = child.try_wait()?
                && !meant
                && !name.starts_with("client-")
            {
                bail!("{name} ended with {status} in the middle of the run");
            }
        }
        Ok(())
    }

    /// Waits for the clients' own end, briefly, then insists.
    fn end_clients(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(6);
        let running = |lab: &Self| {
            let mut clients = lab.state.processes.iter();
            clients.any(|p| p.name.starts_with("client-") && p.alive())
        };
        while running(self) && Instant::now() < deadline {
            pause()?;
        }
        self.end("client-");
        Ok(())
    }

    /// Waits until no sample is under way any more.
    pub(super) fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        let mut before = None;
        loop {
            let split = self.split_json()?;
            let loss = split["loss"].clone();
            let pending = loss["pending"].as_u64().unwrap_or(0);
            if pending == 0 && before.as_ref() == Some(&loss) {
                return Ok(());
            }
            if Instant::now() > deadline {
                eprintln!("xtask: {pending} samples were still under way after {SETTLE:?}");
                return Ok(());
            }
            before = Some(loss);
            // Longer than an agent keeps a batch.
            for _ in 0..10 {
                pause()?;
            }
        }
    }

    /// What `xcloud split` says.
    pub(crate) fn split(&self, flags: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.xcloud);
        command.args(["split", "--aggregator", &self.aggregator()]);
        command::output(command.args(flags))
    }

    /// What `xcloud split -o json` says.
    pub(crate) fn split_json(&self) -> Result<Value> {
        let text = self.split(&["-o", "json"])?;
        serde_json::from_str(&text).context("understanding the answer of xcloud split -o json")
    }

    /// The wire's own figures.
    pub(crate) fn wire_report(&self) -> Result<WireReport> {
        read_wire_report(&self.path("wire-report.json"))
    }

    fn tell_about_wire(&self) {
        match self.wire_report() {
            Ok(report) => eprintln!("{}", describe(&report)),
            Err(error) => eprintln!("xtask: {error:#}"),
        }
    }
}

/// Reads the report that the wire rewrites every second.
pub(crate) fn read_wire_report(path: &Path) -> Result<WireReport> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understanding {}", path.display()))
}

/// The wire's own figures in a line.
pub(crate) fn describe(report: &WireReport) -> String {
    let late = report.late;
    let us = |ns: u64| ns as f64 / 1000.0;
    format!(
        "wire: {} packets carried, {} lost on purpose; handed over late by {:.1} us (p50), {:.1} us (p99); \
         reading takes {:.1} us (p50), taken off up to 200{}",
        report.packets,
        report.lost,
        us(late.p50_ns),
        us(late.p99_ns),
        us(report.handoff.p50_ns),
        if report.real_time { "" } else { "; without real-time priority" },
    )
}

fn process_name(kill: &Kill) -> String {
    if kill.who == "aggregator" { "aggregator".into() } else { format!("agent-{}", kill.who) }
}

/// Sleeps a little; an error when a stop was asked for.
pub(crate) fn pause() -> Result<()> {
    if signals::stopped() {
        bail!("interrupted");
    }
    thread::sleep(TICK);
    Ok(())
}
